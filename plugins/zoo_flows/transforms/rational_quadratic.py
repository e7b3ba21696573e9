"""The monotonic rational-quadratic spline of Durkan et al. 2019 (arXiv:1906.04032, section 3.1), as pure functions.

On [-B, B] the spline runs through K + 1 knots (xₖ, yₖ) with derivatives δₖ; outside it is the identity. In bin k, of
width w, height h and mean slope s = h/w, with ξ = (x - xₖ)/w in [0, 1] and η = (y - yₖ)/h in [0, 1]::

    η    = (s·ξ² + δₖ·ξ(1-ξ)) / (s + q·ξ(1-ξ))           q = δₖ₊₁ + δₖ - 2s                     (eq. 4)
    dy/dx = s²·(δₖ₊₁·ξ² + 2s·ξ(1-ξ) + δₖ·(1-ξ)²) / (s + q·ξ(1-ξ))²                             (eq. 5)

and ξ is the root of a·ξ² + b·ξ - s·η = 0 with a = s - δₖ + η·q and b = δₖ - η·q (eqs. 6-8, divided by h). Since
a + b = s, its discriminant b² + 4·a·s·η is the sum of squares (b - 2sη)² + 4s²·η(1-η): never negative, in any
precision, so neither a check nor a clamp is needed.

Made to be traced and to survive float32: the input is clamped into [-B, B] first, so that no bin ever sees a value
outside it; the bin is chosen by comparing with the knots, a sum over one-hot choices instead of a search or a gather;
logits are limited softly, so that bins and slopes differ by at most a factor 1000; ``where`` puts the tails in last.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

#: log of the largest ratio between the widths of two bins, and of the largest derivative at a knot
_LOG_LIMIT = math.log(1e3)


class Knots(NamedTuple):
    """A spline in each element of ``[...]``.

    Attributes:
        x: ``[..., K + 1]``, increasing from -bound to bound exactly.
        y: likewise.
        derivatives: ``[..., K + 1]``, positive, 1 at both ends.
    """

    x: Tensor
    y: Tensor
    derivatives: Tensor


def parameter_count(bins: int) -> int:
    """Numbers a spline of ``bins`` bins takes: as many widths, as many heights, and the derivatives between them."""
    return 3 * bins - 1


def knots(parameters: Tensor, *, bins: int, bound: float) -> Knots:
    """Unconstrained ``parameters`` ``[..., 3·bins - 1]`` to knots; zeros give the identity."""
    widths, heights, derivatives = torch.split(parameters, [bins, bins, bins - 1], dim=-1)
    inner = torch.exp(_limited(derivatives, _LOG_LIMIT))
    return Knots(_positions(widths, bound), _positions(heights, bound), F.pad(inner, (1, 1), value=1.0))


def circular_parameter_count(bins: int) -> int:
    """Numbers a circular spline takes: one derivative more, at the two ends, which are one point."""
    return 3 * bins


def circular_knots(parameters: Tensor, *, bins: int, bound: float) -> Knots:
    """``parameters`` ``[..., 3·bins]`` to the knots of a spline of the circle (Rezende et al. 2020, arXiv:2002.02428).

    The ends of [-bound, bound] are one point, so the derivatives there are equal; zeros give the identity.
    """
    widths, heights, derivatives = torch.split(parameters, [bins, bins, bins], dim=-1)
    slopes = torch.exp(_limited(derivatives, _LOG_LIMIT))
    return Knots(_positions(widths, bound), _positions(heights, bound), torch.cat([slopes, slopes[..., :1]], dim=-1))


def _positions(logits: Tensor, bound: float) -> Tensor:
    sizes = torch.softmax(_limited(logits, _LOG_LIMIT / 2), dim=-1)
    inner = bound * (2.0 * torch.cumsum(sizes, dim=-1)[..., :-1] - 1.0)
    # the ends are set, not summed: they must be exact
    return F.pad(F.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


def _limited(u: Tensor, limit: float) -> Tensor:
    """``u`` for small u, approaching ±limit for large."""
    return u / (1.0 + u.abs() / limit)


def spline(x: Tensor, knots: Knots, *, bound: float, tails: bool = True) -> tuple[Tensor, Tensor]:
    """The spline of each element.

    Args:
        x: ``[...]``, any real numbers.
        knots: of each element.
        bound: the spline acts on [-bound, bound].
        tails: go on outside as the identity; without tails there is nothing outside, as on a circle.

    Returns:
        y and log dy/dx, both ``[...]``.
    """
    inside = x.clamp(-bound, bound)
    chosen = _bin(inside, knots.x)
    x0, y0, w, h, d0, d1 = _in_bin(knots, chosen)
    xi = ((inside - x0) / w).clamp(0.0, 1.0)
    s = h / w
    rest = xi * (1.0 - xi)
    y = y0 + h * (s * xi * xi + d0 * rest) / (s + (d0 + d1 - 2.0 * s) * rest)
    log_slope = _log_slope(xi, s, d0, d1)
    return _with_tails(x, y, log_slope, bound) if tails else (y, log_slope)


def inverse_spline(y: Tensor, knots: Knots, *, bound: float, tails: bool = True) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`spline`: x and log dx/dy."""
    inside = y.clamp(-bound, bound)
    chosen = _bin(inside, knots.y)
    x0, y0, w, h, d0, d1 = _in_bin(knots, chosen)
    eta = ((inside - y0) / h).clamp(0.0, 1.0)
    s = h / w
    b = d0 - eta * (d0 + d1 - 2.0 * s)
    root = torch.sqrt((b - 2.0 * s * eta).square() + 4.0 * s * s * eta * (1.0 - eta))
    # of two forms of the one root, each cancels for one sign of b; each is kept from dividing by 0 where it is not used
    positive = b >= 0
    ahead = 2.0 * s * eta / torch.where(positive, b + root, torch.ones_like(b))
    behind = (root - b) / (2.0 * torch.where(positive, torch.ones_like(b), s - b))
    xi = torch.where(positive, ahead, behind).clamp(0.0, 1.0)
    x, log_slope = x0 + w * xi, -_log_slope(xi, s, d0, d1)
    return _with_tails(y, x, log_slope, bound) if tails else (x, log_slope)


