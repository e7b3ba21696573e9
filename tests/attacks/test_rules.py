"""The rules themselves: they know ONNX as onnx does, the schema is what is enforced, and what we ship keeps to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo import schema
from zoo.bundle import open_bundle
from zoo.bundle.scan import messages
from zoo.bundle.scan.operators import ALLOWED, OPERATORS

onnx = pytest.importorskip("onnx")
SHIPPED = sorted((Path(__file__).parents[2] / "plugins" / "zoo_models").glob("*/bundle"))
MESSAGES = {
    "ModelProto": messages.MODEL,
    "OperatorSetIdProto": messages.OPSET,
    "GraphProto": messages.GRAPH,
    "NodeProto": messages.NODE,
    "AttributeProto": messages.ATTRIBUTE,
    "TensorProto": messages.TENSOR,
    "StringStringEntryProto": messages.ENTRY,
    "ValueInfoProto": messages.VALUE,
    "TypeProto": messages.TYPE,
    "TypeProto.Tensor": messages.TENSOR_TYPE,
    "TensorShapeProto": messages.SHAPE,
    "TensorShapeProto.Dimension": messages.DIMENSION,
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_those_of_onnx(name):
    target = onnx
    for part in name.split("."):
        target = getattr(target, part)
    found = {f.number: f.name for f in target.DESCRIPTOR.fields}
    assert {number: field.name for number, field in MESSAGES[name].items()} == found


def test_operators_are_onnx_s_own_and_none_draws_numbers():
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""}
    assert known >= ALLOWED
    assert sum(map(len, OPERATORS.values())) == len(ALLOWED)  # each in one group
    drawing = {n for n in known if n.startswith("Random")} | {"Bernoulli", "Multinomial", "Dropout"}
    assert not ALLOWED & drawing


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda p: p.parent.name)
def test_what_we_ship_keeps_to_the_rules(folder):
    open_bundle(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    # the first readers of the format run all that has neither named parts nor what they do not know of sampling
    later = "parts" in (manifest.get("condition") or {})
    later |= bool({"temperature", "unclipped_column"} & manifest["programs"]["sample"].keys())
    version = 2 if later else 1
    assert manifest["format"]["version"] == version
    schema.check(manifest, f"manifest-{version}")


WRONG = [
    lambda v: v.pop("graphs"),
    lambda v: v.update(event_shape=[-1]),
    lambda v: v.update(extra=1),
    lambda v: v.update(levels=1),
    lambda v: v.update(condition={"kind": "magic", "size": 1}),
    lambda v: v.update(condition={"kind": "classes", "size": 0}),
    lambda v: v.update(condition={"parts": []}),
    lambda v: v.update(condition={"parts": [{"name": "a b", "modality": "image", "shape": [1, 2, 2]}]}),
    lambda v: v.update(condition={"parts": [{"name": "a", "modality": "video", "shape": [1, 2, 2]}]}),
    lambda v: v.update(condition={"parts": [{"name": "a", "modality": "tokens", "shape": ["a b"]}]}),
    lambda v: v.update(condition={"parts": [{"name": "a", "modality": "numbers", "shape": [1], "null": "0"}]}),
    lambda v: v["programs"].update(sample={"kind": "iterate", "graph": "g"}),
    lambda v: v["programs"].update(sample={"kind": "iterate", "graph": "g", "path": {"name": "x"}, "scale": 0}),
    lambda v: v["programs"]["sample"].update(graph="a/b"),
    lambda v: v["files"].update({"../x": {"size": 1, "sha256": "0" * 64}}),
    lambda v: next(iter(v["files"].values())).update(sha256="0"),
    lambda v: next(iter(v["graphs"].values()))["inputs"][0].update(dtype="string"),
    lambda v: next(iter(v["graphs"].values()))["inputs"][0].update(shape=["a b"]),
]


RIGHT = [
    lambda v: None,
    lambda v: v.update(
        condition={"parts": [{"name": "a", "modality": "tokens", "shape": ["n"], "size": 4, "null": [1]}]}
    ),
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("change", [*RIGHT, *WRONG])
def test_the_schema_means_the_same_to_jsonschema(good, change, version):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    published = schema.load(f"manifest-{version}")
    jsonschema.Draft202012Validator.check_schema(published)
    values = json.loads((good / "manifest.json").read_text())
    values["format"]["version"] = version
    change(values)
    ours = True
    try:
        schema.check(values, f"manifest-{version}")
    except ValueError:
        ours = False
    # named parts came with version 2
    assert ours == (change not in WRONG and (version == 2 or change is RIGHT[0]))
    assert jsonschema.Draft202012Validator(published).is_valid(values) == ours


def test_the_specification_lists_the_operators_and_the_known_answers():
    from zoo import noise

    text = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text("utf-8")
    for group, names in OPERATORS.items():
        assert f"| {group} | {', '.join(sorted(names))} |" in text
    assert ", ".join(f"{z:.6f}" for z in noise.normal(0, 1, (4,))[0]) in text
    words = noise.philox4x32(noise.np.zeros(4, "uint32"), noise.np.zeros(2, "uint32"))
    assert " ".join(f"{w:08x}" for w in words.tolist()) in text
