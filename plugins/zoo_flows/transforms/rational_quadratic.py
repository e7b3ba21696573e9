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

And made to be trained: bins stand along the first axes, so that whatever goes over them goes over whole rows of memory,
and x, y and derivatives are computed together, in as few operations as there are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo_flows.transforms.precision import at_least_single

#: log of the largest ratio between the widths of two bins, and of the largest derivative at a knot
_LOG_LIMIT = math.log(1e3)


class Knots(NamedTuple):
    """A spline in each element of ``[...]``. Of each knot x, y and the derivative stand along the first axis.

    Attributes:
        inner: ``[3, K - 1, ...]``, of the knots inside, whose x and y increase, with positive derivatives.
        ends: ``[3, 2, ...]``, of the first and the last knot.
    """

    inner: Tensor
    ends: Tensor

    @property
    def whole(self) -> Tensor:
        """``[3, K + 1, ...]``: all knots, in order."""
        first, last = (self.ends[:, i : i + 1].expand(3, 1, *self.inner.shape[2:]) for i in (0, 1))
        return torch.cat([first, self.inner, last], dim=1)


def parameter_count(bins: int) -> int:
    """Numbers a spline of ``bins`` bins takes: as many widths, as many heights, and the derivatives between them."""
    return 3 * bins - 1


def knots(parameters: Tensor, *, bins: int, bound: float) -> Knots:
    """Unconstrained ``parameters`` ``[3·bins - 1, ...]`` to knots with derivatives 1 at both ends; zeros give the
    identity."""
    positions, slopes = _positive(parameters, bins, bound)
    ends = slopes.new_tensor([[-bound, bound], [-bound, bound], [1.0, 1.0]])
    ends = ends.reshape(3, 2, *[1] * (parameters.ndim - 1))
    return Knots(torch.cat([positions, slopes.unsqueeze(0)]), ends)


def parameters_between(x: Tensor, y: Tensor, *, bound: float) -> Tensor:
    """Parameters ``[3·bins - 1]`` of the spline through given knots; what :func:`knots` takes back.

    Where bins or slopes differ by more than they can, the nearest that they can is taken. The slope at a knot is the
    harmonic mean of those on both sides, with which the spline does not overshoot (Fritsch & Butland 1984).

    Args:
        x: ``[bins + 1]``, increasing from -bound to bound.
        y: the same.
        bound: the spline acts on [-bound, bound].
    """
    width, height = x.diff(), y.diff()
    slope = height / width
    between = 2.0 / (1.0 / slope[1:] + 1.0 / slope[:-1])
    sizes = torch.cat([_unlimited(torch.log(each * len(each) / (2.0 * bound)), 2.0) for each in (width, height)])
    return torch.cat([sizes, _unlimited(torch.log(between), 1.0)])


def _unlimited(t: Tensor, share: float) -> Tensor:
    """u, such that u/(1 + |u|·share/limit) = t, for |t| up to nine tenths of what it approaches."""
    largest = 0.9 * _LOG_LIMIT / share
    t = t.clamp(-largest, largest)
    return t / (1.0 - t.abs() * (share / _LOG_LIMIT))


def circular_parameter_count(bins: int) -> int:
    """Numbers a circular spline takes: one derivative more, at the two ends, which are one point."""
    return 3 * bins


def circular_knots(parameters: Tensor, *, bins: int, bound: float) -> Knots:
    """``parameters`` ``[3·bins, ...]`` to the knots of a spline of the circle (Rezende et al. 2020, arXiv:2002.02428).

    The ends of [-bound, bound] are one point, so the derivatives there are equal; zeros give the identity.
    """
    positions, slopes = _positive(parameters, bins, bound)
    end, inner = torch.split(slopes, [1, bins - 1])
    edges = torch.stack([torch.full_like(end, -bound), torch.full_like(end, bound)], dim=1)
    ends = torch.cat([edges, edges, torch.stack([end, end], dim=1)])
    return Knots(torch.cat([positions, inner.unsqueeze(0)]), ends)


