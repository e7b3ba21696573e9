"""The interface of base distributions."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

_LOG_TWO_PI = math.log(2.0 * math.pi)


class Base(nn.Module, ABC):
    """The distribution of z, at the end of a flow's transforms: known in closed form, made of standard normal noise.

    The noise is that which every runtime draws (:mod:`zoo.noise`), so sampling stays one call of one graph. Both
    methods are traced for export, with the restrictions of :class:`~zoo_flows.transforms.Transform`.

    Attributes:
        size: d, length of z.
        noise_size: how many standard normals make one z.
    """

    size: int
    noise_size: int

    @abstractmethod
    def from_noise(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        """Standard normals ``[n, noise_size]`` to z ``[n, d]``."""

    @abstractmethod
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density ``[n]`` of z ``[n, d]``."""

    def frozen(self) -> Base:
        """An equal base for export; this one is left unchanged."""
        return copy.deepcopy(self).eval().requires_grad_(False)


def standard_log_prob(z: Tensor) -> Tensor:
    """Log-density of standard normals, summed over the last axis."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * _LOG_TWO_PI)


def uniform(noise: Tensor) -> Tensor:
    """Standard normals to numbers that are uniform in [0, 1]."""
    return 0.5 * (1.0 + torch.erf(noise * math.sqrt(0.5)))
