"""``zoo show`` explains a bundle."""

import json

import pytest

from zoo.bundle import MANIFEST, Bundle, read_manifest
from zoo.cli._bundle import described, explained


def told(folder):
    facts = explained(Bundle(folder, read_manifest(folder)))
    return {name: value if isinstance(value, str) else "\n".join(value) for name, value in facts}


def altered(folder, tmp_path, **changes):
    """A bundle's manifest with other fields; nothing else of a bundle is looked at."""
    values = json.loads((folder / MANIFEST).read_text("utf-8"))
    (tmp_path / MANIFEST).write_text(json.dumps({**values, **changes}), "utf-8")
    return tmp_path


def test_graphs_programs_and_proof_are_explained(flow, classes):
    lines = told(flow)
    assert lines["graphs"].splitlines()[0].startswith("inverse (opset 18): z")
    assert lines["samples by"] == "one call of inverse"
    assert lines["scores by"] == "one call of log_prob"
    assert lines["batch"] == "any"
    assert lines["precision"] == "float32"
    steps = told(classes)
    assert steps["samples by"].startswith("calls of step, one a step: ")
    assert "ODE" in steps["scores by"]


def test_fewer_bits_and_a_fixed_batch_are_told(flow, tmp_path):
    loss = {"prediction": 0.0213, "log_prob": 0.001}
    precision = {"weights": "int8", "arithmetic": "float32", "bound": 0.05, "loss": loss}
    lines = told(altered(flow, tmp_path, batch=4, precision=precision))
    assert lines["batch"].startswith("4, filled up")
    assert lines["precision"] == "weights int8, arithmetic float32; relative loss: prediction 0.021, log_prob 0.001"


def test_the_worst_of_the_proof_is_told(flow, tmp_path):
    proof = {
        "cases": 9,
        "tolerance": 1e-4,
        "torch": "2.13.0",
        "onnxruntime": "1.32.0",
        "largest_differences": {"sample": 4.8e-6, "log_prob": 1e-7},
    }
    assert "at most 4.8e-06 apart (sample)" in told(altered(flow, tmp_path, proof=proof))["proven"]


@pytest.mark.parametrize(
    ("proof", "words"),
    [({}, ""), ({"largest_differences": {"sample": 0.5}}, "cases: at most 5.0e-01 apart (sample); ")],
)
def test_a_proof_may_say_little(flow, tmp_path, proof, words):
    assert told(altered(flow, tmp_path, proof=proof))["proven"].startswith(words)


def test_the_document_has_programs_and_proof(classes):
    document = described(Bundle(classes, read_manifest(classes)))
    assert document["programs"]["sample"]["kind"] == "iterate"
    assert document["scores"] is True
    assert document["batch"] is None
    assert document["size"] > 0
