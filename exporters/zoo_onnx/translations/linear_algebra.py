"""Linear algebra on small computed matrices; whatever depends on weights alone is folded before.

ONNX has only ``MatMul`` and ``Det``. Elimination is written out column by column, so a graph grows with the matrix,
which may have up to :data:`LARGEST` rows. All algorithms are backward stable: substitution, and elimination with row
pivoting.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence

import onnx_ir as ir
import torch

from zoo.errors import ExportError
from zoo_onnx.translations.parts import Table, Traced, integers, like, op, part, size

aten = torch.ops.aten

#: rows of the largest matrix that is inverted or factored in a graph
LARGEST = 64


def solve_triangular(a: Traced, b: Traced, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Traced:
    """X with A·X = B, or X·A = B, for a triangular A ``[..., n, n]``: substitution, half by half."""
    n, rank = _rows(a, "solve_triangular"), max(len(a.shape), len(b.shape))
    if left:
        return _substitute(a, b, n, upper, unitriangular)
    # (X·A)ᵀ = Aᵀ·Xᵀ
    solved = _substitute(_turned(a, len(a.shape)), _turned(b, len(b.shape)), n, not upper, unitriangular)
    return _turned(solved, rank)


def slogdet(a: Traced) -> tuple[Traced, Traced]:
    """Sign and logarithm of |det A|."""
    n = _rows(a, "slogdet")
    pivots, order, _ = _eliminate(a, None, n)
    magnitude = op.ReduceSum(op.Log(op.Abs(pivots)), integers(-1), keepdims=0)
    return op.Mul(_parity(order, n), _signs(pivots)), magnitude


def logdet(a: Traced) -> Traced:
    """log det A, NaN where the determinant is negative; unlike ``Det``, it neither overflows nor underflows."""
    sign, magnitude = slogdet(a)
    return op.Where(op.Less(sign, like(0.0, a)), like(math.nan, a), magnitude)


def inverse(a: Traced) -> Traced:
    """A⁻¹; infinite or NaN for a singular matrix, since a graph cannot raise."""
    n = _rows(a, "inv")
    eye = op.CastLike(op.Constant(value=ir.tensor([[float(i == j) for j in range(n)] for i in range(n)])), a)
    return _solved(a, eye, n)


def solve(a: Traced, b: Traced, *, left: bool = True) -> Traced:
    """X with A·X = B, or X·A = B."""
    ranks = len(a.shape), len(b.shape)
    vector = ranks[1] == 1 or list(b.shape) == list(a.shape)[:-1]
    columns = op.Unsqueeze(b, integers(-1)) if vector else b
    n = _rows(a, "solve")
    if left or vector:
        solved = _solved(a, columns, n)
        return op.Squeeze(solved, integers(-1)) if vector else solved
    return _turned(_solved(_turned(a, ranks[0]), _turned(b, ranks[1]), n), max(ranks))


def cholesky(a: Traced, *, upper: bool = False) -> Traced:
    """L with L·Lᵀ = A, column by column; upper: Lᵀ."""
    n, rank = _rows(a, "cholesky"), len(a.shape)
    columns = []
    for k in range(n):
        column = part(a, k, k + 1, -1)
        pivot = part(column, k, k + 1, -2)
        column = op.Div(column, op.Sqrt(pivot))
        if k:
            column = op.Mul(column, op.Unsqueeze(_from_row(k, n, column), integers(-1)))
        columns.append(column)
        if k + 1 < n:
            a = op.Sub(a, op.MatMul(column, _turned(column, rank)))
    lower = op.Concat(*columns, axis=-1) if n > 1 else columns[0]
    return _turned(lower, rank) if upper else lower


def einsum(equation: str, tensors: Sequence[Traced], path: Sequence[int] | None = None) -> Traced:
    """``einsum`` with letters in place of ``...``, which may stand for as many axes as each tensor has more."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    ranks = [len(x.shape) - len(term.replace("...", "")) for x, term in zip(tensors, terms, strict=True)]
    free = [letter for letter in string.ascii_letters if letter not in equation]
    most = max(rank if "..." in term else 0 for rank, term in zip(ranks, terms, strict=True))
    axes = "".join(free[:most])
    written = [
        term.replace("...", axes[most - rank :] if rank else "") for rank, term in zip(ranks, terms, strict=True)
    ]
    if not arrow:
        letters = left.replace("...", "").replace(",", "")
        right = "..." + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return op.Einsum(*tensors, equation=f"{','.join(written)}->{right.replace('...', axes)}")


def _rows(a: Traced, operator: str) -> int:
    n = size(a, -1, operator)
    if n > LARGEST:
        raise ExportError(
            f"{operator} of a matrix with {n} rows cannot be written as a graph, the limit is {LARGEST}",
            hint="If it depends on weights alone, it is computed at export time.",
        )
    return n


def _turned(x: Traced, rank: int) -> Traced:
    """The transpose of the last two axes."""
    axes = list(range(rank))
    axes[-2:] = axes[-1], axes[-2]
    return op.Transpose(x, perm=axes)


