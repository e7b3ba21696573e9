"""``zoo export``: exit codes, streams, and what is refused before any work."""

import json
import time

import pytest
import torch
from click.testing import CliRunner

from zoo import weights
from zoo.bundle import open_bundle
from zoo.cli import cli
from zoo.files import sha256
from zoo.registry.cards import ModelCard, WeightsFile


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A trained-looking model folder of a small spline flow."""
    nsf = pytest.importorskip("zoo_flows.nsf")
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    config = {"event_shape": [2], "transforms": 1, "hidden": 16, "blocks": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nsf.NSFCoupling(**config)
    path = folder / "weights.safetensors"
    weights.write(path, weights.state_arrays(model))
    card = ModelCard(
        name="small",
        family="flow",
        architecture="nsf-coupling",
        config=config,
        event_shape=(2,),
        weights=WeightsFile(path.name, sha256(path), path.stat().st_size),
        license={"code": "Apache-2.0", "weights": "Apache-2.0"},
    )
    (folder / "card.json").write_text(card.to_json())
    return folder


def zoo(*arguments):
    result = CliRunner().invoke(cli, [str(a) for a in ("export", *arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="session")
def exported(model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "bundle"
    return folder, zoo(model_folder, "-o", folder, "--json")


def test_json_describes_the_bundle(exported):
    folder, (code, out, err) = exported
    assert code == 0, err
    said = json.loads(out)
    assert said["model"] == "small"
    assert said["files"]["inverse.onnx"] == (folder / "inverse.onnx").stat().st_size
    assert said["proof"]["cases"] > 0
    assert open_bundle(folder).manifest.licenses["weights"] == "Apache-2.0"


def test_progress_and_summary_go_to_stderr(exported):
    _, (_, _, err) = exported
    for said in ("tracing graph inverse (2 of 8)", "writing", "proving log_prob", "equals PyTorch within"):
        assert said in err


def test_a_bundle_can_be_exported_again(exported, tmp_path):
    folder, _ = exported
    code, out, err = zoo(folder, "-o", tmp_path / "again", "--opset", "20")
    assert (code, out) == (0, ""), err
    manifest = open_bundle(tmp_path / "again").manifest
    assert manifest.graphs["inverse"].opset == 20
    assert manifest.model == open_bundle(folder).manifest.model


def test_an_output_that_exists_is_refused_at_once(model_folder, tmp_path):
    began = time.perf_counter()
    code, out, err = zoo(model_folder, "-o", tmp_path)
    assert (code, out) == (1, "")
    assert "exists already" in err
    assert "--force" in err
    assert "tracing" not in err
    assert time.perf_counter() - began < 2


def test_an_output_that_cannot_be_written_is_refused_before_tracing(model_folder):
    code, _, err = zoo(model_folder, "-o", "/proc/nowhere/bundle")
    assert code == 1
    assert "cannot write /proc/nowhere/bundle" in err
    assert "tracing" not in err


def test_unknown_names_are_usage_errors(model_folder, tmp_path):
    code, out, err = zoo("no-such-model", "-o", tmp_path / "b", "--json")
    assert code == 2
    assert json.loads(out)["error"]["type"] == "UnknownNameError"
    code, _, err = zoo(model_folder, "-o", tmp_path / "b", "--target", "onxx")
    assert code == 2
    assert "onnx" in err
    code, _, err = zoo(model_folder, "-o", tmp_path / "b", "--opset", "3")
    assert code == 2
    assert not (tmp_path / "b").exists()


def test_an_inverse_is_chosen_where_there_is_a_choice(model_folder, tmp_path):
    code, _, err = zoo(model_folder, "-o", tmp_path / "b", "--inverse", "loop")
    assert code == 2
    assert "no graphs that are written rather than traced" in err
    maf = pytest.importorskip("zoo_flows.maf")
    config = {"event_shape": [3], "transforms": 1, "hidden": [8]}
    model = maf.MAF(**config)
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "weights.safetensors"
    weights.write(path, weights.state_arrays(model))
    card = ModelCard(
        name="maf",
        family="flow",
        architecture="maf",
        config=config,
        event_shape=(3,),
        weights=WeightsFile(path.name, sha256(path), path.stat().st_size),
    )
    (folder / "card.json").write_text(card.to_json())
    code, _, err = zoo(folder, "-o", tmp_path / "b", "--inverse", "loop")
    assert code == 0, err
    assert "writing graph inverse" in err
    assert b"Loop" in (tmp_path / "b" / "inverse.onnx").read_bytes()


def test_a_failed_proof_exits_3(model_folder, tmp_path, monkeypatch):
    import zoo_onnx.proof

    monkeypatch.setattr(zoo_onnx.proof.Comparison, "check", fails)
    code, out, _ = zoo(model_folder, "-o", tmp_path / "b", "--json")
    assert code == 3
    error = json.loads(out)["error"]
    assert error["type"] == "ProofError"
    assert "(they differ)" in error["message"]
    assert list(tmp_path.iterdir()) == []


def fails(*_, **__):
    from zoo.errors import ProofError

    raise ProofError("they differ")


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxscript"])
def test_a_missing_package_is_said_in_one_sentence(model_folder, tmp_path, monkeypatch, package):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a))
    monkeypatch.setattr("zoo.registry.entries.find_spec", importlib.util.find_spec, raising=False)
    code, _, err = zoo(model_folder, "-o", tmp_path / "b")
    assert code == 1
    assert f"{package} is needed to" in err
    assert "pip install 'genzoo[onnx]'" in err
    assert "Traceback" not in err
