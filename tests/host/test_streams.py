"""Every command before a stdout that is closed, full, or that nobody reads any more, and under signals that end it."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.cli import COMMANDS

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")

#: a command line that writes on stdout for each command; help where more would take long
WRITING = {
    "list": ["list", "--all"],
    "show": ["show", "moons-nsf"],
    "run": ["run", "moons-nsf", "--log-prob", "x.npy"],
    "check": ["check", "moons-nsf", "--json"],
    "data": ["data", "x.csv"],
    "plugins": ["plugins"],
    "doctor": ["doctor", "--help"],
}
WITHIN = [
    [name, inner, "--help"]
    for name in COMMANDS
    for inner in getattr(importlib.import_module(f"zoo.cli.{name.replace('-', '_')}").command, "commands", ())
]
LINES = [
    *[WRITING.get(name, [name, "--help"]) for name in COMMANDS],
    *WITHIN,
    ["cache", "ls", "--json"],
    ["list", "--all", "--json"],
    ["show", "nothing-of-this-name", "--json"],
    ["--help"],
    ["--version"],
    [],
]

#: runs command lines, each in a child before each kind of stdout, and prints {kind: [[exit code, stderr], ...]}
DRIVER = r"""
import json, os, sys, tempfile
import zoo.cli._group, zoo.registry
from zoo.registry import Registry
Registry.discover()
lines, told = json.loads(sys.argv[1]), {}
for kind in ("closed", "full", "unread"):
    for line in lines:
        with tempfile.TemporaryFile() as errors:
            sys.stdout.flush()
            child = os.fork()
            if not child:
                os.dup2(errors.fileno(), 2)
                if kind == "closed":
                    os.close(1)
                elif kind == "full":
                    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
                else:
                    read, write = os.pipe()
                    os.dup2(write, 1)
                    os.close(read)
                sys.argv = ["zoo", *line]
                if kind == "closed":
                    sys.stdout = None  # as Python begins without a stdout
                code = 99
                try:
                    zoo.cli._group.main()
                except SystemExit as ending:
                    code = ending.code
                try:
                    if sys.stdout: sys.stdout.flush()
                except OSError:
                    code = 120  # as Python ends if its last flush fails
                os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            errors.seek(0)
            told.setdefault(kind, []).append([code, errors.read().decode()])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """{kind of stdout: [(command line, exit code, stderr), ...]}."""
    pytest.importorskip("onnxruntime")
    import numpy as np

    folder = tmp_path_factory.mktemp("streams")
    np.save(folder / "x.npy", np.zeros((3, 2), np.float32))
    (folder / "x.csv").write_text("a,b\n1,2\n3,4\n5,6\n7,8\n")
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(LINES)], capture_output=True, text=True, cwd=folder, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return {
        kind: [(line, *each) for line, each in zip(LINES, all_, strict=True)]
        for kind, all_ in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize(("kind", "reason"), [("closed", "it is closed"), ("full", "no space left on device")])
def test_a_stdout_that_cannot_be_written_is_one_sentence(told, kind, reason):
    for line, code, errors in told[kind]:
        if "nothing-of-this-name" in line:  # the error that was to be told as JSON is told on stderr
            assert (code, errors.splitlines()[0]) == (2, "Error: there is no model named 'nothing-of-this-name'")
        else:
            assert (code, errors.splitlines()[-1:]) == (1, [f"Error: cannot write to stdout: {reason}"]), line
        assert "Traceback" not in errors


def test_a_reader_that_has_left_is_no_error(told):
    for line, code, errors in told["unread"]:
        assert code == (2 if "nothing-of-this-name" in line else 1), (line, errors)
        for wrong in ("Traceback", "internal error", "Broken", "cannot write", "ignored"):
            assert wrong not in errors, (line, errors)


def test_samples_are_written_whatever_stdout_is(tmp_path):
    pytest.importorskip("onnxruntime")
    line = f"{sys.executable} -m zoo -q run moons-nsf -n 2 --seed 0 -o"
    for name, stdout in (("closed", ">&-"), ("full", "> /dev/full")):
        done = subprocess.run(f"{line} {name}.npy {stdout}", shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "closed.npy").read_bytes() == (tmp_path / "full.npy").read_bytes()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_samples_for_a_reader_that_leaves_end_quietly(tmp_path, unbuffered):
    pytest.importorskip("onnxruntime")
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "-q", "run", "moons-nsf", "-n", "20000", "-o", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        cwd=tmp_path,
    )
    assert process.stdout.readline() == b"x0,x1\n"
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", 1)
    process.stderr.close()


def test_a_stderr_that_cannot_be_written_ends_nothing():
    for line, code in (("list --names moons-nsf", 0), ("show nothing-of-this-name", 2)):
        for stderr in ("2>&-", "2>/dev/full"):
            run = f"{sys.executable} -m zoo {line} {stderr}"
            assert subprocess.run(run, shell=True, stdout=subprocess.PIPE).returncode == code


WAITING = r"""
import signal, sys, time
# what started the tests may ignore these, as a shell does for what runs in the background; children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from pathlib import Path
from zoo.cli import _group
from zoo.files import atomic_file, atomic_folder

class Slow(_group.LazyGroup):
    def invoke(self, context):
        with atomic_folder(Path("folder")) as folder, atomic_file(Path("file")) as file:
            (folder / "part").write_text("half")
            print("ready", flush=True)
            for _ in range(600):  # a signal just before a sleep begins does not end that sleep
                time.sleep(0.1)

_group.cli.__class__ = Slow
sys.argv = ["zoo", "list"]
_group.main()
"""


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_leaves_nothing_behind(tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(getattr(signal, number))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert errors.split() == ["Error:", "interrupted" if number == "SIGINT" else "terminated"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path):
    from zoo.files import atomic_file, atomic_folder

    left = [tmp_path / ".x.png.abc.tmp.png", tmp_path / ".y.abc.tmp"]
    others = [tmp_path / ".x.png.new.tmp.png", tmp_path / ".y.new.tmp", tmp_path / ".x.png", tmp_path / ".z.abc.tmp"]
    for path in (*left, *others):
        path.write_text("") if path.suffix == ".png" else path.mkdir()
        long_ago = time.time() - 2 * 24 * 3600
        if ".new." not in path.name:
            os.utime(path, (long_ago, long_ago))
    with atomic_file(tmp_path / "x.png") as file:
        file.write_text("x")
    with atomic_folder(tmp_path / "y"):
        pass
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
