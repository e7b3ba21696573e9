"""The parts of a graph's file with rules that concern only the part itself: messages, ports and tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from zoo.bundle.scan import messages as m
from zoo.bundle.scan.values import TYPES, Fields
from zoo.bundle.scan.wire import Budget, Malformed, decode, signed
from zoo.printable import shortened

#: numbers in one tensor whose size a graph states in constants: 1 GB in float32
MAX_ELEMENTS = 1 << 28

#: fields for numbers that are not raw, and the types they serve
_FIELDS = {
    "float_data": {"float32"},
    "double_data": {"float64"},
    "int64_data": {"int64"},
    "uint64_data": {"uint32", "uint64"},
    "int32_data": {"int32", "int16", "int8", "uint16", "uint8", "bool", "float16", "bfloat16", "int4", "uint4"},
}
#: types whose numbers are stored as bits in a wider field, and how many bits; larger numbers would be truncated
_BITS = {"bool": 1, "float16": 16, "bfloat16": 16, "int4": 8, "uint4": 8}
_UNUSED = {
    "training_info": "training graphs",
    "functions": "functions that it defines itself",
    "configuration": "device configurations",
    "sparse_initializer": "sparse tensors",
    "quantization_annotation": "quantization annotations",
    "metadata_props": "metadata, which can disclose the machine that wrote it and change how ONNX Runtime loads it",
    "device_configurations": "device configurations",
    "overload": "overloads of functions",
    "tp": "types as attributes",
    "type_protos": "types as attributes",
    "ref_attr_name": "attributes of functions",
    "sparse_tensor": "sparse tensors",
    "sparse_tensors": "sparse tensors",
    "segment": "tensors in segments",
    "string_data": "texts",
}
_KINDS = ("tensor_type", "sequence_type", "map_type", "opaque_type", "sparse_tensor_type", "optional_type")

#: name, dtype and sizes; an unstated size or dtype is ``"?"``
Stated = tuple[str, str, tuple[int | str, ...]]


def refuse(what: str) -> NoReturn:
    """Refuse the file; ``what`` completes a sentence that begins with its name."""
    raise Malformed(what)


def shown(name: object) -> str:
    """A name from the file in quotes, as one line of bounded length."""
    return shortened(repr(name), 80)


class Reader:
    """Reads messages within a budget.

    Args:
        files: sizes of the checked files of the bundle, by name.
    """

    def __init__(self, files: Mapping[str, int]) -> None:
        self._files = files
        self.budget = Budget()

    def decode(self, data: memoryview, fields: m.Message) -> Fields:
        """One message, refusing fields that bundles do not use."""
        message = decode(data, fields, self.budget)
        for name in message.keys() & _UNUSED.keys():
            if message[name]:  # an empty overload is harmless
                refuse(f"contains {_UNUSED[name]}")
        return message

    def port(self, data: memoryview) -> Stated:
        """The declaration of a value."""
        value = self.decode(data, m.VALUE)
        name = value.get("name", "")
        kind = self.decode(value["type"], m.TYPE) if "type" in value else {}
        if not kind:
            return name, "?", ()
        if [each for each in _KINDS if each in kind] != ["tensor_type"]:
            refuse(f"has {shown(name)}, which is not a tensor")
        tensor = self.decode(kind["tensor_type"], m.TENSOR_TYPE)
        dtype = self.dtype(tensor.get("elem_type", 0), shown(name))[0]
        sizes: list[int | str] = []
        dims = self.decode(tensor["shape"], m.SHAPE).get("dim", ()) if "shape" in tensor else ()
        if len(dims) > m.MAX_RANK:
            refuse(f"has {shown(name)} of {len(dims)} sizes; a tensor has at most {m.MAX_RANK}")
        for each in dims:
            dim = self.decode(each, m.DIMENSION)
            if "dim_value" in dim and "dim_param" in dim:
                refuse(f"has a size of {shown(name)} that is a number and a name at once")
            sizes.append(signed(dim["dim_value"]) if "dim_value" in dim else dim.get("dim_param") or "?")
        self.bound([s for s in sizes if isinstance(s, int)], shown(name))
        return name, dtype, tuple(sizes)

    def tensor(self, data: memoryview, *, initializer: bool) -> Fields:
        """A tensor, having checked that it has as many numbers as stated, stored where they may be."""
        tensor = self.decode(data, m.TENSOR)
        name = shown(tensor.get("name", ""))
        dtype, bits = self.dtype(tensor.get("data_type", 0), name)
        dims = tensor.get("dims", [])
        if any(d < 0 for d in dims) or (count := math.prod(dims)) >= 1 << 48:
            refuse(f"has a tensor {name} of shape {dims}")
        size = -(-count * bits // 8)
        external = tensor.get("data_location", 0)
        inline = [field for field in (*_FIELDS, "raw_data") if field in tensor]
        if external not in (0, 1) or (external == 0 and "external_data" in tensor):
            refuse(f"has a tensor {name} whose data is neither inline nor external")
        if external:
            if not initializer or inline:
                refuse(f"has a tensor {name} whose data must not be external")
            self._check_external(name, tensor.get("external_data", ()), size)
            return tensor
        if len(inline) > 1:
            refuse(f"has a tensor {name} with data in {' and '.join(inline)}")
        if inline == ["raw_data"]:
            have, want = len(tensor["raw_data"]), size
        elif inline:
            have, want = self._numbers(tensor, inline[0], dtype, name), -(-count // 2) if bits == 4 else count
        else:
            have, want = 0, size
        if have != want:
            refuse(f"has a tensor {name} of {dtype}{dims} with {have} bytes or numbers of data, not {want}")
        return tensor

    def dtype(self, number: int, name: str) -> tuple[str, int]:
        """Name and bits of an ONNX type."""
        if number not in TYPES:
            refuse(f"has {name} of ONNX type {number}, which bundles do not use")
        return TYPES[number]

    def bound(self, sizes: list[int], what: str) -> None:
        """Refuse sizes beyond what a graph could need."""
        if any(s < 0 for s in sizes) or math.prod(max(s, 1) for s in sizes) > MAX_ELEMENTS:
            refuse(f"has sizes {shortened(str(sizes), 200)} for {what}, more than {MAX_ELEMENTS} numbers")

    def _numbers(self, tensor: Fields, field: str, dtype: str, name: str) -> int:
        """The number of values in a field that is not raw, having checked that their type can hold them."""
        if dtype not in _FIELDS[field]:
            refuse(f"has a tensor {name} of {dtype} with data in {field}")
        values = tensor[field]
        if field in ("float_data", "double_data"):
            return sum(map(len, values)) // (4 if field == "float_data" else 8)
        low, high = _bounds(dtype)
        if values and dtype != "uint64" and not low <= min(values) <= max(values) < high:
            refuse(f"has a tensor {name} of {dtype} with a number in {field} that {dtype} cannot hold")
        return len(values)

    def _check_external(self, name: str, entries: Any, size: int) -> None:
        fields: dict[str, str] = {}
        for each in entries:
            entry = self.decode(each, m.ENTRY)
            key = entry.get("key", "")
            if key in fields or key not in ("location", "offset", "length"):
                refuse(f"has a tensor {name} with a key {shown(key)} of external data, twice or unknown")
            fields[key] = entry.get("value", "")
        if fields.keys() != {"location", "offset", "length"}:
            refuse(f"has a tensor {name} whose external data lacks location, offset or length")
        location = fields["location"]
        if location not in self._files or not location.endswith(".safetensors"):
            refuse(f"takes tensor {name} from {shown(location)}, which is not a weights file of the bundle")
        offset, length = (_whole(fields[key]) for key in ("offset", "length"))
        if offset is None or length is None or offset + length > self._files[location]:
            refuse(
                f"takes tensor {name} from bytes {shown(fields['offset'])} + {shown(fields['length'])} of {location}, "
                f"which has {self._files[location]}"
            )
        if length != size:
            refuse(f"takes {length} bytes for tensor {name}, which has {size}")


def _bounds(dtype: str) -> tuple[int, int]:
    """The range of numbers that a field other than ``raw_data`` may hold for a type, excluding its end."""
    bits = _BITS.get(dtype) or int(dtype.lstrip("uint"))
    return (-(1 << bits - 1), 1 << bits - 1) if dtype in ("int8", "int16", "int32", "int64") else (0, 1 << bits)


def _whole(digits: str) -> int | None:
    """A number below 2⁶³ in its canonical form."""
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18 or (digits[0] == "0" and digits != "0"):
        return None
    return int(digits)
