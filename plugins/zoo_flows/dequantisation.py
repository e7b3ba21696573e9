"""Variational dequantisation (Ho et al. 2019, Flow++, arXiv:1902.00275, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from zoo_flows.bases.base import standard_log_prob, uniform
from zoo_flows.transforms import AffineMap, Checkered, Coupling, Transform
from zoo_flows.transforms.checkered import by_colour
from zoo_flows.transforms.convolutional import ResidualCNN
from zoo_flows.transforms.networks import ResidualMLP

#: largest slope of one affine map
_SLOPE = 8.0


class VariationalDequantisation(nn.Module):
    """Learned noise u in [0, 1) for whole numbers x, instead of uniform noise: q(u | x), itself a flow (eq. 7)::

        log P(x)  ≥  E  log p(x + u) - log q(u | x)

    Uniform noise requires the density to be flat in every cell between whole numbers; learned noise can adapt to the
    density. Base noise ε passes couplings that see x, and then the normal distribution function, so that
    parameters at zero give uniform noise. Images with an even width have couplings between the colours of a
    checkerboard, by convolutions; anything else couplings of vectors.

    Args:
        event_shape: of x.
        levels: x is in 0 … levels - 1.
        transforms: couplings.
        hidden: width, or channels, of their networks.
        blocks: residual blocks of a network.
    """

    def __init__(
        self, event_shape: Sequence[int], levels: int, *, transforms: int = 4, hidden: int = 32, blocks: int = 1
    ) -> None:
        super().__init__()
        self.levels = levels
        self.is_image = len(event_shape) == 3 and event_shape[2] % 2 == 0
        couplings: list[Transform] = []
        for turn in range(transforms):
            swap = turn % 2 == 1
            if self.is_image:
                channels = 2 * event_shape[0]
                image = partial(_GivenImage, channels, hidden=hidden, blocks=blocks)
                couplings.append(Checkered(Coupling(channels, AffineMap(_SLOPE), image, swap=swap)))
            else:
                size = torch.Size(event_shape).numel()
                vector = partial(ResidualMLP, context=size, hidden=hidden, blocks=blocks)
                couplings.append(Coupling(size, AffineMap(_SLOPE), vector, swap=swap))
        self.transforms = nn.ModuleList(couplings)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Noise for whole numbers.

        Args:
            x: whole numbers ``[n, *event]``.

        Returns:
            u ``[n, *event]`` in [0, 1], drawn with torch's generator, and log q(u | x) ``[n]``.
        """
        noise = torch.randn_like(x)
        seen = (2.0 * x + 1.0) / self.levels - 1.0
        value, seen = (noise, by_colour(seen)) if self.is_image else (noise.flatten(1), seen.flatten(1))
        log_q = standard_log_prob(noise.flatten(1))
        for transform in self.transforms:
            value, log_det = transform(value, seen)
            log_q = log_q - log_det
        value = value.reshape(x.shape)
        # u = Φ(value), whose slope is the standard normal density
        return uniform(value), log_q - standard_log_prob(value.flatten(1))


class _GivenImage(nn.Module):
    """A conditioner that sees an image beside what it reads."""

    def __init__(self, channels: int, inputs: int, outputs: int, *, hidden: int, blocks: int) -> None:
        super().__init__()
        self.network = ResidualCNN(inputs + channels, outputs, hidden=hidden, blocks=blocks)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        parameters: Tensor = self.network(torch.cat([x, context], dim=1))
        return parameters
