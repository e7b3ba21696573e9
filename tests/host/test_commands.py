"""Commands of plugins: listed by ``zoo --help``, imported when they are run, and broken by themselves alone."""

import json

import pytest

PLUGIN = """
    import zoo

    @zoo.hookimpl
    def zoo_commands():
        return [zoo.Command(name={name!r}, summary="Say hello.", entry="{module}_command:{attribute}")]
"""
COMMAND = """
import sys, click
from zoo.cli import json_option, pass_app
from zoo.errors import DataError

@click.command("hello")
@click.argument("name", default="world")
@json_option
@pass_app
def command(app, name):
    "Say hello to NAME."
    if name == "nobody":
        raise DataError("there is nobody", hint="Name somebody.")
    if name == "zero":
        1 / 0
    print(f"hello {name}")
    if app.json:
        app.emit({"hello": name, "samplers": len(app.registry.items("sampler"))})

other = 7
"""


@pytest.fixture
def install(site):
    def install(package, source=COMMAND, *, name="hello", attribute="command"):
        module = package.replace("-", "_")
        site.install(package, PLUGIN.format(name=name, module=module, attribute=attribute))
        (site.folder / f"{module}_command.py").write_text(source)

    return install


def test_a_plugins_command_is_in_the_help_and_runs(zoo_command, install):
    install("zoo-hello")
    shown = zoo_command("--help", check=0).stdout
    assert "Commands of plugins:\n  hello  Say hello.\n" in shown
    assert "Usage: zoo hello [OPTIONS] [NAME]" in " ".join(zoo_command("hello", "--help", check=0).stdout.split())
    assert zoo_command("hello", "you", check=0).stdout == "hello you\n"
    # as with a built-in one, what is printed stays out of the document
    document = zoo_command.json("hello", "you", check=0)
    assert document["hello"] == "you"
    assert document["samplers"] > 20
    (listed,) = zoo_command.json("list", "--commands", "hello", check=0)["commands"]
    assert (listed["summary"], listed["plugin"]["distribution"]) == ("Say hello.", "zoo-hello")
    assert zoo_command.json("show", "hello", check=0)["kind"] == "command"


def test_its_errors_are_told_as_those_of_built_in_commands(zoo_command, install):
    install("zoo-hello")
    done = zoo_command("hello", "nobody", check=1)
    assert done.stderr == "Error: there is nobody\nName somebody.\n"
    done = zoo_command("hello", "zero", check=1)
    assert "internal error of plugin zoo-hello of zoo-hello 1.0: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr
    assert "1 / 0" in zoo_command("--debug", "hello", "zero", check=1).stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list", "--commands"], ["helo"]])
def test_nothing_imports_it_but_running_it(zoo_command, install, arguments):
    install("zoo-hello", "raise SystemExit('imported')\n")
    done = zoo_command(*arguments, check=2 if arguments == ["helo"] else 0)
    assert "imported" not in done.stdout + done.stderr
    if arguments == ["helo"]:
        assert "Did you mean 'hello'?" in done.stderr


@pytest.mark.parametrize(
    ("source", "attribute", "told"),
    [
        pytest.param(
            *("import surely_not_there\n", "command", "ModuleNotFoundError: No module named 'surely_not_there'"),
            marks=pytest.mark.full,
        ),
        ("raise SystemExit(0)\n", "command", "SystemExit: 0"),
        pytest.param(COMMAND, "missing", "has no attribute 'missing'", marks=pytest.mark.full),
        (COMMAND, "other", "'hello' of zoo-hello 1.0 is not a click.Command, but a int"),
    ],
)
def test_a_broken_command_breaks_only_itself(zoo_command, install, source, attribute, told):
    install("zoo-hello", source, attribute=attribute)
    done = zoo_command("hello", check=1)
    (sentence, *_) = done.stderr.splitlines()
    assert sentence.startswith("Error: command 'hello' of zoo-hello 1.0 ")
    assert told in sentence
    assert "Traceback" not in done.stderr
    assert json.loads(zoo_command("hello", "--json", check=1).stdout)["error"]["type"] == "PluginError"
    zoo_command("list", "--samplers", check=0)
    assert "  hello  " in zoo_command("--help", check=0).stdout


def test_a_built_in_name_stays_built_in(zoo_command, install):
    install("zoo-usurper", name="list")
    done = zoo_command("list", "--samplers", check=0)
    told = "the command 'list' is built in and takes precedence; this one is ignored"
    assert f"plugin zoo-usurper of zoo-usurper 1.0: {told}" in done.stderr
    assert "hello" not in done.stdout
    assert "Commands of plugins" not in zoo_command("--help", check=0).stdout
    (record,) = zoo_command.json("plugins", "--failed", check=0)["plugins"]
    assert record["conflicts"] == [told]


def test_a_name_that_two_plugins_claim_is_neithers(zoo_command, install):
    install("one")
    install("two")
    error = zoo_command.json("hello", check=1)["error"]
    assert error["type"] == "NameConflictError"
    assert error["message"] == "the command 'hello' is claimed by one 1.0 (plugin one) and two 1.0 (plugin two)"
    shown = " ".join(zoo_command("--help", check=0).stdout.split())
    assert "hello (claimed by one 1.0 and two 1.0; neither can be used)" in shown
    assert zoo_command("--no-plugins=two", "hello", check=0).stdout == "hello world\n"


@pytest.mark.parametrize("before", [["--no-plugins"], ["--no-plugins=zoo-hello"]])
def test_plugins_that_are_left_out_bring_no_command(zoo_command, install, before):
    install("zoo-hello")
    assert "hello" not in zoo_command(*before, "--help", check=0).stdout
    assert "hello" not in zoo_command("--help", *before, check=0).stdout
    assert "No such command 'hello'" in zoo_command(*before, "hello", check=2).stderr


def test_a_shell_completes_names_without_importing_them(zoo_command, install):
    install("zoo-hello", "raise SystemExit('imported')\n")
    asked = {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "zoo h", "COMP_CWORD": "1"}
    # `python -m zoo` is the program `zoo` to click
    assert "plain,hello" in zoo_command(environment=asked).stdout


@pytest.mark.parametrize("name", ["x.zip", "x.TAR", "x.tar.gz"])
def test_an_export_is_not_called_as_an_archive(zoo_command, tmp_path, name):
    error = zoo_command.json("export", "circles-maf", "-o", name, check=2)["error"]
    assert error["message"] == f"an export is a folder, and {name} is the name of an archive"
    assert error["hint"].startswith("Write it to x, and pack that")
    assert not (tmp_path / name).exists()


def test_export_without_torch_copies_the_proven_bundle(site, zoo_command, tmp_path):
    pytest.importorskip("onnxruntime")
    from zoo import installed

    (site.folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    told = zoo_command.json("export", "circles-maf", "-o", "copy", check=0)
    bundle = installed().model("circles-maf").bundle_path
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()
    }
    assert told["proof"]["cases"] > 0
    for other in (["--opset", "17"], ["--dtype", "float16"]):
        error = zoo_command.json("export", "circles-maf", "-o", "other", *other, check=1)["error"]
        assert error["type"] == "MissingDependencyError"
        assert not (tmp_path / "other").exists()
