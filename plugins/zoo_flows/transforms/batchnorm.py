"""Batch normalisation as a transform (Dinh et al. 2017, arXiv:1605.08803, section 3.7 and appendix E)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.models.sharing import var_mean
from zoo.overriding import override
from zoo_flows.transforms.affine import FrozenAffine
from zoo_flows.transforms.base import Transform, constant_log_det

#: least variance that anything is divided by
_LEAST = 1e-5


class BatchNorm(Transform):
    """z = (x - mean)/deviation·exp(log_scale) + shift, of each component of a vector or each channel of an image.

    In a step of training, mean and deviation are the batch's own, with gradients through both, and a running average of
    them is kept. That average is what is used everywhere else: in evaluation, in the inverse, without gradients. So the
    density that is trained, with the batch taken as given, is not quite the one that is used; activation normalisation
    (:class:`~zoo_flows.transforms.actnorm.ActNorm`) has no such gap.

    :meth:`prepare` starts the average at the data.

    Args:
        shape: ``[d]``, or ``[c, h, w]`` of an image, whose pixels share what their channel has.
        momentum: share of a batch in the average.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, shape: Sequence[int], *, momentum: float = 0.1) -> None:
        super().__init__()
        self.positions, self.momentum = math.prod(shape[1:]), momentum
        each = (shape[0], *(1 for _ in shape[1:]))
        self.shift = nn.Parameter(torch.zeros(each))
        self.log_scale = nn.Parameter(torch.zeros(each))
        self.register_buffer("mean", torch.zeros(each))
        self.register_buffer("variance", torch.ones(each))

    @torch.no_grad()
    @override
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        mean, variance = self._of(x.double())
        self.mean.copy_(mean)
        self.variance.copy_(variance)

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, variance = self.mean, self.variance
        if self.training and torch.is_grad_enabled():
            mean, variance = self._of(x)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        log_scale = self._log_scale(variance)
        z = (x - mean) * log_scale.exp() + self.shift
        return z, constant_log_det(log_scale.sum() * self.positions, x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale = self._log_scale(self.variance)
        x = (z - self.shift) * (-log_scale).exp() + self.mean
        return x, constant_log_det(-log_scale.sum() * self.positions, z)

    @torch.no_grad()
    def frozen(self) -> Transform:
        """One shift and one scale, with the log-determinant as a constant."""
        log_scale = self.log_scale.double() - 0.5 * self.variance.double().clamp(min=_LEAST).log()
        scale = (-log_scale).exp()
        # shift = mean - shift·scale: where z is 0
        shift = self.mean.double() - self.shift.double() * scale
        return FrozenAffine(shift.to(self.shift.dtype), scale, self.positions).eval()

    def _of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of a batch."""
        variance, mean = var_mean(x)
        return mean.reshape(self.mean.shape), variance.reshape(self.mean.shape)

    def _log_scale(self, variance: Tensor) -> Tensor:
        return self.log_scale - 0.5 * variance.clamp(min=_LEAST).log()
