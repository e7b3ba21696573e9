"""JSON from untrusted sources: no duplicate keys, NaN or infinity, and bounded depth, numbers and texts."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_TEXT = 1 << 16


def finite(value: object) -> object:
    """A JSON value with null in place of numbers that are not finite, so that :func:`strict` can read it."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def strict(text: str, *, infinite: bool = False) -> Any:
    """The value of a JSON document.

    Args:
        text: the document.
        infinite: whether Infinity and -Infinity are accepted, as Python writes them.

    Raises:
        ValueError: not JSON, a duplicate key, a number that is not finite or an integer of more than 64 bits, nesting
            deeper than :data:`MAX_DEPTH`, a text that is too long or has control characters or unpaired surrogates.
        RecursionError: nesting far deeper than that.
    """
    constant = _infinity if infinite else _constant
    value = json.loads(text, object_pairs_hook=_table, parse_constant=constant, parse_float=_float, parse_int=_int)
    _check(value, 0)
    return value


def _check(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text has {len(text)} characters")
    # escape sequences would reach terminals; unpaired surrogates cannot be written to any file
    if not text.isprintable() and any(
        (c < " " and c not in "\n\t") or "\x7f" <= c < "\xa0" or "\ud800" <= c <= "\udfff" for c in text
    ):
        raise ValueError(f"the text {text[:40]!r} holds a control character")


def _table(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key appears twice")
    return table


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _infinity(name: str) -> float:
    return float(name) if name != "NaN" else _constant(name)


def _int(digits: str) -> int:
    # larger integers are never valid here, and do not fit into the floats that NumPy and comparisons convert them to
    if len(digits) > 20 or not -(1 << 63) <= (value := int(digits)) < 1 << 64:
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value
