"""Protobuf's wire format, as far as ONNX files use it, read within bounds.

A message is a sequence of fields; a field is a varint ``number·8 + type`` and a value. Four types are in use: a varint
(0), eight bytes (1), a varint length and that many bytes (2), four bytes (5).

Protobuf is ambiguous: a field may occur twice, and then the last one counts, or the two are merged. A scanner that
reads the first and a runtime that runs the last would see different files. So anything ambiguous is refused
here: a second value of a singular field, an unknown field, a value of the wrong type.

"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from zoo.printable import unprintable

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
_NAMES = {VARINT: "a varint", EIGHT: "eight bytes", LENGTH: "bytes", FOUR: "four bytes"}

#: fields and packed numbers in one file; the largest graph that we export has about 30 000
MAX_FIELDS = 1_000_000
#: time limit for one file; anything within the other bounds takes a few seconds on a slow machine
MAX_SECONDS = 30.0
_MAX_TEXT = 1 << 12
#: the only text that is neither shown nor used as a key, so it may contain line breaks
_NOTES = "doc_string"
_MAX_NOTES = 1 << 16


class Malformed(ValueError):  # noqa: N818 - a finding about a file, which callers turn into an error
    """Malformed bytes; the message says what is wrong."""


class Field(NamedTuple):
    """The description of a field.

    Attributes:
        name: as in the ONNX specification.
        kind: ``int``, ``float``, ``text``, ``bytes`` or ``message``; ``fours`` and ``eights`` are packed numbers that
            are counted but not read; ``numbers`` are integers, packed or not.
        many: whether it may be repeated.
        most: the largest allowed number of values, for short lists.
    """

    name: str
    kind: str
    many: bool = False
    most: int | None = None


_WIRE = {"int": VARINT, "float": FOUR, "text": LENGTH, "bytes": LENGTH, "message": LENGTH}
_PACKED = {"fours": (FOUR, 4), "eights": (EIGHT, 8)}


class Budget:
    """Bounds the work and the time that one file can cause."""

    def __init__(self, fields: int = MAX_FIELDS, seconds: float = MAX_SECONDS) -> None:
        self._left = fields
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def spend(self, fields: int) -> None:
        """Refuse if the budget is exhausted."""
        self._left -= fields
        if self._left < 0:
            raise Malformed(f"has more than {MAX_FIELDS} fields")
        if self._left & 1023 == 0 or fields > 1:
            self.look()

    def look(self) -> None:
        """Refuse if the time is up."""
        if time.monotonic() > self._end:
            raise Malformed(f"takes more than {self._seconds:g} s to check")


def decode(data: memoryview, fields: Mapping[int, Field], budget: Budget) -> dict[str, Any]:
    """The fields of one message; nested messages stay bytes.

    Args:
        data: the message.
        fields: its allowed fields, by number.
        budget: bounds the number of fields.

    Returns:
        name -> ``int``, ``str`` or ``memoryview``, a list of these for repeated fields, and a list of views of the
        bytes for packed numbers that are only counted. Missing fields are omitted.

    Raises:
        Malformed: truncated, unknown fields, wrong types, or a second value.
    """
    message: dict[str, Any] = {}
    packed: set[str] = set()
    for number, kind, value in _fields(data, budget):
        field = fields.get(number)
        if field is None:
            raise Malformed(f"has a field {number} that its message type does not have")
        if field.kind == "numbers" or field.kind in _PACKED:
            # one packed run, or one number at a time: no writer mixes them, and a later run could be taken for the only
            # one
            if field.name in packed or (kind == LENGTH and field.name in message):
                raise Malformed(f"has the numbers of {field.name} in more than one run")
            if kind == LENGTH:
                packed.add(field.name)
            _gather(message.setdefault(field.name, []), kind, value, field, budget)
            continue
        if kind != _WIRE[field.kind]:
            raise Malformed(f"has {_NAMES[kind]} where its field {field.name} has {_NAMES[_WIRE[field.kind]]}")
        if field.kind == "text":
            value = _text(value, field)
        if field.many:
            message.setdefault(field.name, []).append(value)
        elif field.name in message:
            raise Malformed(f"has a second value of {field.name}")
        else:
            message[field.name] = value
    return message


def _fields(data: memoryview, budget: Budget) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value): an int for varints, else a view of the bytes."""
    at, end = 0, len(data)
    while at < end:
        budget.spend(1)
        tag = data[at]
        if tag < 0x80:  # as almost always: a call takes longer than all else here
            at += 1
        else:
            tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise Malformed(f"has a field of number {number}")
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, kind, value
            continue
        if kind == LENGTH:
            if at < end and (size := data[at]) < 0x80:
                at += 1
            else:
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
            if byte == 0 and shift:
                raise Malformed("has a number that is encoded with more bytes than needed")
            return value, at
        shift += 7
    raise Malformed("has a number of more than 64 bits")


def signed(value: int) -> int:
    """An int32 or int64 as protobuf writes it, from the unsigned number on the wire."""
    return value - (1 << 64) if value >> 63 else value


def _gather(numbers: list[Any], kind: int, value: Any, field: Field, budget: Budget) -> None:
    """Add one number, or a packed run of numbers, to a repeated field."""
    if field.kind in _PACKED:
        unpacked, size = _PACKED[field.kind]
        if kind not in (unpacked, LENGTH) or len(value) % size:
            raise Malformed(f"has a field {field.name} that is not a run of numbers")
        numbers.append(value)
    elif kind == VARINT:
        numbers.append(signed(value))
    elif kind == LENGTH:
        numbers.extend(_packed(value, field, budget))
    else:
        raise Malformed(f"has {_NAMES[kind]} where its field {field.name} has numbers")
    if field.most is not None and len(numbers) > field.most:
        raise Malformed(f"has more than {field.most} numbers in {field.name}")


def _packed(data: memoryview, field: Field, budget: Budget) -> list[int]:
    """The numbers of one packed run, vectorised since there can be many."""
    octets = np.frombuffer(data, np.uint8)
    # each number ends with its only byte whose top bit is clear
    ends = np.flatnonzero(octets < 0x80)
    if field.most is not None and len(ends) > field.most:
        raise Malformed(f"has more than {field.most} numbers in {field.name}")
    budget.spend(len(ends))
    if len(octets) and (not len(ends) or ends[-1] != len(octets) - 1):
        raise Malformed("is cut off within a number")
    lengths = np.diff(ends, prepend=-1)
    if len(ends) and (lengths.max() > 10 or np.any((lengths == 10) & (octets[ends] > 1))):
        raise Malformed("has a number of more than 64 bits")
    if np.any((lengths > 1) & (octets[ends] == 0)):
        raise Malformed("has a number that is encoded with more bytes than needed")
    starts, values = ends - lengths + 1, np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        there = lengths > place
        septets = (octets[starts[there] + place] & 0x7F).astype(np.uint64)
        values[there] |= septets << np.uint64(7 * place)
    return values.view(np.int64).tolist()


def _text(value: memoryview, field: Field) -> str:
    if len(value) > (_MAX_NOTES if field.name == _NOTES else _MAX_TEXT):
        raise Malformed(f"has a {field.name} of {len(value)} bytes")
    try:
        text = str(value, "utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"has a {field.name} that is not UTF-8") from None
    if field.name != _NOTES and unprintable(text):
        raise Malformed(f"has a {field.name} {text[:40]!r} with a control character")
    return text