def _substitute(a: Traced, b: Traced, n: int, upper: bool, unit: bool) -> Traced:
    if n == 1:
        return b if unit else op.Div(b, a)
    half = n // 2
    ranges = (0, half), (half, n)
    first, last = ranges[::-1] if upper else ranges
    block = part(part(a, *first, -2), *first, -1)
    solved = _substitute(block, part(b, *first, -2), first[1] - first[0], upper, unit)
    across = part(part(a, *last, -2), *first, -1)
    rest = op.Sub(part(b, *last, -2), op.MatMul(across, solved))
    block = part(part(a, *last, -2), *last, -1)
    others = _substitute(block, rest, last[1] - last[0], upper, unit)
    return op.Concat(others, solved, axis=-2) if upper else op.Concat(solved, others, axis=-2)


def _eliminate(a: Traced, b: Traced | None, n: int) -> tuple[Traced, Traced, Traced | None]:
    """Gauss-Jordan elimination with the largest pivot of each column.

    Rows are not swapped: a row that has been a pivot is marked instead, which is equivalent.

    Returns:
        The pivots ``[..., n]``; the row of each, int64 ``[..., n]``; A⁻¹·B, or None without B.
    """
    index = op.Unsqueeze(op.Constant(value_ints=list(range(n))), integers(-1))  # [n, 1]
    zero, passed = like(0.0, a), like(-1.0, a)
    used: Traced | None = None
    pivots, order, rows = [], [], []
    for k in range(n):
        column = part(a, k, k + 1, -1)
        height = op.Abs(column) if used is None else op.Where(used, passed, op.Abs(column))
        at = op.ArgMax(height, axis=-2, keepdims=1)  # [..., 1, 1]
        here = op.Equal(index, at)  # [..., n, 1]
        pivot = op.ReduceSum(op.Where(here, column, zero), integers(-2), keepdims=1)
        row = op.ReduceSum(op.Where(here, a, zero), integers(-2), keepdims=1)
        used = here if used is None else op.Or(used, here)
        # without B, only the remaining rows matter
        stays = op.Or(here, used) if b is None else here
        factor = op.Where(stays, zero, op.Div(column, pivot))
        a = op.Sub(a, op.Mul(factor, row))
        pivots.append(op.Squeeze(pivot, integers(-1)))
        order.append(op.Squeeze(at, integers(-1)))
        if b is not None:
            mine = op.ReduceSum(op.Where(here, b, zero), integers(-2), keepdims=1)
            b = op.Sub(b, op.Mul(factor, mine))
        rows.append(here)
    solved = None
    if b is not None:
        # row k of the result is the row of pivot k
        quotients = [
            op.Div(op.ReduceSum(op.Where(here, b, zero), integers(-2), keepdims=1), op.Unsqueeze(pivot, integers(-1)))
            for here, pivot in zip(rows, pivots, strict=True)
        ]
        solved = op.Concat(*quotients, axis=-2) if n > 1 else quotients[0]
    joined = op.Concat(*pivots, axis=-1) if n > 1 else pivots[0]
    return joined, (op.Concat(*order, axis=-1) if n > 1 else order[0]), solved


def _solved(a: Traced, b: Traced, n: int) -> Traced:
    """A⁻¹·B."""
    solved = _eliminate(a, b, n)[2]
    assert solved is not None
    return solved


def _parity(order: Traced, n: int) -> Traced:
    """1 for an even permutation ``[..., n]`` and -1 for an odd one, by counting inversions."""
    earlier = op.Unsqueeze(order, integers(-1))
    later = op.Unsqueeze(order, integers(-2))
    above = op.Constant(value=ir.tensor([[j > i for j in range(n)] for i in range(n)], dtype=ir.DataType.BOOL))
    inversions = op.Cast(op.And(op.Greater(earlier, later), above), to=ir.DataType.FLOAT)
    count = op.ReduceSum(inversions, integers(-2, -1), keepdims=0)
    two = op.Constant(value_float=2.0)
    return op.Sub(op.Constant(value_float=1.0), op.Mul(two, op.Mod(count, two, fmod=1)))


def _signs(pivots: Traced) -> Traced:
    return op.ReduceProd(op.Sign(pivots), integers(-1), keepdims=0)


def _from_row(k: int, n: int, x: Traced) -> Traced:
    """``[n]``: 0 before row k, and 1 from row k on."""
    return op.CastLike(op.Constant(value_floats=[float(i >= k) for i in range(n)]), x)


TABLE: Table = {
    aten.einsum.default: einsum,
    aten.linalg_solve_triangular.default: solve_triangular,
    aten.linalg_slogdet.default: slogdet,
    aten.slogdet.default: slogdet,
    aten.logdet.default: logdet,
    aten.linalg_inv.default: inverse,
    aten.inverse.default: inverse,
    aten.linalg_solve.default: solve,
    aten.linalg_cholesky.default: cholesky,
}
