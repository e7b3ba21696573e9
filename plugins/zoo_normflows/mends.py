"""What of normflows' code is mended while it is traced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from normflows import core
from normflows.distributions import base
from normflows.flows import mixing, normalization, periodic, reshape, residual
from normflows.flows.affine import autoregressive, coupling
from normflows.flows.neural_spline import autoregressive as spline_autoregressive
from normflows.flows.neural_spline import coupling as spline_coupling
from normflows.utils import splines
from torch import Tensor
from torch.nn import functional as F

from zoo.models.loops import loop
from zoo.models.mending import plain, replaced, symbolic_len
from zoo_nflows import shared

#: methods that divide in place
_DIVIDING = (
    (spline_autoregressive.MaskedPiecewiseRationalQuadraticAutoregressive, "_elementwise"),
    (spline_coupling.PiecewiseRationalQuadraticCoupling, "_piecewise_cdf"),
)


def mended() -> AbstractContextManager[object]:
    """A block in which normflows' flows can be traced."""
    spline = plain(splines.rational_quadratic_spline)
    return replaced(
        (torch, "sigmoid", shared.sigmoid),
        *symbolic_len(core, mixing, periodic, reshape, base),
        (autoregressive.Autoregressive, "inverse", shared.in_passes),
        (spline_coupling.Coupling, "forward", shared.coupling_forward),
        (spline_coupling.Coupling, "inverse", shared.coupling_inverse),
        (splines, "searchsorted", plain(splines.searchsorted)),
        *((cls, name, plain(vars(cls)[name])) for cls, name in _DIVIDING if name in vars(cls)),
        (splines, "rational_quadratic_spline", spline),
        (splines, "unconstrained_rational_quadratic_spline", _with_tails(spline)),
        # initialised, which the adapter makes sure of
        (normalization.ActNorm, "forward", coupling.AffineConstFlow.forward),
        (normalization.ActNorm, "inverse", coupling.AffineConstFlow.inverse),
        (base.Uniform, "log_prob", _uniform),
    )


def searched(turns: int) -> AbstractContextManager[object]:
    """A block in which residual layers are inverted by a number of turns, whatever the batch."""

    def fixed(self: Any, y: Tensor, atol: float = 0.0, rtol: float = 0.0) -> Tensor:
        (x,) = loop(turns, (y,), lambda x: (y - self.nnet(x),))
        return x

    return replaced((residual.iResBlock, "_inverse_fixed_point", fixed)) if turns else replaced()


def _with_tails(spline: Callable[..., Any]) -> Callable[..., Any]:
    """``unconstrained_rational_quadratic_spline``, without indexing by a mask."""

    def unconstrained(
        inputs: Tensor, *, unnormalized_derivatives: Tensor, tails: Any = "linear", tail_bound: Any = 1.0, **others: Any
    ) -> tuple[Tensor, Tensor]:
        if tails == "linear" and not isinstance(tail_bound, Tensor):
            more = {**others, "unnormalized_derivatives": unnormalized_derivatives}
            return shared.rational_quadratic(inputs, more, tail_bound)
        least = others.get("min_derivative", splines.DEFAULT_MIN_DERIVATIVE)
        edge = float(np.log(np.exp(1 - least) - 1))
        derivatives = unnormalized_derivatives
        if tails == "linear":
            derivatives = F.pad(derivatives, (1, 1), value=edge)
        elif tails == "circular":
            derivatives = torch.cat([derivatives, derivatives[..., :1]], -1)
        else:
            derivatives = _ends_of_each(derivatives, list(tails), edge)
        more = {**others, "unnormalized_derivatives": derivatives}
        outputs, logabsdet = shared.on_interval(spline, inputs, tail_bound, more)
        if not isinstance(tails, str):  # the library leaves zeros outside
            outputs = torch.where((inputs >= -tail_bound) & (inputs <= tail_bound), outputs, 0.0)
        return outputs, logabsdet

    return unconstrained


def _ends_of_each(derivatives: Tensor, tails: list[str], edge: float) -> Tensor:
    """The first and the last derivative of each number, by the kind of its tails."""
    linear = torch.tensor([each == "linear" for each in tails])
    circular = torch.tensor([each == "circular" for each in tails])
    first, last = derivatives[..., 0], derivatives[..., -1]
    first = torch.where(linear, edge, first)
    last = torch.where(linear, edge, torch.where(circular, first, last))
    return torch.cat([first.unsqueeze(-1), derivatives[..., 1:-1], last.unsqueeze(-1)], -1)


def _uniform(self: Any, z: Tensor, context: Tensor | None = None) -> Tensor:
    """``Uniform.log_prob``, without indexing by a mask."""
    outside = ((z < self.low) | (z > self.high)).flatten(1).any(1)
    return torch.where(outside, -torch.inf, self.log_prob_val.to(z))
