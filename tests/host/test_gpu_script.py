"""``scripts/gpu`` rehearsed on the CPU: its results are there after each cell, and it ends when it is told to."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu"
sys.path.insert(0, str(ROOT / "scripts"))

from gpu_run import cells, models, page  # noqa: E402
from gpu_run.cells import COMPILED, MATMUL, Cell  # noqa: E402

SMALLEST = ("--models", "nsf-coupling-64", "--engines", "onnxruntime", "--precisions", "float32", "--batches", "1")


def started(tmp_path, *arguments):
    return subprocess.Popen(
        [sys.executable, SCRIPT, "--provider", "cpu", "-o", tmp_path, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def results(folder):
    return json.loads((folder / page.RESULTS).read_text())


def test_the_smallest_cell_is_measured_and_told(tmp_path):
    process = started(tmp_path, "--seconds", "100", "--no-tests", *SMALLEST)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    found = results(tmp_path)
    (cell,) = found["cells"]
    assert (found["ended"], cell["status"], cell["provider"]) == ("complete", "measured", "cpu")
    assert 0 < cell["least"] <= cell["microseconds"] <= cell["most"]
    text = (tmp_path / page.PAGE).read_text()
    assert text.startswith("# A rehearsal on the CPU: nothing here ran on a GPU\n")
    assert "| onnxruntime | float32 |" in text


def test_the_deadline_is_kept_and_what_was_not_reached_is_told(tmp_path):
    began = time.monotonic()
    process = started(tmp_path, "--seconds", "6", "--models", "mnist-unet", "--engines", "onnxruntime,torch")
    process.communicate(timeout=60)
    # it may need a moment to end what it started on a machine that does other things too
    assert time.monotonic() - began < 6 + 4
    found = results(tmp_path)
    assert found["ended"] == "when the time was over"
    assert "not reached" in {cell["status"] for cell in found["cells"]}
    assert "## Not measured" in (tmp_path / page.PAGE).read_text()


def test_results_survive_sigterm_and_no_process_is_left(tmp_path):
    process = started(tmp_path, "--seconds", "100", "--no-tests", "--models", "mnist-unet", "--engines", "onnxruntime")
    try:
        for line in process.stdout:
            if line.startswith("mnist-unet"):  # the first cell
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(each) for each in children.read_text().split()] if children.exists() else []
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        process.kill()
    found = results(tmp_path)
    assert (process.returncode, found["ended"]) == (1, "by SIGTERM")
    assert "measured" in {cell["status"] for cell in found["cells"]}
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_the_most_valuable_cells_come_first():
    plan = cells.planned(cells.KNOWN_MODELS, cells.ENGINES, cells.PRECISIONS, [1, 16, 256])
    assert len(plan) == len(set(plan)) == 4 + 4 * 6 * 4 * 3
    assert {cell.model for cell in plan[:4]} == {MATMUL}
    compiled = [index for index, cell in enumerate(plan) if cell.engine == COMPILED]
    between = [index for index, cell in enumerate(plan) if cell.batch == 16 and cell.engine != COMPILED]
    assert compiled[0] < between[0] < compiled[-1]


def test_a_cell_that_cannot_be_measured_says_why():
    def why(engine, precision, **others):
        told = {"provider": "cpu", "has_tensorrt": False, "missing": (), **others}
        return cells.reason_against(Cell("mnist-unet", engine, precision, 1), **told)

    assert why("onnxruntime", "float32") is None
    assert why("onnxruntime", "tf32") == "TF32 needs CUDA"
    assert why("torch-graph", "float32") == why("onnxruntime-graph", "float16") == "needs CUDA"
    assert why("tensorrt", "float32", provider="cuda") == "this ONNX Runtime was built without TensorRT"
    assert why("torch-graph", "tf32", provider="cuda") is None
    assert "--prepare" in why("torch", "float32", provider="cuda", missing=("mnist-unet",))


def test_the_share_of_the_peak_is_that_of_the_products():
    cell = {"status": "measured", "microseconds": 1000.0, "batch": 16}
    assert page.fraction(cell, 1e9, 1e14) == pytest.approx(16 * 1e9 / 1e-3 / 1e14)
    assert page.fraction({**cell, "status": "failed"}, 1e9, 1e14) is None
    assert page.fraction(cell, 1e9, None) is None


def test_weights_from_a_seed_are_the_same_everywhere_and_exact_in_few_bits():
    made = models.seeded("network.conv.weight", (8, 4, 3, 3))
    assert made.dtype == np.float32
    assert np.array_equal(made.astype(np.float16).astype(np.float32), made)
    # NumPy's generators have fixed raw streams
    assert made.reshape(-1)[:4].tolist() == [-0.1015625, 0.064453125, 0.150390625, 0.13671875]
    assert not np.array_equal(models.seeded("network.conv.bias", (288,)), made.reshape(-1))
    assert abs(models.seeded("norm.weight", (64,)) - 1).max() < 0.1


def test_a_prepared_bundle_is_whole_again(tmp_path):
    from safetensors.numpy import save_file

    shape = (16, 8)
    arrays = {"a.weight": models.seeded("a.weight", shape), "b": np.arange(5, dtype=np.int32)}
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    save_file(arrays, tmp_path / models.WEIGHTS)
    whole = (tmp_path / models.WEIGHTS).read_bytes()
    (prepared / models.REST).write_bytes(b"".join(models._shortened(tmp_path / models.WEIGHTS)))
    (prepared / "step.onnx").write_bytes(b"graph")
    restored = models.restore(models.MODELS["maf-64"], prepared, tmp_path / "restored")
    assert (restored / models.WEIGHTS).read_bytes() == whole
    assert len((prepared / models.REST).read_bytes()) < len(whole) - 16 * 8 * 4 + 8
    assert sorted(path.name for path in restored.iterdir()) == ["step.onnx", models.WEIGHTS]
