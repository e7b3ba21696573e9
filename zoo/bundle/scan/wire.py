"""Protobuf's wire format, as much of it as ONNX files use, read within bounds.

A message is a run of fields; a field is a varint ``number·8 + type`` and a value. Four types are in use: a varint (0),
eight bytes (1), a varint length and so many bytes (2), four bytes (5).

Parsers of protobuf disagree with nobody but themselves: a field may come twice, of which the last counts, or the two
are merged. A scanner that looks at the first and a runtime that runs the last see two files. So whatever could be
read in two ways is refused here: a second value of a field that has one, a field nobody knows, a value of another
type than the field has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from zoo.printable import unprintable

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
_NAMES = {VARINT: "a varint", EIGHT: "eight bytes", LENGTH: "bytes", FOUR: "four bytes"}

#: fields and packed numbers in one file; the largest graph that we export has some 30 000
MAX_FIELDS = 1_000_000
#: for one file; all that the other bounds let through takes a few on a slow machine
MAX_SECONDS = 30.0
_MAX_TEXT = 1 << 12
#: the one text that nobody shows or looks anything up by, and may have lines
_NOTES = "doc_string"
_MAX_NOTES = 1 << 16


class Malformed(ValueError):  # noqa: N818 - a finding about a file, which callers turn into an error
    """Bytes that are not what they claim to be; the text says what is wrong."""


class Field(NamedTuple):
    """What a field holds.

    Attributes:
        name: as in the ONNX specification.
        kind: ``int``, ``float``, ``text``, ``bytes`` or ``message``; ``fours`` and ``eights`` are packed numbers that
            are counted and not read, ``numbers`` are integers, packed or not.
        many: whether it may come more than once.
        most: how many numbers there may be, of those that are few.
    """

    name: str
    kind: str
    many: bool = False
    most: int | None = None


_WIRE = {"int": VARINT, "float": FOUR, "text": LENGTH, "bytes": LENGTH, "message": LENGTH}
_PACKED = {"fours": (FOUR, 4), "eights": (EIGHT, 8)}


class Budget:
    """Bounds the work that one file can cause, and the time that it takes."""

    def __init__(self, fields: int = MAX_FIELDS, seconds: float = MAX_SECONDS) -> None:
        self._left = fields
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def spend(self, fields: int) -> None:
        """Refuse when it is used up."""
        self._left -= fields
        if self._left < 0:
            raise Malformed(f"has more than {MAX_FIELDS} fields")
        if self._left & 1023 == 0 or fields > 1:
            self.look()

    def look(self) -> None:
        """Refuse when the time is up."""
        if time.monotonic() > self._end:
            raise Malformed(f"takes more than {self._seconds:g} s to look at")


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
    packed: set[str] = set()
    for number, kind, value in _fields(data, budget):
        field = fields.get(number)
        if field is None:
            raise Malformed(f"has a field {number} that its kind of message does not know")
        if field.kind == "numbers" or field.kind in _PACKED:
            # one run, or one number at a time: nobody writes both, and a later run could be taken for the only one
            if field.name in packed or (kind == LENGTH and field.name in found):
                raise Malformed(f"has the numbers of {field.name} in more than one run")
            if kind == LENGTH:
                packed.add(field.name)
            _gather(found.setdefault(field.name, []), kind, value, field, budget)
            continue
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
            if byte == 0 and shift:
                raise Malformed("has a number that is written with more bytes than it takes")
            return value, at
        shift += 7
    raise Malformed("has a number of more than 64 bits")


def signed(value: int) -> int:
    """An int32 or int64 as protobuf writes it, from the unsigned number on the wire."""
    return value - (1 << 64) if value >> 63 else value


def _gather(numbers: list[Any], kind: int, value: Any, field: Field, budget: Budget) -> None:
    """Add one number, or a packed run of them, to those of a repeated field."""
    if field.kind in _PACKED:
        unpacked, size = _PACKED[field.kind]
        if kind not in (unpacked, LENGTH) or len(value) % size:
            raise Malformed(f"has a field {field.name} that is no run of numbers")
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
    """The numbers of one packed run, all at once: files hold many."""
    octets = np.frombuffer(data, np.uint8)
    # each number ends with the one byte of it whose top bit is clear
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
        raise Malformed("has a number that is written with more bytes than it takes")
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
