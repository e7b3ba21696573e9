"""The header of a safetensors file, read within bounds, and a check that its numbers are finite.

::

    8 bytes      n, the length of the header, little-endian
    n bytes      JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}
    the rest     the tensors; tensor data stands at 8 + n + begin

Every byte after the header belongs to exactly one tensor. Tensors are read in pieces, however large they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from zoo.bundle.scan.wire import Malformed
from zoo.jsonfile import strict

MAX_HEADER = 16 << 20
MAX_TENSORS = 100_000
MAX_RANK = 16
_CHUNK = 1 << 22

#: bytes per number
DTYPES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
#: the bits of the exponent, all ones in numbers that are not finite
_EXPONENTS = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000, "F64": 0x7FF0000000000000}


@dataclass(frozen=True)
class Span:
    """A tensor in a file: the offset of its bytes from the beginning of the file, and their number."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def read_header(file: BinaryIO, size: int) -> dict[str, Span]:
    """The tensors of a safetensors file by name, in the order of their bytes.

    Args:
        file: positioned at its beginning.
        size: of the file, in bytes.

    Raises:
        Malformed: not a safetensors file, or one with gaps, overlaps or tensors of the wrong size.
    """
    prefix = file.read(8)
    if len(prefix) < 8:
        raise Malformed("is too short for the length of a header")
    length = int.from_bytes(prefix, "little")
    if length > min(MAX_HEADER, size - 8):
        raise Malformed(f"claims a header of {length} bytes in a file of {size}; the limit is {MAX_HEADER}")
    raw = file.read(length)
    if not raw.startswith(b"{"):
        raise Malformed("has a header that does not begin with {")
    try:
        header = strict(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"has a header that is not JSON: {error}") from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise Malformed(f"has a header that is not a table of at most {MAX_TENSORS} tensors")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(v, str) for v in notes.values()):
        raise Malformed("has a __metadata__ that is not a table of texts")
    spans = sorted(
        ((name, _span(name, entry, 8 + length)) for name, entry in header.items()),
        key=lambda item: (item[1].offset, item[1].length),
    )
    at = 8 + length
    for name, span in spans:
        if span.offset != at:
            what = "overlaps the one before it" if span.offset < at else "leaves a gap before it"
            raise Malformed(f"has a tensor {name!r} that {what}")
        at += span.length
    if at != size:
        raise Malformed(f"has {size} bytes, but its tensors end at {at}")
    return dict(spans)


def _span(name: str, entry: object, start: int) -> Span:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"has a tensor {name!r} without exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise Malformed(f"has a tensor {name!r} of dtype {dtype!r}; there are {', '.join(DTYPES)}")
    if not _sizes(shape) or len(shape) > MAX_RANK:
        raise Malformed(f"has a tensor {name!r} whose shape is not a list of at most {MAX_RANK} sizes")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Malformed(f"has a tensor {name!r} whose data_offsets are not a beginning and an end")
    length = math.prod(shape) * DTYPES[dtype]
    if length != offsets[1] - offsets[0]:
        raise Malformed(f"has a tensor {name!r} of {offsets[1] - offsets[0]} bytes, {dtype}{shape} takes {length}")
    return Span(dtype, tuple(shape), start + offsets[0], length)


def _sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 48 for v in values)


def check_finite(file: BinaryIO, spans: dict[str, Span]) -> None:
    """Refuse floating-point numbers that are infinite or NaN.

    Raises:
        Malformed: with the tensor that has one.
    """
    for name, span in spans.items():
        mask = _EXPONENTS.get(span.dtype)
        if mask is None:
            continue
        unsigned = np.dtype(f"<u{DTYPES[span.dtype]}")
        file.seek(span.offset)
        left = span.length
        while left:
            piece = file.read(min(left, _CHUNK))
            if not piece:
                raise Malformed(f"is cut off within tensor {name!r}")
            left -= len(piece)
            words = np.frombuffer(piece, unsigned)
            if np.any((words & unsigned.type(mask)) == mask):
                raise Malformed(f"has values that are not finite in {name}")
