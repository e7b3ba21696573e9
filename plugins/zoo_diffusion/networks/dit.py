"""DiT (Peebles & Xie 2023, "Scalable diffusion models with transformers"): a transformer over patches, adaLN-Zero.

Parameters have the names and shapes of the published DiT-XL/2 checkpoint. SiT is this network, trained for velocity.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.encoders import Attended, CrossAttention
from zoo.models.encoding import Attention as CrossAttentions
from zoo.overriding import override
from zoo_diffusion.networks.embeddings import Sinusoids
from zoo_diffusion.networks.network import Network
from zoo_diffusion.networks.unet import crossing, zero

#: how times are embedded -> shift of the frequencies; see :class:`DiT`
TIME_EMBEDDINGS = {"dit": 0.0, "diffusers": 1.0}
_FREQUENCIES = 256
_EPS = 1e-6


def positions(rows: int, columns: int, width: int) -> Tensor:
    """Sines and cosines of where each patch is, ``[1, rows · columns, width]``: its column first, then its row.

    Each is embedded in half of the width: sines, then cosines, of the frequencies 10000^(-i/(width/4)).
    """
    omega = 10_000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def waves(count: int) -> Tensor:
        angles = torch.arange(count, dtype=torch.float64)[:, None] * omega
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    across = waves(columns)[None].expand(rows, columns, width // 2)
    down = waves(rows)[:, None].expand(rows, columns, width // 2)
    return torch.cat([across, down], dim=-1).reshape(1, rows * columns, width).float()


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens ``[n, tokens, width]``, scaled and shifted by ``[n, width]`` each."""
    return x * (1 + scale[:, None]) + shift[:, None]


