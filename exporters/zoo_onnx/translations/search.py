"""Products and searches along an axis."""

from __future__ import annotations

import onnx_ir as ir
import torch

from zoo_onnx.translations.parts import Table, Traced, integers, op, scan

aten = torch.ops.aten


def searchsorted(
    boundaries: Traced,
    x: Traced,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Traced | None = None,
) -> Traced:
    """The number of boundaries below ``x`` (with ``right``: not above it), by comparing with all of them at once.

    ``boundaries`` is ``[..., b]`` with ``x`` ``[..., k]``, or ``[b]`` with any ``x``.
    """
    batched = len(boundaries.shape) > 1
    if sorter is not None:
        boundaries = op.GatherElements(boundaries, sorter, axis=-1)
    if batched:
        boundaries = op.Unsqueeze(boundaries, integers(-2))
    return _count(boundaries, x, right or side == "right", out_int32)


def bucketize(x: Traced, boundaries: Traced, *, out_int32: bool = False, right: bool = False) -> Traced:
    """:func:`searchsorted` with its arguments swapped."""
    return _count(boundaries, x, right, out_int32)


def cumprod(x: Traced, dim: int, *, dtype: object = None) -> Traced:
    """x₁·…·xᵢ, including zeros and signs."""
    return scan(op.Mul, x, dim, fill=1.0)


def _count(boundaries: Traced, x: Traced, right: bool, short: bool) -> Traced:
    x = op.Unsqueeze(x, integers(-1))
    passed = op.LessOrEqual(boundaries, x) if right else op.Less(boundaries, x)
    kind = ir.DataType.INT32 if short else ir.DataType.INT64
    return op.ReduceSum(op.Cast(passed, to=kind), integers(-1), keepdims=0)


TABLE: Table = {
    aten.searchsorted.Tensor: searchsorted,
    aten.bucketize.Tensor: bucketize,
    aten.cumprod.default: cumprod,
}
