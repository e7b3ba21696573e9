"""The conditioner of images: a small residual network of convolutions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_flows.transforms.networks import bounded


class ResidualCNN(nn.Module):
    """Pre-activation blocks of a 3×3 and a 1×1 convolution between 3×3 convolutions, at one resolution.

    Inputs are :func:`~zoo_flows.transforms.networks.bounded` first. Without blocks it has two layers; Glow's
    conditioner has three (Kingma & Dhariwal 2018, appendix B). The last layer starts at zero, so that whatever is
    conditioned starts at its zero parameters.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        context: length of the context, which is added, times a matrix, to the output of the first layer at every pixel;
            0 for none.
        hidden: channels of the hidden layers.
        blocks: how many.
        dropout: of whole channels, inside the blocks.
    """

    def __init__(
        self, inputs: int, outputs: int, *, context: int = 0, hidden: int = 64, blocks: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.context = nn.Linear(context, hidden, bias=False) if context else None
        self.blocks = nn.ModuleList(_Block(hidden, dropout) for _ in range(blocks))
        self.last = nn.Conv2d(hidden, outputs, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``[n, inputs, h, w]`` and ``[n, context]`` to ``[n, outputs, h, w]``."""
        h: Tensor = self.first(bounded(x))
        if self.context is not None and context is not None:
            h = h + self.context(context).unsqueeze(2).unsqueeze(3)
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.last(F.relu(h))
        return out


class _Block(nn.Module):
    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.one = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.two = nn.Conv2d(hidden, hidden, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.one(F.relu(h))
        change: Tensor = self.two(self.dropout(F.relu(inner)))
        return h + change
