"""What the scan knows of operators is what onnx says, and what it infers of types is what onnx infers."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
from zoo.bundle.scan.graph import OPSETS  # noqa: E402
from zoo.bundle.scan.operators import ALLOWED  # noqa: E402
from zoo.bundle.scan.schemas import ATTRIBUTES, schema_of  # noqa: E402

ROOT = Path(__file__).parents[2]


def test_the_stored_schemas_are_those_of_onnx():
    script = runpy.run_path(str(ROOT / "scripts" / "operator_schemas.py"))
    assert script["FILE"].read_text("utf-8") == script["text"](), "run scripts/operator_schemas.py"


def test_types_of_attributes_have_onnx_s_numbers_and_fields():
    numbers = dict(onnx.AttributeProto.AttributeType.items())
    fields = {field.name for field in onnx.AttributeProto.DESCRIPTOR.fields}
    for name, (number, field) in ATTRIBUTES.items():
        assert numbers[name] == number
        assert field in fields
        if name not in ("TENSOR", "GRAPH"):
            value = {"FLOAT": 1.5, "INT": 1, "STRING": "a", "FLOATS": [1.5], "INTS": [1], "STRINGS": ["a"]}[name]
            made = onnx.helper.make_attribute("x", value)
            assert {f.name for f, _ in made.ListFields()} - {"name", "type"} == {field}
            assert made.type == number


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_has_the_operators_that_onnx_gives_it(opset):
    for name in sorted(ALLOWED):
        try:
            known = onnx.defs.get_schema(name, opset, "")
        except onnx.defs.SchemaError:
            assert schema_of(name, opset) is None
            continue
        ours = schema_of(name, opset)
        assert ours is not None
        assert set(ours.attributes) == set(known.attributes)
        assert ours.inputs[0] == known.min_input
        assert ours.outputs[0] == known.min_output
