"""``zoo new``: each kind of package, written under a name, installs, is listed and passes its own tests."""

import ast
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

from zoo.errors import OutputError, UnknownNameError, UsageError
from zoo.templates import TEMPLATES, Naming, new, written

kinds = pytest.mark.parametrize("kind", TEMPLATES)


@kinds
def test_a_package_is_whole_and_nothing_is_left_of_the_name_in_the_tutorial(kind, tmp_path):
    folder = new("two-rings", kind, tmp_path / "out")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml", "tests/test_plugin.py"} <= set(
        files
    )
    project = tomllib.loads(files["pyproject.toml"].read_text("utf-8"))["project"]
    assert (project["name"], project["entry-points"]["zoo"]) == ("zoo-two-rings", {"two-rings": "zoo_two_rings"})
    hooks = files.get("zoo_two_rings/__init__.py") or files["zoo_two_rings.py"]
    text = hooks.read_text("utf-8")
    assert 'name="two-rings"' in text
    assert "zoo_api = 1" in text
    for name, path in files.items():
        content = path.read_text("utf-8")
        assert not {f"zoo-{TEMPLATES[kind].name}", f"zoo_{TEMPLATES[kind].name}", "plugin_name"} & set(
            content.split('"')
        )
        assert f"zoo_{TEMPLATES[kind].name}" not in content + name
        assert "plugin_" not in content.replace("test_plugin", "").replace("check_plugin", "")
        if path.suffix == ".py":
            assert max(map(len, content.splitlines())) <= 120
            ast.parse(content)
        if path.suffix == ".toml":
            tomllib.loads(content)
    # on one screen, of two pages: what one has to read to begin
    assert sum(len(path.read_text("utf-8").splitlines()) for name, path in files.items() if name.endswith(".py")) <= 180


@kinds
def test_what_the_commands_of_the_readme_write_is_not_committed(kind):
    files = {str(name): content for name, content in written(Naming("rings"), kind)}
    patterns = files[".gitignore"].split()
    outputs = re.findall(r"-o (\S+)|\"(\S+\.bundle)\"", files["README.md"])
    for output in {"".join(each) for each in outputs}:
        # of a path, its first folder
        first, _, below = output.partition("/")
        assert any(fnmatch(first + "/" * (pattern[-1] == "/"), pattern) for pattern in patterns), (output, below)


@kinds
def test_a_package_has_the_files_of_its_tutorial(kind):
    name = TEMPLATES[kind].name
    files = dict(written(Naming(name), kind))
    from zoo.templates import FILES

    for path in (path for path in (FILES / kind).rglob("*") if path.suffix in (".py", ".toml")):
        given = path.relative_to(FILES / kind).as_posix()
        if not TEMPLATES[kind].words:
            assert files[next(each for each in files if str(each) == given)] == path.read_text("utf-8")


