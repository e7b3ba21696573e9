"""``-`` as stdout and stdin, and progress where stderr is no terminal."""

import io

import numpy as np
import pytest
from click.testing import CliRunner

from zoo.cli import _app, cli
from zoo.render.metadata import about
from zoo.runtime import load


@pytest.fixture
def piped(tmp_path, monkeypatch):
    """``piped(bytes, *arguments)`` runs the command line with bytes on stdin."""
    monkeypatch.chdir(tmp_path)

    def run(given, *arguments, code=0):
        done = CliRunner().invoke(cli, [str(each) for each in arguments], input=given)
        assert done.exit_code == code, done.stderr
        return done

    return run


def test_rows_go_through_a_pipe(piped, flow, tmp_path):
    rows = piped(b"", "run", flow, "-n", 5, "--seed", 3, "-o", "-").stdout_bytes
    piped(b"", "run", flow, "-n", 5, "--seed", 3, "-o", "x.csv")
    assert rows == (tmp_path / "x.csv").read_bytes()
    scored = piped(rows, "run", flow, "--log-prob", "-").stdout
    assert scored == piped(b"", "run", flow, "--log-prob", "x.csv").stdout
    assert len(scored.split()) == 5


@pytest.mark.parametrize("form", ["npy", "npz", "csv", "safetensors", "png"])
def test_every_format_goes_to_stdout_and_comes_from_stdin(piped, classes, form, tmp_path):
    sent = piped(b"", "run", classes, "-n", 3, "--seed", 1, "--class", 1, "-o", "-", "--format", form).stdout_bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == []
    strength = ["--strength", 0, "--class", 1]
    piped(sent, "run", classes, "--init", "-", "--format", form, *strength, "-o", "y.npy")
    x = load(classes, "cpu").sample(3, seed=1, condition=1)
    expected = np.floor(x).clip(0, 3) + 0.5 if form == "png" else x
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-6)


def test_texts_go_through_pipes(piped):
    pytest.importorskip("onnxruntime")
    few = ["--steps", 4, "--seed", 0]
    names = piped(b"", "run", "names-masked", "-n", 4, *few, "-o", "-").stdout_bytes
    assert len(names.splitlines()) == 4
    filled = piped(b"an??a\n", "run", "names-masked", "--init", "-", "-n", 3, *few, "-o", "-").stdout
    assert all(name.startswith("an") and name[4] == "a" for name in filled.split())
    assert piped(names, "run", "names-masked", "--log-prob", "-").stdout == "".join(
        piped(line + b"\n", "run", "names-masked", "--log-prob", "-").stdout for line in names.splitlines()
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "-", "--json"], "-o - and --json cannot both write to stdout"),
        (["-o", "-", "--format", "foo"], "there is no format 'foo' to write"),
        (["-o", "-", "--format", "txt"], "these samples are not texts"),
        (["-o", "x.npy", "--format", "csv"], "--format is for -"),
        (["-o", "-", "--log-prob", "x.npy"], "-o - is for samples, not for --log-prob"),
        (["--init", "-", "--mask", "-"], "--init and --mask cannot both read stdin"),
    ],
)
def test_what_a_pipe_cannot_do_is_refused(piped, flow, arguments, told, tmp_path):
    done = piped(b"", "run", flow, *arguments, code=2)
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_is_not_shown_bytes(flow, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    assert cli.main(["run", str(flow), "-n", "2", "-o", "-", "--format", "npy"], standalone_mode=False) == 2
    assert "a terminal cannot show npy" in error.getvalue()


def test_nothing_on_stdin_is_one_sentence(piped, flow):
    assert piped(b"", "run", flow, "--log-prob", "-", code=1).stderr == "Error: stdin is empty\n"
    assert piped(b"1,x\n2,3\n4,y\n", "run", flow, "--log-prob", "-", code=1).stderr.startswith("Error: stdin, column ")


def test_data_from_stdin_are_called_so(piped, classes, tmp_path):
    rows = piped(b"", "run", classes, "-n", 2, "--class", 1, "--seed", 0, "-o", "-").stdout_bytes
    for arguments in (["--log-prob", "-"], ["--init", "-", "-o", "x.npy"], ["--encode", "-", "-o", "y.npy"]):
        assert "conditions are those of stdin\n" in piped(rows, "run", classes, *arguments).stderr
    # and so in files, which are the same each time
    for name in ("x.npz", "y.npz"):
        piped(rows, "run", classes, "--init", "-", "--seed", 0, "-o", name)
        assert about(tmp_path / name)["init"] == "stdin"
        assert "stdin." not in str(about(tmp_path / name))


def test_long_work_tells_its_progress_in_lines(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_app.time, "monotonic", lambda: now[0])
    app = _app.App()
    with app.progress("working", 100) as update:
        for step in range(101):
            now[0] += 1.0
            update(step, 100)
    assert capsys.readouterr().err.splitlines() == [
        "working: 9 of 100, about 2 min left",
        "working: 39 of 100, about 61 s left",
        "working: 69 of 100, about 31 s left",
        "working: 99 of 100, about 1 s left",
    ]
    # work that goes on, and takes long to begin: what an earlier process did says nothing of how fast this one is
    now[0] = 0.0
    with app.progress("going on", 60_000) as update:
        now[0] += 40.0
        for step in range(9_801, 9_901):
            now[0] += 1.0
            update(step, 60_000, 9_800)
    assert capsys.readouterr().err.splitlines() == [
        "going on: 9,801 of 60,000",
        "going on: 9,831 of 60,000, about 13.9 h left",
        "going on: 9,861 of 60,000, about 13.9 h left",
        "going on: 9,891 of 60,000, about 13.9 h left",
    ]
    app.quiet = True
    with app.progress("working", 100) as update:
        now[0] += 100
        update(50, 100)
    assert capsys.readouterr().err == ""


def test_the_remaining_time_is_in_units_that_fit():
    assert [_app._duration(seconds) for seconds in (3, 89, 90, 5399, 9000)] == [
        "3 s",
        "89 s",
        "2 min",
        "90 min",
        "2.5 h",
    ]
