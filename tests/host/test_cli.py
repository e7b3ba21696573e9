"""The command line's promises: exit codes, one JSON document, no tracebacks, nothing heavy imported."""

import importlib
import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from zoo.cli import COMMANDS, _errors, cli
from zoo.cli._app import App, plain
from zoo.errors import ProofError, UnknownNameError, ZooError


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summaries_are_the_commands_own(name):
    command = importlib.import_module(f"zoo.cli.{name.replace('-', '_')}").command
    assert command.name == name
    assert command.help.splitlines()[0] == COMMANDS[name]


def test_help_lists_the_commands_and_imports_none():
    code = (
        "import sys, zoo.cli\n"
        "try: zoo.cli.cli.main(['--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "print('IMPORTED', *[m for m in sys.modules if m.startswith('zoo.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name, summary in COMMANDS.items():
        assert f"{name} " in out
        assert summary in out
    imported = set(out.split("IMPORTED")[1].split())
    assert not imported & {f"zoo.cli.{name.replace('-', '_')}" for name in COMMANDS}
    # importing the command line, which is all that a built-in command pays, loads even less: no registry
    code = "import sys\nfrom zoo.cli import cli\nprint(*[m for m in sys.modules if m.startswith('zoo.')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    light = {
        "zoo.errors",
        "zoo.lazy",
        "zoo.printable",
        *(f"zoo.cli._{name}" for name in ("app", "commands", "errors", "group", "streams", "text")),
    }
    assert set(out.split()) == {"zoo.cli", *light}


def run(work, *, debug=False, as_json=False):
    """Exit code, stdout and stderr of a command that does ``work``."""

    @click.command("probe")
    @click.pass_obj
    def probe(app):
        app.debug, app.json = debug, as_json
        work(app)

    runner = CliRunner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(cli), "get_command", lambda self, context, name: probe)
        patch.setitem(COMMANDS, "probe", "")
        done = runner.invoke(cli, ["probe"])
    return done.exit_code, done.stdout, done.stderr


def raiser(error):
    def work(app):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "kind", "told"),
    [
        (ZooError("it broke", hint="Mend it."), 1, "ZooError", "Error: it broke\nMend it.\n"),
        (
            UnknownNameError("model", "a", ["b"]),
            2,
            "UnknownNameError",
            "Error: there is no model named 'a'\nThere are: b.\n",
        ),
        (ProofError("not equal"), 3, "ProofError", "Error: not equal\n"),
        (KeyboardInterrupt(), 130, "Interrupted", "Error: interrupted\n"),
        (click.UsageError("bad"), 2, "UsageError", "Error: bad\n"),
        (click.ClickException("bad"), 1, "ClickException", "Error: bad\n"),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(error, code, kind, told):
    found, out, err = run(raiser(error))
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err
    found, out, _ = run(raiser(error), as_json=True)
    assert found == code
    assert json.loads(out)["error"]["type"] == kind


def test_what_nobody_expected_is_an_internal_error():
    code, out, err = run(raiser(ValueError("surprise\nsecond line")))
    assert (code, out) == (1, "")
    assert err.startswith("Error: internal error: ")
    assert "surprise" in err
    assert "zoo --debug" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback():
    for error in (ValueError("surprise"), ZooError("it broke")):
        code, _, err = run(raiser(error), debug=True)
        assert code == 1
        assert "Traceback" in err
        assert "raiser" in err or "work" in err


def test_an_exit_code_of_a_command_is_kept():
    def work(app):
        raise SystemExit(7)

    assert run(work)[0] == 7
    assert run(lambda app: click.get_current_context().exit(3))[0] == 3


def test_an_error_after_the_document_does_not_write_a_second():
    def work(app):
        app.emit({"done": True})
        raise ZooError("too late")

    code, out, err = run(work, as_json=True)
    assert code == 1
    assert json.loads(out) == {"done": True}
    assert "too late" in err


@pytest.mark.parametrize(
    "arguments", [["list", "--jsn", "--json"], ["lst", "--json"], ["show", "--json"], ["--json", "list"]]
)
def test_usage_errors_are_json_too(zoo_command, arguments):
    done = zoo_command(*arguments, check=2)
    assert set(json.loads(done.stdout)) == {"error"}
    assert "Error: " in done.stderr


def test_a_misspelt_command_gets_a_suggestion(zoo_command):
    assert "Did you mean 'list'?" in zoo_command("lst", check=2).stderr


def test_no_command_shows_the_help(zoo_command):
    done = zoo_command(check=0)
    assert done.stderr == ""
    assert done.stdout == zoo_command("--help", check=0).stdout
    assert "Commands:" in done.stdout


def test_json_stays_valid_whatever_plugins_print(zoo_command, site, good):
    loud = """
    import os, sys
    print("on stdout")
    sys.stdout.flush()
    os.write(1, b"on file descriptor 1\\n")
    os.system("echo from a child")
    print("on stderr", file=sys.stderr)
"""
    site.install("loud", loud + good)
    document = zoo_command.json("plugins", check=0)
    (record,) = [p for p in document["plugins"] if p["name"] == "loud"]
    assert (record["status"], record["printed"]) == ("ok", "on stdout\n")
    site.install("failing", loud + "\n    raise ImportError('after all')\n")
    document = zoo_command.json("show", "nothing-of-this-name", check=2)
    assert document["error"]["type"] == "UnknownNameError"


def test_a_closed_pipe_is_quiet(site, zoo_command, tmp_path):
    import os

    source = """
        import zoo

        @zoo.hookimpl
        def zoo_samplers():
            for i in range(3000):
                yield zoo.Sampler(name=f"s{i}", summary=60 * "x", entry="a:b")
    """
    site.install("many", source)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.folder), *sys.path])}
    for arguments in (["list", "--samplers"], ["list", "--samplers", "--json"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "zoo", "-q", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=tmp_path,
        )
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(30) == 1


def every_command(command=cli, path=()):
    """The command line's own, and the commands of those that have some, as words."""
    yield path
    if isinstance(command, click.Group):
        app = App()
        app.no_plugins = True
        context = click.Context(command, obj=app)
        for name in command.list_commands(context):
            yield from every_command(command.get_command(context, name), (*path, name))


def test_the_help_of_every_command_fits_80_columns(monkeypatch):
    """What it shows as an example too."""
    monkeypatch.setenv("COLUMNS", "80")
    paths = list(every_command())
    assert {path[0] for path in paths if path} == set(COMMANDS)
    assert ("cache", "ls") in paths
    for path in paths:
        told = CliRunner().invoke(cli, [*path, "--help"])
        assert told.exit_code == 0
        assert max(map(len, told.output.splitlines())) <= 80, path


def test_ctrl_c_exits_with_130(zoo_command, site):
    site.install("interrupting", "raise KeyboardInterrupt\n")
    done = zoo_command("list", check=130)
    assert "Traceback" not in done.stderr


def test_a_terminal_without_greek_letters_is_no_error(zoo_command, site):
    source = """
        import zoo

        @zoo.hookimpl
        def zoo_samplers():
            return [zoo.Sampler(name="s", summary="σ × ε", entry="a:b")]
    """
    site.install("greek", source)
    done = zoo_command("list", "--samplers", environment={"PYTHONIOENCODING": "ascii"}, check=0)
    assert "greek 1.0" in done.stdout
    assert zoo_command.json("list", "--samplers", environment={"PYTHONIOENCODING": "ascii"})["samplers"]


def test_quiet_says_nothing_but_errors(zoo_command, site):
    site.install("broken", "1 / 0\n")
    assert "plugin broken of broken 1.0 is ignored: ZeroDivisionError" in zoo_command("list", check=0).stderr
    assert zoo_command("-q", "list", check=0).stderr == ""
    assert "Error: there is no model" in zoo_command("-q", "show", "nothing", check=2).stderr


def test_version(zoo_command):
    import zoo

    assert zoo_command("--version", check=0).stdout == f"zoo {zoo.__version__}\n"


def test_progress_is_silent_unless_stderr_is_a_terminal(capsys):
    app = App()
    with app.progress("working", 10) as update:
        update(5, 10)
    assert capsys.readouterr() == ("", "")


def test_progress_is_drawn_on_a_terminal(monkeypatch, capsys):
    app = App()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with app.progress("working", 10) as update:
        update(5, 10)
    out, err = capsys.readouterr()
    assert out == ""
    assert "working" in err
    assert "10/10" in err or "5/10" in err


def test_anything_becomes_json():
    import numpy as np

    from zoo.registry.cards import Finding

    value = {
        "nan": float("nan"),
        "array": np.array([1.5, np.inf]),
        "scalar": np.float32(2),
        "tuple": (1, None, True),
        "set": {2, 1},
        "finding": Finding(level="ok", message="m"),
        3: object,
    }
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "nan": None,
        "array": [1.5, None],
        "scalar": 2.0,
        "tuple": [1, None, True],
        "set": [1, 2],
        "finding": {"level": "ok", "message": "m", "repair": ""},
        "3": "<class 'object'>",
    }


def test_nothing_escapes_the_guard_but_an_exit():
    def exits():
        raise SystemExit(4)

    with pytest.raises(SystemExit):
        _errors.guarded(App(), exits)
    assert _errors.guarded(App(), lambda: None) == 0
