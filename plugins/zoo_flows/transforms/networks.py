"""The conditioner: the network that reads one part of a vector and says how the other is to be transformed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: in deviations: most of what conditioners of affine maps see
SEEN = 8.0


class ResidualMLP(nn.Module):
    """A residual network of pre-activation blocks (He et al. 2016; as in Durkan et al. 2019, appendix B.1).

    The last layer starts at zero, so that whatever is conditioned starts at its zero parameters.

    Args:
        inputs: length of the input.
        outputs: length of the output.
        context: length of the context, which is concatenated to the input; 0 for none.
        hidden: width of the hidden layers.
        blocks: residual blocks of two layers each.
        dropout: inside the blocks.
        seen: let inputs pass x/(1 + |x|/seen), see :func:`bounded`; None leaves them as they are.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        context: int = 0,
        hidden: int = 64,
        blocks: int = 2,
        dropout: float = 0.0,
        seen: float | None = None,
    ) -> None:
        super().__init__()
        self.seen = seen
        self.first = nn.Linear(inputs + context, hidden)
        self.blocks = nn.ModuleList(_Block(hidden, dropout) for _ in range(blocks))
        self.last = nn.Linear(hidden, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``[n, inputs]`` and ``[n, context]`` to ``[n, outputs]``."""
        x = x if self.seen is None else bounded(x, self.seen)
        h: Tensor = self.first(x if context is None else torch.cat([x, context], dim=1))
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.last(F.relu(h))
        return out


def bounded(x: Tensor, seen: float = SEEN) -> Tensor:
    """x/(1 + |x|/seen): smooth, increasing, about x where data are, and never beyond ±seen.

    So outliers in noise are transformed about like values nearby, instead of by maps that grow with them, coupling
    after coupling, until neither samples nor exported graphs have digits left. Splines do not need it: outside their
    interval they are the identity.
    """
    return x / (1.0 + x.abs() / seen)


class _Block(nn.Module):
    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.one = nn.Linear(hidden, hidden)
        self.two = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.one(F.relu(h))
        change: Tensor = self.two(self.dropout(F.relu(inner)))
        return h + change
