"""Protobuf's wire format, as much of it as ONNX files use, read within bounds.

A message is a run of fields; a field is a varint ``number·8 + type`` and a value. Four types are in use: a varint (0),
eight bytes (1), a varint length and so many bytes (2), four bytes (5).

Parsers of protobuf disagree with nobody but themselves: a field may come twice, of which the last counts, or the two
are merged. A scanner that looks at the first and a runtime that runs the last see two files. So whatever could be
read in two ways is refused here: a second value of a field that has one, a field nobody knows, a value of another
type than the field has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
_NAMES = {VARINT: "a varint", EIGHT: "eight bytes", LENGTH: "bytes", FOUR: "four bytes"}

#: fields and packed numbers in one file; the largest graph that we export has some 30 000
MAX_FIELDS = 3_000_000
_MAX_TEXT = 1 << 16


class Malformed(ValueError):  # noqa: N818 - a finding about a file, which callers turn into an error
    """Bytes that are not what they claim to be; the text says what is wrong."""


class Field(NamedTuple):
    """What a field holds.

    Attributes:
        name: as in the ONNX specification.
        kind: ``int``, ``float``, ``text``, ``bytes`` or ``message``; ``fours`` and ``eights`` are packed numbers that
            are counted and not read, ``numbers`` are integers, packed or not.
        many: whether it may come more than once.
    """

    name: str
    kind: str
    many: bool = False


_WIRE = {"int": VARINT, "float": FOUR, "text": LENGTH, "bytes": LENGTH, "message": LENGTH}
_PACKED = {"fours": (FOUR, 4), "eights": (EIGHT, 8)}


class Budget:
    """Bounds the work that one file can cause."""

    def __init__(self, fields: int = MAX_FIELDS) -> None:
        self._left = fields

    def spend(self, fields: int) -> None:
        """Refuse when it is used up."""
        self._left -= fields
        if self._left < 0:
            raise Malformed(f"has more than {MAX_FIELDS} fields")


def decode(data: memoryview, fields: Mapping[int, Field], budget: Budget) -> dict[str, Any]:
    """The fields of one message; messages inside it stay bytes.

    Args:
        data: the message.
        fields: what it may hold, by number.
        budget: bounds the number of fields.

    Returns:
        name -> ``int``, ``str`` or ``memoryview``, a list of these for repeated fields, and for packed numbers that are
        counted their bytes' views in a list. Fields that are missing are missing.

    Raises:
        Malformed: truncated, unknown fields, wrong types, or a second value.
    """
    found: dict[str, Any] = {}
    for number, kind, value in _fields(data, budget):
        field = fields.get(number)
        if field is None:
            raise Malformed(f"has a field {number} that its kind of message does not know")
        if field.kind == "numbers":
            found.setdefault(field.name, []).extend(_numbers(kind, value, field, budget))
        elif field.kind in _PACKED:
            unpacked, size = _PACKED[field.kind]
            if kind not in (unpacked, LENGTH) or len(value) % size:
                raise Malformed(f"has a field {field.name} that is no run of numbers")
            found.setdefault(field.name, []).append(value)
        else:
            if kind != _WIRE[field.kind]:
                raise Malformed(f"has {_NAMES[kind]} where its field {field.name} has {_NAMES[_WIRE[field.kind]]}")
            if field.kind == "text":
                value = _text(value, field)
            if field.many:
                found.setdefault(field.name, []).append(value)
            elif field.name in found:
                raise Malformed(f"has a second value of {field.name}")
            else:
                found[field.name] = value
    return found


def _fields(data: memoryview, budget: Budget) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value): an int for varints, else a view of the bytes."""
    at, end = 0, len(data)
    while at < end:
        budget.spend(1)
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise Malformed(f"has a field of number {number}")
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, kind, value
            continue
        if kind == LENGTH:
            size, at = varint(data, at)
        elif kind in (EIGHT, FOUR):
            size = 8 if kind == EIGHT else 4
        else:
            raise Malformed(f"has a field of wire type {kind}, which ONNX files do not use")
        if size > end - at:
            raise Malformed(f"is cut off: a field of {size} bytes begins {end - at} bytes before the end")
        yield number, kind, data[at : at + size]
        at += size


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned 64-bit number at an offset, and the offset after it."""
    value = shift = 0
    for _ in range(10):
        if at >= len(data):
            raise Malformed("is cut off within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
        shift += 7
    raise Malformed("has a number of more than 64 bits")


def signed(value: int) -> int:
    """An int32 or int64 as protobuf writes it, from the unsigned number on the wire."""
    return value - (1 << 64) if value >> 63 else value


def _numbers(kind: int, value: Any, field: Field, budget: Budget) -> list[int]:
    if kind == VARINT:
        return [signed(value)]
    if kind != LENGTH:
        raise Malformed(f"has {_NAMES[kind]} where its field {field.name} has numbers")
    # each number ends with the one byte of it whose top bit is clear
    budget.spend(int(np.count_nonzero(np.frombuffer(value, np.uint8) < 0x80)))
    numbers, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        numbers.append(signed(number))
    return numbers


def _text(value: memoryview, field: Field) -> str:
    if len(value) > _MAX_TEXT:
        raise Malformed(f"has a {field.name} of {len(value)} bytes")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"has a {field.name} that is not UTF-8") from None
