"""Operators that torch's exporter translates into something that is wrong in float32, translated soundly.

Its own translations are what one writes on paper: log(sigmoid(x)) is -∞ from x = -104 down already (and with ONNX
Runtime's sigmoid much sooner), log(exp(a) + exp(b)) overflows, and log(1 + x) and exp(x) - 1 are 0 near 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18 as op

aten = torch.ops.aten


def softplus(x: Any) -> Any:
    """log(1 + eˣ) = max(x, 0) + log1p(e^-\\|x\\|)."""
    return op.Add(op.Relu(x), log1p(op.Exp(op.Neg(op.Abs(x)))))


def log_sigmoid(x: Any) -> Any:
    """log σ(x) = -softplus(-x)."""
    return op.Neg(softplus(op.Neg(x)))


def log_sigmoid_forward(x: Any) -> Any:
    """``log_sigmoid`` as its decomposition calls it, with a buffer that only the gradient reads."""
    return log_sigmoid(x), op.Identity(x)


def logaddexp(a: Any, b: Any) -> Any:
    """log(eᵃ + eᵇ) = max(a, b) + log1p(e^-\\|a - b\\|), which is a where both are the same infinity."""
    largest = op.Max(a, b)
    distance = op.Where(op.Equal(a, b), _like(0.0, a), op.Sub(a, b))
    return op.Add(largest, log1p(op.Exp(op.Neg(op.Abs(distance)))))


def log1p(x: Any) -> Any:
    """log(1 + x) = 2·artanh(x / (2 + x)) where \\|x\\| < ½, where adding 1 would lose digits."""
    half, one, two = (_like(v, x) for v in (0.5, 1.0, 2.0))
    near = op.Less(op.Abs(x), half)
    small = op.Where(near, x, op.Sub(x, x))
    return op.Where(near, op.Mul(two, op.Atanh(op.Div(small, op.Add(two, small)))), op.Log(op.Add(one, x)))


def expm1(x: Any) -> Any:
    """eˣ - 1 = tanh(x/2)·(eˣ + 1)."""
    half, one = (_like(v, x) for v in (0.5, 1.0))
    return op.Mul(op.Tanh(op.Mul(half, x)), op.Add(op.Exp(x), one))


def _like(value: float, x: Any) -> Any:
    """A constant of the type of ``x``."""
    constant: Any = op.Constant(value_float=value)
    return op.CastLike(constant, x)


#: operator -> its translation, as ``torch.onnx.export`` takes them
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    aten.log_sigmoid.default: log_sigmoid,
    aten.log_sigmoid_forward.default: log_sigmoid_forward,
    aten.logaddexp.default: logaddexp,
    aten.log1p.default: log1p,
    aten.expm1.default: expm1,
}
