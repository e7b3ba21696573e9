"""A transformer that sees a whole sequence and predicts the symbol at each position (Devlin et al. 2019, BERT)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_diffusion.networks.embeddings import ConditionedNetwork
from zoo_diffusion.networks.unet import zero


class Block(nn.Module):
    """Self-attention and a two-layer network, each after a layer norm (Xiong et al. 2020), around a shortcut.

    Args:
        width: of a token.
        heads: of the attention.
        dropout: after both.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """``[n, length, width]`` to the same."""
        n, length, width = h.shape
        parts = self.qkv(self.before(h)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        h = h + self.dropout(self.out(attended))
        result: Tensor = h + self.dropout(self.outer(F.gelu(self.inner(self.between(h)))))
        return result


class Bidirectional(ConditionedNetwork):
    """Symbols, some of them hidden, to logits of the symbol at every position.

    Args:
        length: of a sequence.
        symbols: their number, without the mask.
        width: of a token; a multiple of ``heads``.
        layers: blocks.
        heads: of each block's attention.
        dropout: in the blocks.
        classes: number of classes including the null class, or None.
        vector: length of the condition vector, or None.
    """

    def __init__(
        self,
        length: int,
        symbols: int,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        classes: int | None = None,
        vector: int | None = None,
    ) -> None:
        super().__init__()
        self.symbols = nn.Embedding(symbols + 1, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        nn.init.normal_(self.symbols.weight, std=0.02)
        self.embed(classes, vector, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        # at the start, every symbol is as likely everywhere
        self.last = zero(nn.Linear(width, symbols))

    def forward(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """Predict.

        Args:
            tokens: int64 ``[n, length]``, the number of symbols where they are hidden.
            condition: int ``[n]`` or float ``[n, vector]``, as built.

        Returns:
            logits ``[n, length, symbols]``.
        """
        h = self.symbols(tokens) + self.positions
        told = self.embedded(condition)
        if told is not None:
            h = h + told[:, None]
        for block in self.blocks:
            h = block(h)
        logits: Tensor = self.last(self.norm(h))
        return logits
