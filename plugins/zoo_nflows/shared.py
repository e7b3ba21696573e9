"""Mends of code that nflows wrote and others have taken over, normflows among them. This module needs torch.

They are methods and functions to put in the place of the library's (:func:`zoo.models.mending.replaced`) while it is
traced; networks and splines stay the library's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.models.loops import loop
from zoo_flows.transforms.rational_quadratic import Knots, inverse_spline, spline


def sigmoid(x: Tensor) -> Tensor:
    """``torch.sigmoid`` with all digits below 0 too, where ONNX Runtime keeps a few; couplings take its logarithm.

    It is exp(-relu(-x)) / (1 + exp(-abs(x))).
    """
    return torch.exp(-torch.relu(-x)) / (1 + torch.exp(-x.abs()))


def in_passes(self: Any, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``inverse`` of an autoregressive transform, its passes as a loop."""

    def turn(outputs: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        parameters = self.autoregressive_net(outputs, context)
        after, logabsdet = self._elementwise_inverse(inputs, parameters)
        return after, logabsdet

    start = torch.zeros_like(inputs), torch.zeros_like(inputs.flatten(1)[:, 0])
    outputs, logabsdet = loop(math.prod(inputs.shape[1:]), start, turn)
    return outputs, logabsdet


def coupling_forward(self: Any, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``forward`` of a coupling, which writes nothing in place."""
    identity, transform = inputs[:, self.identity_features], inputs[:, self.transform_features]
    parameters = self.transform_net(identity, context)
    transform, logabsdet = self._coupling_transform_forward(inputs=transform, transform_params=parameters)
    if self.unconditional_transform is not None:
        identity, volume = self.unconditional_transform(identity, context)
        logabsdet = logabsdet + volume
    return _joined(self, identity, transform), logabsdet


def coupling_inverse(self: Any, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``inverse`` of a coupling, likewise."""
    identity, transform = inputs[:, self.identity_features], inputs[:, self.transform_features]
    total: Any = 0.0
    if self.unconditional_transform is not None:
        identity, total = self.unconditional_transform.inverse(identity, context)
    parameters = self.transform_net(identity, context)
    transform, logabsdet = self._coupling_transform_inverse(inputs=transform, transform_params=parameters)
    return _joined(self, identity, transform), total + logabsdet


def _joined(self: Any, identity: Tensor, transform: Tensor) -> Tensor:
    """Both halves in the order of the features."""
    order = torch.argsort(torch.cat([self.identity_features, self.transform_features]))
    return torch.cat([identity, transform], 1)[:, order]


def on_interval(
    piecewise: Callable[..., tuple[Tensor, Tensor]],
    inputs: Tensor,
    bound: Any,
    others: Mapping[str, Any],
) -> tuple[Tensor, Tensor]:
    """A spline of nflows' kind on [-bound, bound], and the identity outside, without indexing by a mask.

    Args:
        piecewise: takes ``inputs``, ``left``, ``right``, ``bottom`` and ``top``, and gives outputs and
            log-determinants.
        inputs: any numbers.
        bound: a number, or a tensor that broadcasts to the inputs.
        others: further arguments of the spline.
    """
    if isinstance(bound, Tensor):
        bound = bound.expand(inputs.shape)
        clamped = torch.minimum(torch.maximum(inputs, -bound), bound)
    else:
        clamped = inputs.clamp(-bound, bound)
    within = (inputs >= -bound) & (inputs <= bound)
    ends = {"left": -bound, "right": bound, "bottom": -bound, "top": bound}
    outputs, logabsdet = piecewise(inputs=clamped, **others, **ends)
    return torch.where(within, outputs, inputs), torch.where(within, logabsdet, 0.0)


def rational_quadratic(inputs: Tensor, parameters: Mapping[str, Any], bound: float) -> tuple[Tensor, Tensor]:
    """``unconstrained_rational_quadratic_spline`` with linear tails by the spline of genzoo, which has the same knots.

    Args:
        inputs: any numbers.
        parameters: the other arguments of the library's function.
        bound: the spline acts on [-bound, bound].
    """
    least = parameters.get("min_derivative", 1e-3)
    inner = least + F.softplus(parameters["unnormalized_derivatives"])
    places = (
        _positions(parameters["unnormalized_widths"], bound, parameters.get("min_bin_width", 1e-3)),
        _positions(parameters["unnormalized_heights"], bound, parameters.get("min_bin_height", 1e-3)),
    )
    whole = torch.stack([*places, F.pad(inner, (1, 1), value=1.0)]).movedim(-1, 1)
    knots = Knots(whole[:, 1:-1], torch.stack([whole[:, 0], whole[:, -1]], dim=1))
    return (inverse_spline if parameters.get("inverse") else spline)(inputs, knots, bound=bound)


def _positions(logits: Tensor, bound: float, least: float) -> Tensor:
    """Where bins begin and end, each of which takes at least a part of the interval."""
    sizes = least + (1 - least * logits.shape[-1]) * torch.softmax(logits, -1)
    inner = bound * (2 * torch.cumsum(sizes, -1)[..., :-1] - 1)
    return F.pad(F.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)