def _bin(value: Tensor, positions: Tensor) -> Tensor:
    """One-hot ``[..., K]``: the bin that each value, inside the outer positions, lies in."""
    above = (value.unsqueeze(-1) >= positions[..., 1:-1]).to(value.dtype)
    # 1 as far as the value's bin, 0 after it: a bin is where that falls
    return F.pad(above, (1, 0), value=1.0) - F.pad(above, (0, 1), value=0.0)


def _in_bin(knots: Knots, chosen: Tensor) -> tuple[Tensor, ...]:
    """x and y at the left of the chosen bin, its width and height, and the derivatives at its ends."""
    x, y, d = knots
    values = (x[..., :-1], y[..., :-1], x[..., 1:] - x[..., :-1], y[..., 1:] - y[..., :-1], d[..., :-1], d[..., 1:])
    return tuple((chosen * value).sum(-1) for value in values)


def _log_slope(xi: Tensor, s: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """Log of eq. 5. Both logarithms' arguments are sums of positive terms."""
    rest = xi * (1.0 - xi)
    numerator = d1 * xi * xi + 2.0 * s * rest + d0 * (1.0 - xi).square()
    denominator = s * (1.0 - 2.0 * rest) + (d0 + d1) * rest
    return 2.0 * torch.log(s) + torch.log(numerator) - 2.0 * torch.log(denominator)


def _with_tails(value: Tensor, result: Tensor, log_slope: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    outside = value.abs() >= bound
    return torch.where(outside, value, result), torch.where(outside, torch.zeros_like(log_slope), log_slope)
