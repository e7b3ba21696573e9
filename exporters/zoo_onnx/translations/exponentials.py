"""Logarithms and exponentials that torch's exporter translates inaccurately in float32.

Its translations are the textbook formulas: log(sigmoid(x)) is -∞ below x = -104 (and much sooner with ONNX Runtime's
sigmoid), log(exp(a) + exp(b)) overflows, and log(1 + x) and exp(x) - 1 are 0 near 0.
"""

from __future__ import annotations

import math

import torch

from zoo_onnx.translations.parts import Table, Traced, like, op, scan

aten = torch.ops.aten


def softplus(x: Traced) -> Traced:
    """log(1 + eˣ) = max(x, 0) + log1p(e^-\\|x\\|)."""
    return op.Add(op.Relu(x), log1p(op.Exp(op.Neg(op.Abs(x)))))


def log_sigmoid(x: Traced) -> Traced:
    """log σ(x) = -softplus(-x)."""
    return op.Neg(softplus(op.Neg(x)))


def log_sigmoid_forward(x: Traced) -> tuple[Traced, Traced]:
    """``log_sigmoid`` as its decomposition calls it, with a buffer that only the gradient reads."""
    return log_sigmoid(x), op.Identity(x)


def logaddexp(a: Traced, b: Traced) -> Traced:
    """log(eᵃ + eᵇ) = max(a, b) + log1p(e^-\\|a - b\\|), and a where both are the same infinity."""
    largest = op.Max(a, b)
    distance = op.Where(op.Equal(a, b), like(0.0, a), op.Sub(a, b))
    return op.Add(largest, log1p(op.Exp(op.Neg(op.Abs(distance)))))


def log1p(x: Traced) -> Traced:
    """log(1 + x) = 2·artanh(x / (2 + x)) where \\|x\\| < ½, where adding 1 would lose digits."""
    half, one, two = (like(v, x) for v in (0.5, 1.0, 2.0))
    near = op.Less(op.Abs(x), half)
    small = op.Where(near, x, op.Sub(x, x))
    return op.Where(near, op.Mul(two, op.Atanh(op.Div(small, op.Add(two, small)))), op.Log(op.Add(one, x)))


def expm1(x: Traced) -> Traced:
    """eˣ - 1 = tanh(x/2)·(eˣ + 1)."""
    half, one = (like(v, x) for v in (0.5, 1.0))
    return op.Mul(op.Tanh(op.Mul(half, x)), op.Add(op.Exp(x), one))


def elu(x: Traced, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Traced:
    """scale·x where x > 0, and scale·alpha·expm1(input_scale·x) elsewhere."""
    below = op.Min(x, like(0.0, x))  # this branch must not overflow where the other is taken
    inner = below if input_scale == 1.0 else op.Mul(like(input_scale, x), below)
    curve = op.Mul(like(alpha * scale, x), expm1(inner))
    straight = op.Relu(x) if scale == 1.0 else op.Mul(like(scale, x), op.Relu(x))
    return op.Add(straight, curve)


def selu(x: Traced) -> Traced:
    """The :func:`elu` that keeps mean and variance, Klambauer et al. 2017, arXiv:1706.02515."""
    return elu(x, 1.6732632423543772, 1.0507009873554805)


def celu(x: Traced, alpha: float = 1.0) -> Traced:
    """The :func:`elu` whose slope is continuous, Barron 2017, arXiv:1704.07483."""
    return elu(x, alpha, 1.0, 1.0 / alpha)


def logaddexp2(a: Traced, b: Traced) -> Traced:
    """log₂(2ᵃ + 2ᵇ)."""
    of_two = like(math.log(2.0), a)
    return op.Div(logaddexp(op.Mul(a, of_two), op.Mul(b, of_two)), of_two)


def logcumsumexp(x: Traced, dim: int) -> Traced:
    """log(e^x₁ + … + e^xᵢ) without overflow."""
    return scan(logaddexp, x, dim, fill=-math.inf)


TABLE: Table = {
    aten.log_sigmoid.default: log_sigmoid,
    aten.log_sigmoid_forward.default: log_sigmoid_forward,
    aten.logaddexp.default: logaddexp,
    aten.logaddexp2.default: logaddexp2,
    aten.logcumsumexp.default: logcumsumexp,
    aten.log1p.default: log1p,
    aten.expm1.default: expm1,
    aten.elu.default: elu,
    aten.selu.default: selu,
    aten.celu.default: celu,
}
