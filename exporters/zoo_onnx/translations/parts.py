"""Building blocks of translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from onnxscript import opset18

from zoo.errors import ExportError


class Traced(Protocol):
    """A value of the graph that is being traced."""

    @property
    def shape(self) -> Sequence[object]:
        """Its sizes, each a number or a symbol."""
        ...


class Operators(Protocol):
    """ONNX's operators by their names. Their declared types do not fit traced values."""

    def __getattr__(self, name: str) -> Callable[..., Traced]:
        """An operator."""
        ...


op = cast(Operators, opset18)

#: operator -> its translation, as ``torch.onnx.export`` takes them
Table = dict[Callable[..., object], Callable[..., object]]


def like(value: float, x: Traced) -> Traced:
    """A constant of the type of ``x``."""
    return op.CastLike(op.Constant(value_float=value), x)


def integers(*values: int) -> Traced:
    """An int64 vector."""
    return op.Constant(value_ints=list(values))


def polynomial(x: Traced, coefficients: Sequence[float]) -> Traced:
    """c₀ + c₁x + c₂x² + … by Horner's scheme."""
    result = like(coefficients[-1], x)
    for coefficient in reversed(coefficients[:-1]):
        result = op.Add(op.Mul(result, x), like(coefficient, x))
    return result


def size(x: Traced, axis: int, operator: str) -> int:
    """The size of an axis.

    Raises:
        ExportError: it is symbolic.
    """
    length = x.shape[axis]
    if not isinstance(length, int):
        raise ExportError(f"{operator} can be exported only along axes of known size, and this one is {length}")
    return length


def part(x: Traced, start: int, stop: int, axis: int) -> Traced:
    """``x[start:stop]`` along an axis."""
    return op.Slice(x, integers(start), integers(stop), integers(axis))


def scan(combine: Callable[[Traced, Traced], Traced], x: Traced, axis: int, fill: float) -> Traced:
    """combine(x₁, …, xᵢ) for each i along an axis, in ⌈log₂ n⌉ rounds (Hillis & Steele 1986).

    Args:
        combine: associative.
        x: the values to scan.
        axis: the axis to scan along.
        fill: the neutral element.
    """
    # read once, since intermediate values do not know their shapes
    rank, n, reach = len(x.shape), size(x, axis, "a scan"), 1
    axis %= rank
    while reach < n:
        before = [0] * (2 * rank)
        before[axis] = reach
        shifted = op.Pad(part(x, 0, n - reach, axis), integers(*before), like(fill, x))
        x = combine(x, shifted)
        reach *= 2
    return x
