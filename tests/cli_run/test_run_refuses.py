"""``zoo run`` when something is wrong: exit code, one sentence, a next step, and nothing written."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

from zoo.registry.cards import ModelCard


def failed(result, code, message, hint=""):
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert message in result.stderr
    assert hint in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "0 is not in the range x>=1"),
        (["-n", "-1"], "-1 is not in the range x>=1"),
        (["-n", "abc"], "'abc' is not a valid integer"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--batch-size", "0"], "0 is not in the range"),
        (["--steps", "0"], "0 is not in the range"),
        (["--sampler", "ddin"], "there is no sampler named 'ddin'"),
        (["--provider", "cdua"], "there is no provider named 'cdua'"),
        (["--class", "none"], "there is no class 'none'"),
        (["--class", "3"], "there is no class '3'"),
        (["--class", "low", "--condition", "x.npy"], "exclude each other"),
        (["-O", "eta"], "-O takes KEY=VALUE, not 'eta'"),
        (["-O", "eta=1", "-O", "eta=0"], "eta is given already"),
        (["-O", "steps=7"], "use --steps"),
        (["-O", "eta=high"], "sampler ddim"),
        (["-O", "eta=3"], "eta lies in [0, 1]"),
        (["-O", "beta=3"], "sampler ddim"),
        (["--guidance", "nan"], "finite"),
        (["-o", "x.jpg"], "extension '.jpg' of x.jpg is not a known format"),
        (["-o", "x"], "no extension"),
        (["--log-prob", "x.npy", "-n", "3"], "-n is for sampling"),
        (["--log-prob", "x.npy", "--sampler", "ddim"], "--sampler is for sampling"),
        (["--log-prob", "x.npy", "-O", "eta=1"], "no option eta"),
        (["--log-prob", "x.npy", "-o", "y.png"], "'.png'"),
        (["--log-prob", "x.pkl"], "'.pkl'"),
    ],
)
def test_usage_errors_exit_with_2(zoo, classes, arguments, message, tmp_path):
    failed(zoo("run", classes, *arguments), 2, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--class", "1"], ["--condition", "c.npy"]])
def test_a_condition_that_the_model_does_not_take(zoo, flow, arguments, tmp_path):
    np.save(tmp_path / "c.npy", np.zeros(16, int))
    failed(zoo("run", flow, *arguments, "-o", "x.npy"), 2, "takes no condition")


@pytest.mark.parametrize("arguments", [["--sampler", "ddim"], ["--steps", "5"], ["--guidance", "2"], ["-O", "eta=1"]])
def test_a_flow_has_no_sampler(zoo, flow, arguments):
    failed(zoo("run", flow, *arguments), 2, "samples in one call and has no option")


def test_events_without_picture(zoo):
    failed(zoo("run", "wine-mlp", "-o", "x.png"), 2, "samples of shape 14 cannot be drawn", "x.npy")


def test_an_unknown_model(zoo):
    failed(zoo("run", "no-such-model-anywhere"), 2, "there is no model named 'no-such-model-anywhere'")
    failed(zoo("run", "./nowhere"), 2, "nowhere")


def test_cuda_that_is_not_there(zoo, flow, monkeypatch, tmp_path):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    failed(zoo("run", flow, "--provider", "cuda", "-o", "x.npy"), 1, "CUDA was requested", "genzoo[gpu]")
    assert not list(tmp_path.iterdir())


def test_onnxruntime_that_is_not_there(zoo, flow, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = zoo("run", flow, "-o", "x.npy")
    failed(result, 1, "Error: ONNX Runtime is needed to run a bundle and is not installed\n", "genzoo[cpu]")
    assert "genzoo[gpu]" in result.stderr


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 3)), "shape (3, 3), expected (n, 2)"),
        (np.zeros((0, 2)), "no data"),
        (np.zeros((3, 2), bool), "of type bool"),
        (np.zeros((3, 2), complex), "of type complex128"),
        (np.array([[0.0, 1.0], [np.nan, 2.0]]), "1 of 4 values are not finite in float32 the first at [1, 0]: nan"),
        (np.array([[0.0, np.inf]]), "the first at [0, 1]: inf"),
        (np.array([["a", {}]], object), "it holds Python objects"),
        (np.float32(1), "shape (), expected"),
    ],
)
def test_data_that_cannot_be_scored(zoo, flow, array, message, tmp_path):
    np.save(tmp_path / "x.npy", array)
    failed(zoo("run", flow, "--log-prob", "x.npy"), 1, message)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04junk", b"a,b\n1,2\n3\n", b"\xff\xfe\x00"])
def test_damaged_data(zoo, flow, name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    failed(zoo("run", flow, "--log-prob", name), 1, name)


def test_missing_data(zoo, flow):
    failed(zoo("run", flow, "--log-prob", "none.npy"), 1, "there is no file none.npy")


def test_integers_outside_the_levels(zoo, classes, tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 1, 2, 2), 4))
    failed(zoo("run", classes, "--log-prob", "x.npy"), 1, "8 of 8 values are outside 0 to 3")


def test_a_sampler_that_breaks_down(zoo, broken_diffusion, tmp_path):
    failed(zoo("run", broken_diffusion, "--steps", 10, "--seed", 0), 1, "broke down at step 7 of 10")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def copy(classes, tmp_path_factory):
    return shutil.copytree(classes, tmp_path_factory.mktemp("copies") / "bundle")


def test_a_truncated_graph(zoo, copy):
    (copy / "step.onnx").write_bytes((copy / "step.onnx").read_bytes()[:100])
    failed(zoo("run", copy), 1, "step.onnx has 100 bytes", "again")


def test_an_altered_graph(zoo, copy):
    content = bytearray((copy / "step.onnx").read_bytes())
    content[50] ^= 255
    (copy / "step.onnx").write_bytes(content)
    failed(zoo("run", copy), 1, "altered or damaged", "again")


def test_altered_weights(zoo, copy):
    """The bundles made here have their weights in the graphs; a listed file is checked all the same."""
    from zoo.bundle import file_info

    (copy / "weights.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    values = json.loads((copy / "manifest.json").read_text())
    info = file_info(copy / "weights.safetensors")
    values["files"]["weights.safetensors"] = {"size": info.size, "sha256": info.sha256}
    (copy / "manifest.json").write_text(json.dumps(values))
    assert zoo("run", copy, "-o", "x.npy").exit_code == 0
    (copy / "weights.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0[]")
    failed(zoo("run", copy, "-o", "y.npy"), 1, "weights.safetensors has been altered")
    (copy / "weights.safetensors").unlink()
    failed(zoo("run", copy, "-o", "y.npy"), 1, "weights.safetensors is missing")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 3', "bundle format 3"),
        ('"graphs"', '"graps"', "not a valid manifest"),
        ("{", "", "not"),
    ],
)
def test_an_altered_manifest(zoo, copy, old, new, message):
    path = copy / "manifest.json"
    path.write_text(path.read_text().replace(old, new, 1))
    failed(zoo("run", copy), 1, message)


def test_an_output_that_exists(zoo, flow, tmp_path):
    (tmp_path / "x.npy").write_text("mine")
    failed(zoo("run", flow, "-o", "x.npy"), 1, "x.npy exists already", "--force")
    assert (tmp_path / "x.npy").read_text() == "mine"


@pytest.mark.parametrize("mode", [["--log-prob", "data.npy"], []])
def test_an_output_that_cannot_be_written(zoo, flow, mode, tmp_path):
    np.save(tmp_path / "data.npy", np.zeros((1, 2)))
    (tmp_path / "folder.npy").mkdir()
    failed(zoo("run", flow, *mode, "-o", "none/x.npy"), 1, "there is no folder none", "mkdir")
    failed(zoo("run", flow, *mode, "-o", "folder.npy"), 1, "is a folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(zoo, flow, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    failed(zoo("run", flow, "-o", "locked/x.npy"), 1, "cannot be written")


def test_failure_is_json_too(zoo, flow, tmp_path):
    for arguments, kind in ((["-n", "0"], "UsageError"), (["-o", "none/x.npy"], "OutputError")):
        result = zoo("run", flow, *arguments, "--json")
        assert result.exit_code in (1, 2)
        assert json.loads(result.stdout)["error"]["type"] == kind


def test_a_model_without_bundle_needs_the_exporter(zoo, tmp_path, monkeypatch):
    from zoo.cli import _opening

    card = ModelCard(name="bare", family="flow", architecture="none", event_shape=(2,))
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "card.json").write_text(card.to_json())
    monkeypatch.setattr(_opening, "find_spec", lambda name: None)
    failed(zoo("run", "./bare"), 1, "torch is needed to run bare, which has no bundle", "genzoo[onnx]")
