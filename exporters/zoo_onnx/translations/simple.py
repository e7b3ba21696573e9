"""Operators that torch's exporter has no translation for and decomposes, by tracing the program once more."""

from __future__ import annotations

import math

import onnx_ir as ir
import torch

from zoo_onnx.translations.parts import Table, Traced, integers, like, op, part

aten = torch.ops.aten
_END = 2**63 - 1


def square(self: Traced) -> Traced:
    """x²."""
    return op.Mul(self, self)


def rsub(self: Traced, other: float, alpha: float = 1.0) -> Traced:
    """other - alpha·x."""
    return op.Sub(like(other, self), self if alpha == 1 else op.Mul(self, like(alpha, self)))


def movedim(self: Traced, source: int, destination: int) -> Traced:
    """One axis moved to another place."""
    rank = len(self.shape)
    axes = [axis for axis in range(rank) if axis != source % rank]
    axes.insert(destination % rank, source % rank)
    return op.Transpose(self, perm=axes)


def diff(
    self: Traced, n: int = 1, dim: int = -1, prepend: Traced | None = None, append: Traced | None = None
) -> Traced:
    """Differences between neighbours along an axis."""
    joined = [each for each in (prepend, self, append) if each is not None]
    result = joined[0] if len(joined) == 1 else op.Concat(*joined, axis=dim)
    for _ in range(n):
        later = op.Slice(result, integers(1), integers(_END), integers(dim))
        result = op.Sub(later, part(result, 0, -1, dim))
    return result


def argsort(self: Traced, dim: int = -1, descending: bool = False) -> Traced:
    """Where the smallest, the next, … of an axis stand; of equal ones the first first."""
    length = op.Shape(self, start=dim % len(self.shape), end=dim % len(self.shape) + 1)
    return op.TopK(self, length, axis=dim, largest=int(descending), sorted=1)[1]  # type: ignore[index,no-any-return]


def eye(n: int, m: int | None = None, *, dtype: int = -1, **_: object) -> Traced:
    """The identity matrix, or its first columns."""
    matrix = op.ConstantOfShape(integers(n, n if m is None else m), value=ir.tensor([0.0], ir.DataType.FLOAT))
    return op.EyeLike(matrix, dtype=dtype if dtype > 0 else ir.DataType.FLOAT)


def gelu(self: Traced, approximate: str = "none") -> Traced:
    """x·Φ(x), Hendrycks & Gimpel 2016, arXiv:1606.08415, in the order of factors that ONNX Runtime fuses."""
    one, half = like(1.0, self), like(0.5, self)
    if approximate == "tanh":
        cubic = op.Add(self, op.Mul(op.Pow(self, like(3.0, self)), like(0.044715, self)))
        bent = op.Tanh(op.Mul(cubic, like(math.sqrt(2 / math.pi), self)))
        return op.Mul(op.Mul(self, half), op.Add(bent, one))
    return op.Mul(op.Mul(self, op.Add(op.Erf(op.Div(self, like(math.sqrt(2), self))), one)), half)


def ger(self: Traced, vec2: Traced) -> Traced:
    """The products of all pairs of two vectors' numbers."""
    return op.Mul(op.Unsqueeze(self, integers(1)), op.Unsqueeze(vec2, integers(0)))


TABLE: Table = {
    aten.square.default: square,
    aten.rsub.Scalar: rsub,
    aten.movedim.int: movedim,
    aten.diff.default: diff,
    aten.argsort.default: argsort,
    aten.eye.default: eye,
    aten.eye.m: eye,
    aten.ger.default: ger,
    aten.gelu.default: gelu,
}
