"""The root of s + c·tanh(s) = a, which planar and Sylvester flows need to go back (Rezende & Mohamed 2015, appendix A).

The left side f(s) increases from c > -1 on, so there is one root; it is odd, so a ≥ 0 will do, where the root is ≥ 0.
There f is concave for c > 0 and convex for c < 0, and the root lies between the two values that it has where tanh(s) is
taken to be s and 1::

    a/(1 + c)  and  a - c

Newton's method that starts below the root where f is concave, and above it where f is convex, moves towards it and
never past it. So a fixed number of steps is enough, without a branch on values: it exports.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

#: least slope of s + c·tanh(s): c is kept at -1 + this, or more
LEAST_SLOPE = 0.01
#: from the worst c and a, as many steps reach the accuracy of float64; a test looks for worse
_STEPS = 12
#: softplus of it is 1 - LEAST_SLOPE, so that 0 stays 0
_OFFSET = math.log(math.expm1(1.0 - LEAST_SLOPE))


def invertible(a: Tensor) -> Tensor:
    """``a`` made larger than -1, by at least :data:`LEAST_SLOPE`; 0 stays 0 and large values stay about themselves."""
    return F.softplus(a + _OFFSET) - (1.0 - LEAST_SLOPE)


def root(c: Tensor, a: Tensor) -> Tensor:
    """s, such that s + c·tanh(s) = a.

    Args:
        c: from -1 + :data:`LEAST_SLOPE` up.
        a: any numbers; both are broadcast.
    """
    size = a.abs()
    s = start(c, size)
    for _ in range(_STEPS):
        s = newton(c, size, s)
    return s * torch.sign(a)


def start(c: Tensor, size: Tensor) -> Tensor:
    """Where the search for the root of s + c·tanh(s) = size ≥ 0 begins."""
    ends = size / (1.0 + c), size - c
    return torch.where(c > 0, torch.maximum(*ends), torch.minimum(*ends))


def newton(c: Tensor, size: Tensor, s: Tensor) -> Tensor:
    """The next s of the search."""
    tanh = torch.tanh(s)
    bend = c * tanh
    return s - (s + bend - size) / (1.0 + c - bend * tanh)