@pytest.mark.parametrize("name", ["Rings", "two_rings", "2rings", "", "rings-", "class", "zoo-", "a b", "../up"])
def test_a_name_that_cannot_be_one_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="is not a name for a plugin"):
        new(name, "flow", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_may_have_the_prefix_of_packages():
    assert [Naming(given).distribution for given in ("rings", "zoo-rings")] == ["zoo-rings"] * 2


def test_an_unknown_kind_and_a_folder_that_exists_are_refused(tmp_path):
    with pytest.raises(UnknownNameError):
        new("rings", "flows", tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(OutputError):
        new("rings", "flow", tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "x"


def test_the_command_writes_a_folder_and_refuses_a_name_that_is_taken(zoo_command, tmp_path):
    done = zoo_command("new", "rings", "--kind", "dataset", check=0)
    assert "wrote zoo-rings: a data set" in done.stdout
    assert (tmp_path / "zoo-rings" / "zoo_rings" / "spirals.py").is_file()
    refused = zoo_command("new", "euler", "--kind", "sampler", "--json")
    assert refused.returncode == 2
    assert "there is a sampler named euler already, of genzoo" in refused.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("data", "there is a plugin named data already, zoo_data of genzoo"),
        ("samplers", "there is a plugin named samplers already, zoo.samplers.plugin of genzoo"),
        ("mine", "there is a module named zoo_mine already"),
    ],
)
def test_the_names_of_what_is_installed_are_refused(name, says, zoo_command, tmp_path, site):
    """The package `zoo-data` of a newcomer would hide genzoo's own module `zoo_data`, and with it all data sets."""
    (site.folder / "zoo_mine.py").write_text("")
    refused = zoo_command("new", name, "--kind", "dataset")
    assert refused.returncode == 2
    assert says in refused.stderr
    assert not (tmp_path / f"zoo-{name}").exists()


@kinds
def test_the_steps_of_the_ci_file_are_those_of_the_readme(kind, tmp_path):
    yaml = pytest.importorskip("yaml")
    files = {str(path): text for path, text in written(Naming("rings"), kind)}
    job = yaml.safe_load(files[".github/workflows/test.yml"])["jobs"]["test"]
    genzoo, own, tests = (step["run"] for step in job["steps"] if "run" in step)
    assert (own, tests) == ("pip install .", "python -m pytest")
    assert tests in commands(files["README.md"], "sh")
    # the second is how a repository gets torch for CPUs alone
    assert job["env"] == {name: f"${{{{ vars.{name} }}}}" for name in ("GENZOO", "PIP_EXTRA_INDEX_URL")}
    # a repository that does not say where genzoo comes from is told so, instead of that there is no such package
    for where in ("", "git+https://host/genzoo"):
        said = subprocess.run(
            ["bash", "-e", "-c", f'pip() {{ echo "$2 $3"; }}\n{genzoo}'],
            env={"GENZOO": where, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert (said.returncode == 0) == bool(where)
        told = said.stdout if where else said.stderr
        assert ("genzoo[cpu,onnx] @ git+https://host/genzoo" if where else "set the variable GENZOO") in told


@kinds
def test_a_readme_names_the_page_that_explains_its_code(kind):
    page = Path(__file__).parents[2] / "docs" / TEMPLATES[kind].page
    assert f"`docs/{TEMPLATES[kind].page}`" in dict(written(Naming("rings"), kind))[PurePosixPath("README.md")]
    assert f"zoo-{TEMPLATES[kind].name}" in page.read_text("utf-8") or f"zoo new NAME --kind {kind}" in page.read_text(
        "utf-8"
    )


def commands(text, kind):
    """The commands of a document's first blocks, without comments."""
    lines = "".join(re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)).splitlines()
    return [re.sub(r"\s+#.*", "", line).removeprefix("$ ") for line in lines if not line.startswith("#")]


def test_the_first_tutorial_has_the_commands_of_the_readme_that_it_writes():
    """Which a test below runs, in their order."""
    page = Path(__file__).parents[2] / "docs" / "plugins" / "README.md"
    begin, into, *others = commands(page.read_text("utf-8"), "console")
    assert (begin, into) == ("zoo new rings --kind flow", "cd zoo-rings")
    readme = {str(path): text for path, text in written(Naming("rings"), "flow")}["README.md"]
    assert others == [command for command in commands(readme, "sh") if "pytest" not in command]


@pytest.fixture(scope="session")
def new_plugins(new_environment):
    return new_environment("new")


@pytest.mark.slow
@kinds
@pytest.mark.sample("sampler")
def test_a_package_installs_with_pip_is_listed_and_passes_its_own_tests(kind, new_plugins):
    name = f"my-{kind}"
    folder = new(name, kind, new_plugins.work / f"zoo-{name}")
    new_plugins.install(folder)
    try:
        (record,) = [each for each in new_plugins.json("plugins")["plugins"] if each["name"] == name]
        assert (record["status"], record["api"], record["distribution"]) == ("ok", 1, f"zoo-{name}")
        done = subprocess.run(
            [new_plugins.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder / "tests"],
            env={**new_plugins.environment, "PYTEST_ADDOPTS": ""},
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        assert " passed" in done.stdout
        assert "failed" not in done.stdout
    finally:
        new_plugins.pip("uninstall", "-y", f"zoo-{name}")


@pytest.mark.full
@kinds
def test_the_commands_of_a_readme_run_one_after_another_down_to_the_page(kind, new_plugins):
    """As a stranger copies them: each kind that has a model to draw from ends with a page for the browser."""
    pytest.importorskip("onnxruntime")
    name = f"hour-{kind}"
    folder = new(name, kind, new_plugins.work / f"zoo-{name}")
    new_plugins.install(folder)
    programs = new_plugins.work / "programs"
    programs.mkdir(exist_ok=True)
    for program, module in (("zoo", "-m zoo"), ("python", "")):
        (programs / program).write_text(f'#!/bin/sh\nexec {new_plugins.python} {module} "$@"\n')
        (programs / program).chmod(0o755)
    environment = {**new_plugins.environment, "PATH": f"{programs}:{new_plugins.environment['PATH']}"}
    own = [each for each in commands((folder / "README.md").read_text("utf-8"), "sh") if each.startswith(("zoo", "py"))]
    try:
        for command in own:
            if "pytest" not in command:  # the test above runs it
                done = subprocess.run(
                    ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert (folder / "page" / "index.html").is_file() == (kind in ("flow", "diffusion", "dataset", "adapter"))
    finally:
        new_plugins.pip("uninstall", "-y", f"zoo-{name}")