def _positive(parameters: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    """x and y of the knots inside, ``[2, K - 1, ...]``, and the derivatives, as many as parameters are left.

    Of parameters in 16 bits they are in float32: the widths of bins are differences, which would have no digits left.
    """
    if parameters.dtype != (wide := at_least_single(parameters.dtype)):
        parameters = parameters.to(wide)
    count = parameters.shape[0] - 2 * bins
    # u for small u, approaching ± the limit for large
    inverse_limits = parameters.new_tensor([2.0 / _LOG_LIMIT] * (2 * bins) + [1.0 / _LOG_LIMIT] * count)
    inverse_limits = inverse_limits.reshape(-1, *[1] * (parameters.ndim - 1))
    parameters = parameters.contiguous()
    positive = torch.exp(parameters / (1.0 + parameters.abs() * inverse_limits))
    sizes, slopes = torch.split(positive, [2 * bins, count])
    # a softmax whose sums are the last of the sums so far; of limited numbers it needs no maximum
    sums = torch.cumsum(torch.unflatten(sizes, 0, (2, bins)), dim=1)
    # the ends are set, not summed: they must be exact
    return 2.0 * bound * (sums[:, :-1] / sums[:, -1:]) - bound, slopes


def spline(x: Tensor, knots: Knots, *, bound: float, tails: bool = True) -> tuple[Tensor, Tensor]:
    """The spline of each element.

    Args:
        x: ``[...]``, any real numbers.
        knots: of each element; axes along which they are shared have length 1.
        bound: the spline acts on [-bound, bound].
        tails: go on outside as the identity; without tails there is nothing outside, as on a circle.

    Returns:
        y and log dy/dx, both ``[...]``.
    """
    y, log_slope = along_first_axis(x.unsqueeze(0), knots, bound=bound, tails=tails)
    return y.squeeze(0), log_slope.squeeze(0)


def inverse_spline(y: Tensor, knots: Knots, *, bound: float, tails: bool = True) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`spline`: x and log dx/dy."""
    x, log_slope = inverse_along_first_axis(y.unsqueeze(0), knots, bound=bound, tails=tails)
    return x.squeeze(0), log_slope.squeeze(0)


def along_first_axis(x: Tensor, knots: Knots, *, bound: float, tails: bool = True) -> tuple[Tensor, Tensor]:
    """:func:`spline` of values ``[1, ...]`` behind the axis along which bins stand."""
    if x.dtype != knots.inner.dtype:
        y, log_slope = along_first_axis(x.to(knots.inner.dtype), knots, bound=bound, tails=tails)
        return y.to(x.dtype), log_slope.to(x.dtype)
    inside = x.clamp(-bound, bound)
    x0, y0, w, h, d0, d1 = _in_bin(inside, knots, 0)
    xi = ((inside - x0) / w).clamp(0.0, 1.0)
    s = h / w
    rest = xi * (1.0 - xi)
    y = y0 + h * (s * xi * xi + d0 * rest) / (s + (d0 + d1 - 2.0 * s) * rest)
    log_slope = _log_slope(xi, s, d0, d1)
    return _with_tails(x, y, log_slope, bound) if tails else (y, log_slope)


def inverse_along_first_axis(y: Tensor, knots: Knots, *, bound: float, tails: bool = True) -> tuple[Tensor, Tensor]:
    """:func:`inverse_spline` of values ``[1, ...]`` behind the axis along which bins stand."""
    if y.dtype != knots.inner.dtype:
        x, log_slope = inverse_along_first_axis(y.to(knots.inner.dtype), knots, bound=bound, tails=tails)
        return x.to(y.dtype), log_slope.to(y.dtype)
    inside = y.clamp(-bound, bound)
    x0, y0, w, h, d0, d1 = _in_bin(inside, knots, 1)
    eta = ((inside - y0) / h).clamp(0.0, 1.0)
    s = h / w
    b = d0 - eta * (d0 + d1 - 2.0 * s)
    root = torch.sqrt((b - 2.0 * s * eta).square() + 4.0 * s * s * eta * (1.0 - eta))
    # of two forms of the one root, each cancels for one sign of b; each is kept from dividing by 0 where it is not used
    positive = b >= 0
    ahead = 2.0 * s * eta / torch.where(positive, b + root, 1.0)
    behind = (root - b) / (2.0 * torch.where(positive, 1.0, s - b))
    xi = torch.where(positive, ahead, behind).clamp(0.0, 1.0)
    x, log_slope = x0 + w * xi, -_log_slope(xi, s, d0, d1)
    return _with_tails(y, x, log_slope, bound) if tails else (x, log_slope)


def _in_bin(value: Tensor, knots: Knots, of: int) -> tuple[Tensor, ...]:
    """The bin that each value ``[1, ...]``, inside the outer knots, lies in by x (0) or y (1).

    Returns:
        x and y at its left, its width and height, and the derivatives at its ends, ``[1, ...]`` each.
    """
    inner, ends = knots
    # 1 as far as the value's bin, 0 after it: a bin is where that falls
    above = (value >= inner[of]).to(value.dtype)
    first, last = 1.0 - above[:1], above[-1:]
    between = above[:-1] - above[1:]
    left = (torch.cat([between, last]) * inner).sum(1) + first * ends[:, 0]
    right = (torch.cat([first, between]) * inner).sum(1) + last * ends[:, 1]
    (x0, y0, d0), (x1, y1, d1) = torch.split(left, 1), torch.split(right, 1)
    return x0, y0, x1 - x0, y1 - y0, d0, d1


def _log_slope(xi: Tensor, s: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """Log of eq. 5. Both logarithms' arguments are sums of positive terms."""
    rest = xi * (1.0 - xi)
    numerator = d1 * xi * xi + 2.0 * s * rest + d0 * (1.0 - xi).square()
    denominator = s * (1.0 - 2.0 * rest) + (d0 + d1) * rest
    return 2.0 * torch.log(s) + torch.log(numerator) - 2.0 * torch.log(denominator)


def _with_tails(value: Tensor, result: Tensor, log_slope: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    outside = value.abs() >= bound
    return torch.where(outside, value, result), torch.where(outside, 0.0, log_slope)
