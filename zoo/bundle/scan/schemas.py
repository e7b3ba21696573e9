"""Schemas of operators: their attributes and types, and the numbers and types of inputs and outputs.

They are those of the package onnx, written to ``schemas.json`` by ``scripts/operator_schemas.py``; a test ensures that
they equal those of the installed onnx. The scan itself needs no onnx.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

#: type of an attribute in schemas -> its number in ``type``, and the field that stores its value. Sparse tensors
#: and types are not used in bundles.
ATTRIBUTES = {
    "FLOAT": (1, "f"),
    "INT": (2, "i"),
    "STRING": (3, "s"),
    "TENSOR": (4, "t"),
    "GRAPH": (5, "g"),
    "FLOATS": (6, "floats"),
    "INTS": (7, "ints"),
    "STRINGS": (8, "strings"),
}


@dataclass(frozen=True)
class Schema:
    """One version of an operator.

    Attributes:
        since: the opset that introduced it.
        inputs: the smallest and the largest number of inputs.
        outputs: likewise.
        attributes: name -> type, a key of :data:`ATTRIBUTES` or another that bundles do not use.
        required: the required attributes.
        needs: indices of the required inputs.
        takes: types of the inputs, the last one for all further ones: the name of a dtype, or a letter such as ``"T"``
            that stands for the same type throughout a node.
        gives: likewise for the outputs.
        floating: the letters that stand for floating-point types only.
    """

    since: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: Mapping[str, str]
    required: tuple[str, ...]
    needs: tuple[int, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    floating: tuple[str, ...]

    def types_of(self, stated: Sequence[str], number: int) -> list[str]:
        """The types of ``number`` inputs or outputs of a node, from :attr:`takes` or :attr:`gives`."""
        return [stated[min(i, len(stated) - 1)] for i in range(number)]


def schema_of(operator: str, opset: int) -> Schema | None:
    """The version of an operator in an opset, or None if the opset does not have it."""
    versions = [each for each in _versions(operator) if each.since <= opset]
    return versions[-1] if versions else None


@cache
def _versions(operator: str) -> tuple[Schema, ...]:
    versions = []
    for values in _table().get(operator, ()):
        fields: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        versions.append(Schema(**fields))
    return tuple(versions)


@cache
def _table() -> dict[str, list[dict[str, Any]]]:
    # by the loader, which also reads in an archive: importlib.resources takes longer to import than this to read
    text: bytes = __spec__.loader.get_data(str(Path(__file__).with_name("schemas.json")))  # type: ignore[union-attr]
    table: dict[str, list[dict[str, Any]]] = json.loads(text)
    return table
