"""DiffWave (Kong et al. 2021, arXiv:2009.09761): bidirectional dilated convolutions over the samples of a signal."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_diffusion.networks.embeddings import ConditionedNetwork
from zoo_diffusion.networks.network import Network
from zoo_diffusion.networks.patches import check_patch, patched, unpatched
from zoo_diffusion.networks.unet import sinusoidal_embedding, zero

_FEATURES = 128


class ResidualLayer(nn.Module):
    """A gated dilated convolution that feeds the next layer and the output (figure 2(a) of the paper).

    Args:
        channels: residual channels C.
        embedding: length of the time embedding.
        condition: length of the condition's embedding, or None.
        dilation: samples from one tap of the kernel to the next.
    """

    def __init__(self, channels: int, embedding: int, condition: int | None, dilation: int) -> None:
        super().__init__()
        self.time = nn.Linear(embedding, channels)
        self.dilated = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        # a global conditioner is a bias of the dilated convolution (section 3.2)
        self.condition = nn.Linear(condition, 2 * channels) if condition else None
        self.out = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, x: Tensor, embedding: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """``[n, C, length]`` to the next layer's input and this layer's share of the output, both of that shape."""
        h = self.dilated(x + self.time(embedding)[:, :, None])
        if self.condition is not None:
            h = h + self.condition(condition)[:, :, None]
        filtered, gate = h.chunk(2, dim=1)
        residual, skip = self.out(torch.tanh(filtered) * torch.sigmoid(gate)).chunk(2, dim=1)
        return (x + residual) / math.sqrt(2), skip


class DiffWave(ConditionedNetwork, Network):
    """DiffWave over signals ``[n, in_channels, length]``.

    Args:
        size: (length,), divisible by ``patch``.
        patch: neighbouring samples that are taken together as the channels of one position; 1 in the paper.
        residual_channels: C.
        layers: how many, all of whose skip connections are summed.
        cycle: layers after which the dilations 1, 2, 4, ... begin anew.
        embedding: length of the time embedding, 512 in the paper.
    """

    def __init__(
        self,
        *,
        size: tuple[int],
        in_channels: int,
        out_channels: int,
        patch: int = 1,
        residual_channels: int = 64,
        layers: int = 30,
        cycle: int = 10,
        embedding: int = 512,
        classes: int | None = None,
        vector: int | None = None,
    ) -> None:
        super().__init__()
        check_patch(patch, *size)
        if layers < 1 or cycle < 1:
            raise ConfigError(f"DiffWave needs at least one layer, in cycles of at least one, not {layers} and {cycle}")
        self.patch, self.width = patch, residual_channels
        self.time = nn.Sequential(
            nn.Linear(_FEATURES, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.embed(classes, vector, _FEATURES)
        condition = _FEATURES if classes or vector else None
        self.conv_in = nn.Conv1d(in_channels * patch, residual_channels, 1)
        self.layers = nn.ModuleList(
            ResidualLayer(residual_channels, embedding, condition, 2 ** (i % cycle)) for i in range(layers)
        )
        self.conv_skip = nn.Conv1d(residual_channels, residual_channels, 1)
        self.conv_out = zero(nn.Conv1d(residual_channels, out_channels * patch, 1))

    @override
    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        embedding = self.time(sinusoidal_embedding(time, _FEATURES))
        told = self.embedded(condition)
        h = F.relu(self.conv_in(patched(x, self.patch)))
        total = torch.zeros_like(h)
        for layer in self.layers:
            h, skip = layer(h, embedding, told)
            total = total + skip
        h = F.relu(self.conv_skip(total / math.sqrt(len(self.layers))))
        return unpatched(self.conv_out(h), self.patch)
