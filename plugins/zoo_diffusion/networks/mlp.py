"""A residual network over vectors, such as points of a plane and rows of a table.

Pre-activation blocks with layer norm, which time and condition scale and shift, as the blocks of Peebles & Xie 2023
(section 3.2, "adaLN-Zero") do without their attention; the tabular diffusion of Kotelnikov et al. 2023
(arXiv:2209.15421) has a plain multi-layer perceptron there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo_diffusion.networks.embeddings import ConditionedNetwork
from zoo_diffusion.networks.unet import sinusoidal_embedding, zero


class Block(nn.Module):
    """h + gate·W₂·silu(W₁·(norm(h)·(1 + scale) + shift)), with gate, scale and shift computed from the embedding.

    Args:
        width: of h.
        dropout: before W₂.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zero(nn.Linear(width, 3 * width))
        self.inner = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """``[n, width]`` twice to the same."""
        scale, shift, gate = self.modulation(embedding).chunk(3, dim=1)
        inner = F.silu(self.inner(self.norm(h) * (1 + scale) + shift))
        result: Tensor = h + gate * self.outer(self.dropout(inner))
        return result


class ResidualMLP(ConditionedNetwork):
    """Predicts from a state ``[n, d]``, its time and its condition.

    Args:
        size: d.
        hidden: width of the blocks; even.
        blocks: how many.
        dropout: inside blocks.
        classes: number of classes including the null class, or None.
        vector: length of the condition vector, or None.
        beside: numbers of a condition that stand beside those of a state, which are then all ``[n, d + beside]``.
    """

    def __init__(
        self,
        size: int,
        *,
        hidden: int = 128,
        blocks: int = 4,
        dropout: float = 0.0,
        classes: int | None = None,
        vector: int | None = None,
        beside: int = 0,
    ) -> None:
        super().__init__()
        if hidden < 2 or hidden % 2 or blocks < 1:
            raise ConfigError(f"the network needs one block or more, of even width, not {blocks} of width {hidden}")
        self.hidden = hidden
        self.time = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.embed(classes, vector, hidden)
        self.beside = beside
        self.first = nn.Linear(size + beside, hidden)
        self.blocks = nn.ModuleList(Block(hidden, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden)
        self.last = zero(nn.Linear(hidden, size))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """Predict.

        Args:
            x: ``[n, *event]`` of d numbers, or ``[n, d + beside]``.
            time: ``[n]``, the network's time.
            condition: int ``[n]`` or float ``[n, vector]``, as built.

        Returns:
            as ``x``, or ``[n, d]``.
        """
        embedding = self.time(sinusoidal_embedding(time, self.hidden))
        told = self.embedded(condition)
        if told is not None:
            embedding = embedding + told
        embedding = F.silu(embedding)
        h = self.first(x.flatten(1))
        for block in self.blocks:
            h = block(h, embedding)
        prediction: Tensor = self.last(F.silu(self.norm(h)))
        return prediction if self.beside else torch.unflatten(prediction, 1, x.shape[1:])
