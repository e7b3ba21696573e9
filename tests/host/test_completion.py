"""What a shell completes, and the sections of the help."""

import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from zoo.cli import cli
from zoo.cli.completion import SHELLS
from zoo.hub import Store
from zoo.render.formats import FORMATS as BUILT_IN

FORMATS = sorted(name.removeprefix(".") for name in BUILT_IN)


def completed(zoo_command, *words, shell="bash", environment=None):
    """What a shell is told that words are completed by; Bash breaks them itself, and names what follows a break."""
    at = words[-1] if shell == "fish" else str(len(words) - 1)
    stated = {"_ZOO_COMPLETE": f"{shell}_complete", "COMP_WORDS": "\n".join(words), "COMP_CWORD": at}
    lines = zoo_command(environment={**stated, **(environment or {})}).stdout.splitlines()
    if shell == "zsh":  # a colon before the help is escaped
        return [lines[i + 1].replace("\\:", ":") for i in range(0, len(lines), 3)]
    if shell == "fish":  # each is three lines, or a line
        return [each.split(",", 1)[1].split("\t")[0] for each in lines if "," in each]
    return [each.split(",", 1)[1] for each in lines]


@pytest.fixture
def pulled(tmp_path):
    """A cache with two commits of a model of the Hub, one of which it was pulled as, and a model of the web."""
    store = Store(tmp_path / "cache" / "models")
    for source in (f"hf:lab/flow@{'a' * 40}", f"hf:lab/flow@{'b' * 40}", WEB, "/home/user/x.zip"):
        key = f"key--{source[-4:].replace('/', '')}"
        with store.adding(key) as folder:
            (folder / "model").mkdir()
            store.record(folder, source, "flow")
    store.pin("hf:lab/flow", "key--bbbb")
    (store.folder / "damaged--x").mkdir()
    return {"ZOO_CACHE": str(tmp_path / "cache")}


WEB = f"https://example.org/x.zip#sha256={'c' * 64}"
HUB = ["hf:lab/flow", f"hf:lab/flow@{'a' * 40}", f"hf:lab/flow@{'b' * 40}"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["zoo", "comp"], ["completion"]),
        (["zoo", "run", "moons-"], ["moons-cnf", "moons-nsf", "moons-rectified-flow"]),
        (["zoo", "run", "mnist-unet", "--sampler", "dpm-solver-pp-"], ["dpm-solver-pp-2s", "dpm-solver-pp-sde"]),
        (["zoo", "run", "mnist-unet", "--guidance-"], ["--guidance-interval", "--guidance-rescale"]),
        (["zoo", "eval", "moons-nsf", "--data", "checker"], ["checkerboard"]),
        (["zoo", "eval", "moons-nsf", "--metric", "var"], ["variational-bound"]),
        (["zoo", "export", "moons-nsf", "--target", "tri"], ["triton"]),
        (["zoo", "show", "unip"], ["unipc"]),
        (["zoo", "completion", ""], list(SHELLS)),
        (["zoo", "run", "moons-nsf", "--format", "p"], ["parquet", "png"]),
        (["zoo", "run", "moons-nsf", "--format", "=", "np"], ["npy", "npz"]),
        (["zoo", "run", "moons-nsf", "--format", "="], FORMATS),
        (["zoo", "list", "sam"], ["samplers"]),
        (["zoo", "list", "mo"], ["models", "modalities", "moons-cnf", "moons-nsf", "moons-rectified-flow"]),
        (["zoo", "list", "--samplers", "dd"], ["ddim", "ddpm"]),
        (["zoo", "list", "--metrics", "--samplers", "ta"], ["table", "tarp"]),
        (["zoo", "list", "--all", "unip"], ["unipc"]),
    ],
)
def test_names_of_everything_are_completed(zoo_command, words, names):
    assert completed(zoo_command, *words) == names


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["zoo", "run", "moons-nsf", "--format", "p"], ["parquet", "png"]),
        (["zoo", "list", "--samplers", "dd"], ["ddim", "ddpm"]),
        (["zoo", "run", "hf:"], HUB),
        (["zoo", "run", "hf:lab/flow@b"], HUB[2:]),
        (["zoo", "show", "https://"], [WEB]),
        (["zoo", "cache", "rm", "hf:lab/flow@a"], HUB[1:2]),
        (["zoo", "cache", "verify", "/home"], ["/home/user/x.zip"]),
    ],
)
def test_formats_patterns_and_pulled_models_are_completed_in_other_shells(zoo_command, pulled, shell, words, names):
    assert completed(zoo_command, *words, shell=shell, environment=pulled) == names


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["zoo", "run", "hf"], HUB),
        (["zoo", "run", "hf", ":"], [each.removeprefix("hf:") for each in HUB]),
        (["zoo", "run", "hf", ":", "lab/fl"], [each.removeprefix("hf:") for each in HUB]),
        (["zoo", "run", "hf", ":", "lab/flow", "@"], ["@" + "a" * 40, "@" + "b" * 40]),
        (["zoo", "cache", "rm", "hf", ":", "lab/flow", "@", "b"], ["@" + "b" * 40]),
        (["zoo", "show", "https", ":", "//exam"], [WEB.removeprefix("https:")]),
        (["zoo", "run", "hf", ":", "lab/flow", "@", "a" * 40, "--format", "pa"], ["parquet"]),
        (["zoo", "cache", "rm", "hf", ":", "lab/flow", "/home"], ["/home/user/x.zip"]),
    ],
)
def test_bash_which_breaks_words_gets_what_follows_the_break(zoo_command, pulled, words, names):
    assert completed(zoo_command, *words, environment=pulled) == names


def test_bash_itself_completes_an_address(zoo_command, pulled, tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    program = tmp_path / "bin" / "zoo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zoo "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(zoo completion bash)"
        COMP_WORDS=(zoo cache rm hf : lab/flow @ a); COMP_CWORD=7; _zoo_completion zoo; echo "${COMPREPLY[*]}"
        COMPREPLY=(); COMP_WORDS=(zoo list --samplers dd); COMP_CWORD=3; _zoo_completion zoo; echo "${COMPREPLY[*]}"
    """
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", script], env={**os.environ, **pulled, "PATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == ["@" + "a" * 40, "ddim ddpm"], done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_its_own_script(shell):
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0, done.stderr
    assert "_ZOO_COMPLETE" in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_the_help_of_run_is_in_sections_that_name_every_option_once():
    from zoo.cli.run import SECTIONS, command

    names = [name for section in SECTIONS.values() for name in section]
    known = {each.name for each in command.params}
    assert len(names) == len(set(names))
    assert set(names) <= known
    told = CliRunner().invoke(cli, ["run", "--help"]).stdout
    for title in (*SECTIONS, "Other options"):
        assert f"\n{title}:\n" in told
    # every line of a section begins an option, or goes on with the text of the one before
    sections = told[told.index(f"\n{next(iter(SECTIONS))}:\n") :].splitlines()
    assert [line for line in sections if line[:2] == "  " and line[2] not in " -"] == []
    flags = [line.split()[0].rstrip(",") for line in told.splitlines() if line.startswith("  -")]
    assert len(flags) == len(command.get_params(command.make_context("run", ["x"], resilient_parsing=True))) - 1
    assert len(set(flags)) == len(flags)
