"""Constants and types of a graph's values, as far as the rules for graphs need them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.arrays import Array
from zoo.bundle.scan.schemas import Schema
from zoo.bundle.scan.wire import signed

Fields = dict[str, Any]

#: ONNX's number of a type -> (name, bits). No strings, complex numbers or 8-bit floats.
TYPES = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    16: ("bfloat16", 16),
    21: ("uint4", 4),
    22: ("int4", 4),
}
_NAMES = frozenset(name for name, _ in TYPES.values())
#: any floating-point type
FLOATING = "floating"
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", FLOATING})
#: largest constant whose numbers are read
_READ = 256

#: operators whose output has the same numbers as their first input
_SAME = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
#: the attribute that states the type of an operator's output
_TYPED_BY = {
    "Cast": "to",
    "ConstantOfShape": "value",
    "EyeLike": "dtype",
    "QuantizeLinear": "output_dtype",
    "DequantizeLinear": "output_dtype",
}
#: the input that determines the output's type, where the schema does not say so
_TYPED_LIKE = {"CastLike": 1, "EyeLike": 0, "QuantizeLinear": 2, "DequantizeLinear": 1}
_VALUES = {"value_float": "float32", "value_floats": "float32", "value_int": "int64", "value_ints": "int64"}


class Value(NamedTuple):
    """What is known of a value.

    Attributes:
        dtype: a name of :data:`TYPES`, :data:`FLOATING`, or nothing.
        constant: its flattened numbers, if they are constant and few, else None.
        positive: whether they are integers of 1 or more for all inputs.
    """

    dtype: str = ""
    constant: Array | None = None
    positive: bool = False


UNKNOWN = Value()


def of_tensor(tensor: Fields) -> Value:
    """A tensor whose fields have been checked."""
    return Value(TYPES[tensor["data_type"]][0], _numbers(tensor))


def _numbers(tensor: Fields) -> Array | None:
    """The numbers of a small constant; None if it is external, large or of a rare type."""
    dtype = TYPES[tensor["data_type"]][0]
    if tensor.get("data_location", 0) or math.prod(tensor.get("dims", [])) > _READ:
        return None
    if dtype in ("bfloat16", "uint4", "int4"):
        return None
    little = np.dtype(dtype).newbyteorder("<")
    if "raw_data" in tensor:
        return np.frombuffer(tensor["raw_data"], little)
    for field in ("float_data", "double_data"):
        if field in tensor:
            return np.frombuffer(b"".join(tensor[field]), little)
    for field in ("int64_data", "uint64_data", "int32_data"):
        if field in tensor:
            numbers = np.array(tensor[field], np.int64)
            if dtype == "float16":
                return numbers.astype(np.uint16).view(np.float16)
            return numbers.view(np.uint64) if dtype == "uint64" else numbers.astype(little)
    return np.zeros(0, little)


def outputs_of(
    operator: str,
    schema: Schema,
    attributes: Mapping[str, Fields],
    takes: Sequence[Value],
    outputs: int,
) -> list[Value]:
    """What is known of the outputs of a node without nested graphs."""
    if operator == "Constant":
        return [_constant(attributes)]
    stated = schema.types_of(schema.takes, len(takes))
    bound = {letter: value.dtype for letter, value in zip(stated, takes, strict=True) if value.dtype}
    types = [
        name if name in _NAMES else bound.get(name) or (FLOATING if name in schema.floating else "")
        for name in schema.types_of(schema.gives, outputs)
    ]
    if (own := _own_type(operator, attributes, takes)) is not None:
        types[0] = own
    first = Value(types[0], _folded(operator, types[0], takes), _positive(operator, takes))
    return [first, *map(Value, types[1:])]


def _constant(attributes: Mapping[str, Fields]) -> Value:
    """The value of a Constant, which has one attribute."""
    (name, attribute), *_ = attributes.items()
    if name == "value":
        return of_tensor(attribute["t"])
    whole = [signed(attribute["i"])] if "i" in attribute else attribute.get("ints", [])
    few = _VALUES[name] == "int64" and len(whole) <= _READ
    return Value(_VALUES[name], np.array(whole, np.int64) if few else None)


def _own_type(operator: str, attributes: Mapping[str, Fields], takes: Sequence[Value]) -> str | None:
    """The type of an output, if determined by an attribute or a specific input; None if the schema determines it."""
    attribute = attributes.get(_TYPED_BY.get(operator, ""))
    if attribute is not None and (number := attribute.get("i", 0)):
        return TYPES.get(number, ("",))[0]
    if operator == "ConstantOfShape":
        return "float32" if attribute is None else TYPES[attribute["t"]["data_type"]][0]
    if operator not in _TYPED_LIKE:
        return None
    at = _TYPED_LIKE[operator]
    if operator == "QuantizeLinear" and len(takes) <= at:
        return "uint8"
    return takes[at].dtype if at < len(takes) else ""


def _positive(operator: str, takes: Sequence[Value]) -> bool:
    """Whether an output is a maximum of integers with a constant of 1 or more, or a reshaped one."""
    if operator in _SAME:
        return takes[0].positive
    return operator == "Max" and any(_at_least_one(value) for value in takes)


def _at_least_one(value: Value) -> bool:
    numbers = value.constant
    return value.positive or (
        numbers is not None and numbers.size > 0 and numbers.dtype.kind in "iu" and bool((numbers >= 1).all())
    )


def _folded(operator: str, dtype: str, takes: Sequence[Value]) -> Array | None:
    """The numbers of an output computed from those of the inputs, for the few operators that compute sizes."""
    if not takes or takes[0].constant is None:
        return None
    if operator in _SAME:
        return takes[0].constant
    if operator in ("Cast", "CastLike") and dtype in ("int32", "int64") and takes[0].constant.dtype.kind in "iu":
        return takes[0].constant.astype(dtype)
    if operator == "Concat" and all(value.constant is not None for value in takes):
        joined = np.concatenate([value.constant for value in takes if value.constant is not None])
        return joined if len(joined) <= _READ else None
    return None
