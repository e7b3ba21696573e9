#!/usr/bin/env python3
"""Write ``zoo/bundle/scan/schemas.json``: what the schemas of the operators that bundles may use say, taken from onnx.

    python scripts/operator_schemas.py

A scan of a bundle needs no onnx, so it reads this file. A test holds that it equals what the installed onnx says.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx

from zoo.bundle.scan.graph import OPSETS
from zoo.bundle.scan.operators import ALLOWED

FILE = Path(__file__).resolve().parents[1] / "zoo" / "bundle" / "scan" / "schemas.json"
_ONNX_NAMES = {"float": "float32", "double": "float64"}
_FLOATING = {f"tensor({name})" for name in ("float", "double", "float16", "bfloat16")}
_MANY = 1 << 31
_SINGLE = onnx.defs.OpSchema.FormalParameterOption.Single


def schemas() -> dict[str, list[dict[str, Any]]]:
    """Operator -> its versions within :data:`zoo.bundle.scan.graph.OPSETS`, the oldest first."""
    by_name: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in sorted(ALLOWED)}
    for name, versions in by_name.items():
        for opset in OPSETS:
            try:
                schema = onnx.defs.get_schema(name, opset, "")
            except onnx.defs.SchemaError:
                continue  # a later version brings it
            versions[schema.since_version] = _described(schema)
    return {name: _changes([versions[since] for since in sorted(versions)]) for name, versions in by_name.items()}


def _changes(versions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The versions in which something changes that the scan looks at."""
    kept: list[dict[str, Any]] = []
    for version in versions:
        if not kept or {**version, "since": 0} != {**kept[-1], "since": 0}:
            kept.append(version)
    return kept


def _described(schema: onnx.defs.OpSchema) -> dict[str, Any]:
    kinds = {c.type_param_str: _element(c.allowed_type_strs) for c in schema.type_constraints}
    attributes = schema.attributes.values()
    return {
        "since": schema.since_version,
        "inputs": [schema.min_input, min(schema.max_input, _MANY)],
        "outputs": [schema.min_output, min(schema.max_output, _MANY)],
        "attributes": {a.name: a.type.name for a in sorted(attributes, key=lambda a: a.name)},
        "required": sorted(a.name for a in attributes if a.required),
        # the inputs that there must be
        "needs": [i for i, p in enumerate(schema.inputs) if p.option == _SINGLE],
        "takes": [kinds.get(p.type_str) or _element([p.type_str]) or p.type_str for p in schema.inputs],
        "gives": [kinds.get(p.type_str) or _element([p.type_str]) or p.type_str for p in schema.outputs],
        # types that stand for floating-point numbers only
        "floating": sorted(c.type_param_str for c in schema.type_constraints if set(c.allowed_type_strs) <= _FLOATING),
    }


def _element(types: Any) -> str | None:
    """The type of the numbers, if tensors of one type only are allowed."""
    match = re.fullmatch(r"tensor\((\w+)\)", next(iter(types))) if len(types) == 1 else None
    return None if match is None else _ONNX_NAMES.get(match[1], match[1])


def text() -> str:
    """The file's content: an operator a line."""
    lines = (f"{json.dumps(name)}: {json.dumps(versions)}" for name, versions in schemas().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
    print(f"{FILE}: {len(schemas())} operators")
