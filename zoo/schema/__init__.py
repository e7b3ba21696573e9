"""The JSON Schemas of genzoo's files, and the part of JSON Schema that they use.

Readers enforce the published schema itself: ``manifest-2.json`` is read here, so the two cannot differ. A test ensures
that :func:`check` and the package ``jsonschema`` agree on valid and invalid manifests. One rule is stricter
here: an integer must be written without a fraction (``1.0`` is not one), as every typed language reads it.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

_TYPES = {
    "object": "a table",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


@cache
def load(name: str) -> dict[str, Any]:
    """A schema of this package by name, such as ``"manifest-1"``."""
    # by the loader, which also reads in an archive: importlib.resources takes longer to import than all schemas to read
    text: bytes = __spec__.loader.get_data(str(Path(__file__).with_name(f"{name}.json")))  # type: ignore[union-attr]
    schema: dict[str, Any] = json.loads(text)
    return schema


def check(value: object, name: str) -> None:
    """Refuse a JSON value that does not match a schema of this package.

    Raises:
        ValueError: with the first place that does not match, and what is expected there.
    """
    schema = load(name)
    _Checker(schema).check(value, schema, "")


class _Checker:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

    def check(self, value: object, schema: dict[str, Any], where: str) -> None:
        schema = self._resolve(schema)
        if "oneOf" in schema:
            self.check(value, self._branch(value, schema["oneOf"], where), where)
            return
        if "const" in schema and (type(value) is not type(schema["const"]) or value != schema["const"]):
            raise ValueError(f"{_at(where)}expected {schema['const']!r}, not {_show(value)}")
        if "enum" in schema and value not in schema["enum"]:
            raise ValueError(f"{_at(where)}{_show(value)} is not one of {', '.join(map(str, schema['enum']))}")
        kinds = schema.get("type")
        if kinds is not None:
            kinds = [kinds] if isinstance(kinds, str) else kinds
            if not any(_is(value, kind) for kind in kinds):
                should = " or ".join(_TYPES[kind] for kind in kinds)
                raise ValueError(f"{_at(where)}expected {should}, not {_show(value)}")
        if isinstance(value, dict):
            self._table(value, schema, where)
        elif isinstance(value, list):
            self._list(value, schema, where)
        elif isinstance(value, str):
            _text(value, schema, where)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _number(value, schema, where)

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return schema

    def _branch(self, value: object, branches: list[dict[str, Any]], where: str) -> dict[str, Any]:
        """The one branch that applies to a value: by its type, and for tables by their ``kind``, or for lack of it."""
        resolved = [self._resolve(branch) for branch in branches]
        fitting = [b for b in resolved if _is(value, b["type"])]
        if isinstance(value, dict) and fitting:
            if (bare := [b for b in fitting if "kind" not in b["properties"]]) and "kind" not in value:
                return bare[0]
            kinds = {b["properties"]["kind"].get("const"): b for b in fitting if b not in bare}
            kind, others = value.get("kind"), kinds.pop(None, None)
            if isinstance(kind, str) and kind not in kinds and others is not None:
                return others
            if not isinstance(kind, str) or kind not in kinds:
                raise ValueError(f"{_at(where)}the kind {_show(kind)} is not one of {', '.join(kinds)}")
            return kinds[kind]
        if not fitting:
            should = " or ".join(dict.fromkeys(_TYPES[b["type"]] for b in resolved))
            raise ValueError(f"{_at(where)}expected {should}, not {_show(value)}")
        return fitting[0]

    def _table(self, value: dict[str, Any], schema: dict[str, Any], where: str) -> None:
        if missing := [name for name in schema.get("required", ()) if name not in value]:
            raise ValueError(f"{_at(where)}{', '.join(missing)} is missing")
        if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
            raise ValueError(f"{_at(where)}there are {len(value)} entries, which is too many or too few")
        names = self._resolve(schema.get("propertyNames", {}))
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        for name, inner in value.items():
            if ("pattern" in names and not _matches(names["pattern"], name)) or (
                len(name) > names.get("maxLength", math.inf)
            ):
                raise ValueError(f"{_at(where)}{_show(name)} is not {names['title']}")
            if name in known:
                self.check(inner, known[name], f"{where}.{name}")
            elif others is False:
                raise ValueError(f"{_at(where)}there is no field {_show(name)}")
            elif isinstance(others, dict):
                self.check(inner, others, f"{where}.{name}")

    def _list(self, value: list[Any], schema: dict[str, Any], where: str) -> None:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            raise ValueError(f"{_at(where)}there are {len(value)} entries, which is too many or too few")
        if "items" in schema:
            for i, inner in enumerate(value):
                self.check(inner, schema["items"], f"{where}[{i}]")


def _text(value: str, schema: dict[str, Any], where: str) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        raise ValueError(f"{_at(where)}a text of {len(value)} characters is too long or too short")
    if "pattern" in schema and not _matches(schema["pattern"], value):
        raise ValueError(f"{_at(where)}{_show(value)} is not {schema.get('title', 'of the required form')}")
    if value in schema.get("not", {}).get("enum", ()):
        raise ValueError(f"{_at(where)}{_show(value)} is not {schema.get('title', 'an allowed value')}")


def _number(value: float, schema: dict[str, Any], where: str) -> None:
    name = where.lstrip(".")
    if "exclusiveMinimum" in schema and not value > schema["exclusiveMinimum"]:
        raise ValueError(f"{name} must be above {schema['exclusiveMinimum']}, not {_show(value)}")
    if "minimum" in schema and not value >= schema["minimum"]:
        raise ValueError(f"{name} must be {schema['minimum']} or more, not {_show(value)}")
    if "maximum" in schema and not value <= schema["maximum"]:
        raise ValueError(f"{name} must be at most {schema['maximum']}, not {_show(value)}")


def _matches(pattern: str, text: str) -> bool:
    # in JSON Schema $ is the end of the text; in Python it also matches before a trailing line break
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None


def _is(value: object, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "null":
        return value is None
    return isinstance(value, {"object": dict, "array": list, "string": str, "boolean": bool}[kind])


def _at(where: str) -> str:
    return f"{where.lstrip('.')}: " if where else ""


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
