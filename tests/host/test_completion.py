"""What a shell completes, and the sections of the help."""

import subprocess

import pytest
from click.testing import CliRunner

from zoo.cli import cli
from zoo.cli.completion import SHELLS


def completed(zoo_command, *words):
    line = " ".join(words)
    done = zoo_command(
        environment={"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    )
    return [each.split(",", 1)[1] for each in done.stdout.splitlines()]


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
    ],
)
def test_names_of_everything_are_completed(zoo_command, words, names):
    assert completed(zoo_command, *words) == names


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
