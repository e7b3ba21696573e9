"""Files and folders appear whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo import files
from zoo.errors import OutputError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def write():
        with files.atomic_file(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_nothing(tmp_path):
    def write():
        with files.atomic_folder(tmp_path / "out") as temporary:
            (temporary / "part").write_text("x")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_whole_with_ordinary_permissions(tmp_path):
    with files.atomic_folder(tmp_path / "deep" / "out") as temporary:
        (temporary / "part").write_text("x")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / "part").read_text() == "x"
    plain = tmp_path / "plain"
    plain.mkdir()
    assert (tmp_path / "deep" / "out").stat().st_mode == plain.stat().st_mode


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("x")
    with pytest.raises(OutputError, match="exists already"), files.atomic_folder(out):
        pass
    assert (out / "old").exists()
    with files.atomic_folder(out, replace=True) as temporary:
        (temporary / "new").write_text("y")
    assert [p.name for p in out.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_file_of_a_folder_that_cannot_be_written_is_told_by_the_name_that_it_would_have(tmp_path):
    with pytest.raises(OutputError) as told, files.atomic_folder(tmp_path / "out") as temporary:
        files.write_text(temporary / "missing" / "a.txt", "a")
    assert str(tmp_path / "out" / "missing") in str(told.value)
    assert ".tmp" not in str(told.value)


def test_a_missing_folder_is_one_clear_error(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*a\.txt: no such file or directory"):
        files.write_text(tmp_path / "none" / "a.txt", "x")


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left on device"):
        files.write_bytes(tmp_path / "a.bin", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    program = (
        "import sys, time; from pathlib import Path; from zoo import files\n"
        "with files.atomic_file(Path(sys.argv[1])) as t:\n"
        "    t.write_text('new'); print('written', flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"


def test_sha256_is_that_of_the_content(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_a_killed_process_left_a_day_ago_is_swept_away_and_nothing_else(tmp_path):
    left, fresh, others, old = (
        tmp_path / name for name in (".out.a1.tmp", ".out.b2.tmp", ".outer.c3.tmp", ".out.d.old")
    )
    for folder in (left, fresh, others, old):
        folder.mkdir()
        (folder / "weights").write_bytes(b"half")
    two_days_ago = time.time() - 2 * 86_400
    for path in (left / "weights", left, others / "weights", others, old / "weights", old, fresh):
        os.utime(path, (two_days_ago, two_days_ago))
    with files.atomic_folder(tmp_path / "out") as temporary:
        (temporary / "whole").write_text("x")
    # one whose file was written just now is somebody's still; an old folder moved aside may be the only copy
    assert {path.name for path in tmp_path.iterdir()} == {"out", fresh.name, others.name, old.name}
