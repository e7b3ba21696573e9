"""Exports that are killed, that race, or that run out of disk leave a whole bundle or none.

One process imports torch and forks an export for every trial, which takes a second instead of five.
"""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.bundle import is_bundle, open_bundle
from zoo.errors import OutputError
from zoo.exporting import export

CONFTEST = str(Path(__file__).with_name("conftest.py"))
SERVER = f"""
import importlib.util, json, os, random, signal, sys, time, warnings
warnings.simplefilter("ignore")
import torch, onnxruntime, zoo_onnx.export
from zoo.errors import ZooError
from zoo.exporting import export
spec = importlib.util.spec_from_file_location("conftest", {CONFTEST!r})
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)

def start(folder, **options):
    child = os.fork()
    if child:
        return child
    try:
        export(conftest.Gaussian(), folder, **options)
        os._exit(0)
    except ZooError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    except BaseException:
        os._exit(99)

def code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def serve(script, folder):
    """Run a script that has ``start`` and ``code``; its output's last line is JSON."""
    command = [sys.executable, "-c", SERVER + f"\nfolder = {str(folder)!r}\n" + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.full
def test_a_kill_at_any_of_ten_moments_leaves_no_bundle_and_no_corrupt_one(tmp_path):
    script = """
began = time.perf_counter()
whole = code(start(folder + "/whole/bundle"))
took = time.perf_counter() - began
moments, codes, killed = random.Random(0), [], 0
while killed < 10 and len(codes) < 40:
    began = time.perf_counter()
    child = start(f"{folder}/{len(codes)}/bundle")
    # one in each tenth of the time, so that every phase is hit
    time.sleep(took * (killed + moments.random()) / 10)
    os.kill(child, signal.SIGKILL)
    codes.append(code(child))
    killed += codes[-1] == -9
    if codes[-1] == 0:  # it was quicker than the first, and too quick for us
        took *= 0.9
print(json.dumps([whole, codes]))
"""
    (whole, codes), _ = serve(script, tmp_path)
    assert whole == 0
    assert codes.count(-9) == 10
    open_bundle(tmp_path / "whole" / "bundle")
    for i, result in enumerate(codes):
        place = tmp_path / str(i)
        for found in place.iterdir() if place.exists() else ():
            if found.name == "bundle":
                assert result == 0
                open_bundle(found)
            else:  # what a kill leaves behind is hidden, and is no bundle unless it is a whole one
                assert found.name.startswith(".bundle.")
                if is_bundle(found):
                    open_bundle(found)


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_two_exports_into_one_folder_leave_one_whole_bundle(tmp_path, force):
    script = f"""
children = [start(folder + "/bundle", force={force}) for _ in range(2)]
print(json.dumps([code(child) for child in children]))
"""
    codes, said = serve(script, tmp_path)
    assert sorted(codes) == ([0, 0] if force else [0, 1])
    assert force or "exists already" in said
    open_bundle(tmp_path / "bundle")
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("what", ["weights.safetensors", "inverse.onnx", "golden.safetensors", "manifest.json"])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(gaussian, tmp_path, monkeypatch, what):
    write = Path.write_bytes

    def full(path, data):
        if what in path.name:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=rf"cannot write .*{what}: no space left on device"):
        export(gaussian, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_what_is_exported_tells_nothing_of_the_machine_that_made_it(gaussian_bundle):
    shipped = Path(__file__).parents[2] / "plugins" / "zoo_models"
    graphs = [*gaussian_bundle.glob("*.onnx"), *shipped.glob("*/bundle/*.onnx")]
    assert len(graphs) > 2
    for graph in graphs:
        content = graph.read_bytes()
        for trace in (b".py", b"site-packages", b"stack_trace", b'File "', os.fsencode(Path.home()) + b"/"):
            assert trace not in content, f"{graph.name} holds {trace!r}"
