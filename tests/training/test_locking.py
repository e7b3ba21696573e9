"""Two processes do not train into one folder at once."""

import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")

from click.testing import CliRunner

from zoo.cli import _group
from zoo.errors import OutputError
from zoo.training.kept import CHECKPOINT_FILE, STATE_FILE
from zoo.training.locking import LOCK_FILE, locked

RECIPE = """
name = "tiny"
training = { steps = 2, batch_size = 20 }
[model]
architecture = "nsf-coupling"
config = { event_shape = [2], transforms = 1, hidden = 4, blocks = 1, bins = 4 }
[data]
name = "moons"
options = { train = 60, validation = 20, test = 30 }
"""
#: holds a lock until it is killed
HOLD = """
import sys, time
from pathlib import Path
from zoo.training.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held(tmp_path):
    """A folder that another process trains into."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process, tmp_path / "run"
        process.kill()


def train(folder, *options):
    (folder.parent / "tiny.toml").write_text(RECIPE)
    command = ["train", str(folder.parent / "tiny.toml"), "-o", str(folder), *options]
    return CliRunner().invoke(_group.cli, command)


def test_a_second_process_is_refused_in_a_sentence_and_a_killed_one_locks_nothing(held):
    process, folder = held
    for options in ((), ("--restart",)):
        refused = train(folder, *options)
        assert refused.exit_code == 1
        assert f"another process is training into {folder}" in " ".join(refused.stderr.split())
    with pytest.raises(OutputError, match="another process"), locked(folder):
        pass
    assert [each.name for each in folder.iterdir()] == [LOCK_FILE]
    process.kill()
    process.wait()
    assert (folder / LOCK_FILE).exists()
    deadline = time.monotonic() + 10
    while (done := train(folder)).exit_code and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done.exit_code == 0, done.stderr
    names = {each.name for each in folder.iterdir()}
    assert STATE_FILE in names
    assert not names & {LOCK_FILE, CHECKPOINT_FILE}


def test_a_folder_that_nothing_was_written_into_is_not_left(tmp_path):
    with locked(tmp_path / "runs" / "nothing"):
        assert (tmp_path / "runs" / "nothing" / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs" / "something"):
        (tmp_path / "runs" / "something" / "card.json").touch()
    assert [each.name for each in (tmp_path / "runs" / "something").iterdir()] == ["card.json"]


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not a folder"), locked(tmp_path / "file"):
        pass
    with pytest.raises(OutputError, match="cannot write"), locked(tmp_path / "file" / "below"):
        pass