def unpatched(tokens: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """The image of which each token holds a patch, its pixels row by row and the channels of each together.

    Args:
        tokens: ``[n, rows · columns, patch² · channels]``.
        grid: (rows, columns).
        patch: pixels along the side of a patch.

    Returns:
        ``[n, channels, rows · patch, columns · patch]``.
    """
    rows, columns = grid
    channels = tokens.shape[-1] // patch**2
    pixels = tokens.reshape(-1, rows, columns, patch, patch, channels).permute(0, 5, 1, 3, 2, 4)
    return pixels.reshape(-1, channels, rows * patch, columns * patch)


class PatchEmbedding(nn.Module):
    """A patch of pixels to a token."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, channels, h, w]`` to ``[n, tokens, width]``, row by row."""
        result: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return result


class TimestepEmbedding(nn.Module):
    """256 sines and cosines of the time, then two layers."""

    def __init__(self, width: int, shift: float) -> None:
        super().__init__()
        self.sinusoids = Sinusoids(_FREQUENCIES, shift=shift)
        self.mlp = nn.Sequential(nn.Linear(_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """``[n]`` to ``[n, width]``."""
        embedding: Tensor = self.mlp(self.sinusoids(time))
        return embedding


class LabelEmbedding(nn.Module):
    """A class to a vector."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(classes, width)

    def forward(self, condition: Tensor) -> Tensor:
        """int ``[n]`` to ``[n, width]``."""
        embedding: Tensor = self.embedding_table(condition)
        return embedding


class Attention(nn.Module):
    """Multi-head self-attention over the tokens, written out as matmul and softmax.

    Args:
        width: length of a token.
        heads: how many.
        qkv_bias: whether queries, keys and values have a bias.
    """

    def __init__(self, width: int, heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, tokens, width]`` to the same."""
        tokens, width = x.shape[1:]
        size = width // self.heads
        q, k, v = self.qkv(x).reshape(-1, tokens, 3, self.heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(size), dim=-1)
        result: Tensor = self.proj((weights @ v).transpose(1, 2).reshape(-1, tokens, width))
        return result


class MLP(nn.Module):
    """Linear, GELU, linear, on each token.

    Args:
        width: length of a token.
        hidden: units in between.
        gelu: ``"tanh"`` for its approximation, as in DiT, or ``"none"`` for the function itself.
    """

    def __init__(self, width: int, hidden: int, *, gelu: str = "tanh") -> None:
        super().__init__()
        self.gelu = gelu
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, tokens, width]`` to the same."""
        result: Tensor = self.fc2(F.gelu(self.fc1(x), approximate=self.gelu))
        return result


class Block(nn.Module):
    """A transformer block with adaLN-Zero (section 3.2): the identity before training.

    A cross-attention to the parts of a condition stands after the attention, as in Chen et al. 2024 (arXiv:2310.00426,
    figure 4).
    """

    def __init__(self, width: int, heads: int, hidden: int, eps: float, cross: CrossAttention | None = None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=_EPS)
        self.attn = Attention(width, heads)
        self.cross_attn = cross
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=eps)
        self.mlp = MLP(width, hidden)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), zero(nn.Linear(width, 6 * width)))

    def forward(self, x: Tensor, embedding: Tensor, attended: Attended | None = None) -> Tensor:
        """``[n, tokens, width]`` and ``[n, width]`` to the first's shape."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(embedding).chunk(6, dim=1)
        x = x + gate1[:, None] * self.attn(modulated(self.norm1(x), shift1, scale1))
        if self.cross_attn is not None and attended is not None:
            x = self.cross_attn(x, attended)
        result: Tensor = x + gate2[:, None] * self.mlp(modulated(self.norm2(x), shift2, scale2))
        return result


class FinalLayer(nn.Module):
    """Norm, modulation, and a linear layer from each token to the pixels of its patch; zero before training."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=_EPS)
        self.linear = zero(nn.Linear(width, outputs))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), zero(nn.Linear(width, 2 * width)))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``[n, tokens, width]`` and ``[n, width]`` to ``[n, tokens, outputs]``."""
        shift, scale = self.adaLN_modulation(embedding).chunk(2, dim=1)
        result: Tensor = self.linear(modulated(self.norm_final(x), shift, scale))
        return result


class DiT(Network):
    """A diffusion transformer over images ``[n, in_channels, height, width]``.

    Args:
        size: (height, width), divisible by ``patch_size``.
        patch_size: pixels along the side of a patch.
        hidden_size: length of a token, divisible by 4 and by ``num_heads``.
        depth: blocks.
        num_heads: attention heads.
        mlp_ratio: hidden units of the MLPs over ``hidden_size``.
        time_embedding: ``"dit"``, as the published network was trained, or ``"diffusers"``, as that library computes
            it, with frequencies that fall faster.
        norm_eps: of the norm before the MLPs.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        patch_size: int = 2,
        hidden_size: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        time_embedding: str = "dit",
        norm_eps: float = _EPS,
        classes: int | None = None,
        vector: int | None = None,
        cross_attention: CrossAttentions | None = None,
    ) -> None:
        super().__init__()
        if any(side % patch_size for side in size):
            raise ConfigError(f"patch_size ({patch_size}) must divide both sides of an image, which is {size}")
        if hidden_size % num_heads or hidden_size % 4:
            raise ConfigError(f"hidden_size ({hidden_size}) must be divisible by 4 and by num_heads ({num_heads})")
        if time_embedding not in TIME_EMBEDDINGS:
            raise ConfigError(f"time_embedding must be {' or '.join(TIME_EMBEDDINGS)}, not {time_embedding!r}")
        self.patch = patch_size
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        self.x_embedder = PatchEmbedding(in_channels, patch_size, hidden_size)
        self.t_embedder = TimestepEmbedding(hidden_size, TIME_EMBEDDINGS[time_embedding])
        self.y_embedder: nn.Module | None = None
        if classes is not None:
            self.y_embedder = LabelEmbedding(classes, hidden_size)
        elif vector is not None:
            self.y_embedder = nn.Linear(vector, hidden_size)
        # in checkpoints, although it is not trained
        self.register_buffer("pos_embed", positions(*self.grid, hidden_size))
        self.pos_embed: Tensor
        hidden = int(hidden_size * mlp_ratio)
        cross = crossing(cross_attention)
        self.blocks = nn.ModuleList(
            Block(hidden_size, num_heads, hidden, norm_eps, None if cross is None else cross(hidden_size))
            for _ in range(depth)
        )
        self.final_layer = FinalLayer(hidden_size, patch_size**2 * out_channels)

    @override
    def forward(
        self, x: Tensor, time: Tensor, condition: Tensor | None = None, attended: Attended | None = None
    ) -> Tensor:
        embedding = self.t_embedder(time)
        if self.y_embedder is not None:
            embedding = embedding + self.y_embedder(condition)
        h = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            h = block(h, embedding, attended)
        return unpatched(self.final_layer(h, embedding), self.grid, self.patch)
