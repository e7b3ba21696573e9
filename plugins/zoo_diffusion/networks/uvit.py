"""U-ViT (Bao et al. 2023, "All are worth words", arXiv:2209.12152): a transformer with the long skips of a U-Net.

Time, class and patches of the noisy image are all tokens (section 3). Parameters have the names and shapes of the
published U-ViT checkpoints, checked against the source that they were trained with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_diffusion.networks.dit import MLP, Attention, PatchEmbedding, unpatched
from zoo_diffusion.networks.embeddings import Sinusoids
from zoo_diffusion.networks.network import Network
from zoo_diffusion.networks.unet import zero


class Block(nn.Module):
    """A pre-norm transformer block, with a long skip into it or none.

    Args:
        width: length of a token.
        heads: of attention.
        hidden: units of the MLP.
        qkv_bias: whether queries, keys and values have a bias.
        skip: whether tokens of an earlier block come in: concatenated, then brought back to ``width`` by a linear
            layer, the best of the ways that section 3.1 compares.
    """

    def __init__(self, width: int, heads: int, hidden: int, *, qkv_bias: bool, skip: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width, hidden, gelu="none")
        self.skip_linear = nn.Linear(2 * width, width) if skip else None

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """``[n, tokens, width]``, twice if the block has a skip, to the same."""
        if self.skip_linear is not None and skip is not None:
            x = self.skip_linear(torch.cat([x, skip], dim=-1))
        x = x + self.attn(self.norm1(x))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class TimeToken(nn.Sequential):
    """Linear, SiLU, linear, from sines and cosines of the time to its token."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))


class UViT(Network):
    """A U-ViT over images ``[n, in_channels, height, width]``.

    The published networks begin with small random weights throughout. Here the prediction begins at zero, as that of
    every network of this package, and the last convolution as the identity.

    Args:
        size: (height, width), divisible by ``patch_size``.
        patch_size: pixels along the side of a patch.
        embed_dim: length of a token, divisible by ``num_heads``.
        depth: blocks with the one in the middle not counted: half of them before it, half after.
        num_heads: attention heads.
        mlp_ratio: hidden units of the MLPs over ``embed_dim``.
        qkv_bias: whether queries, keys and values have a bias.
        mlp_time_embed: whether two layers turn the sines and cosines of the time into its token; else they are it
            themselves.
        conv: whether a 3×3 convolution comes last, which removes the edges of patches.
        vector: see :class:`~zoo_diffusion.networks.network.Network`; it is a token, as a class is.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        patch_size: int = 2,
        embed_dim: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        mlp_time_embed: bool = False,
        conv: bool = True,
        classes: int | None = None,
        vector: int | None = None,
    ) -> None:
        super().__init__()
        if any(side % patch_size for side in size):
            raise ConfigError(f"patch_size ({patch_size}) must divide both sides of an image, which is {size}")
        if embed_dim % num_heads:
            raise ConfigError(f"embed_dim ({embed_dim}) must be divisible by num_heads ({num_heads})")
        if depth < 0 or depth % 2:
            raise ConfigError(f"depth must be even, for as many blocks before the middle as after it, not {depth}")
        self.patch = patch_size
        self.grid = (size[0] // patch_size, size[1] // patch_size)
        self.sinusoids = Sinusoids(embed_dim)
        self.patch_embed = PatchEmbedding(in_channels, patch_size, embed_dim)
        self.time_embed = TimeToken(embed_dim) if mlp_time_embed else nn.Identity()
        self.label_emb: nn.Module | None = None
        if classes is not None:
            self.label_emb = nn.Embedding(classes, embed_dim)
        elif vector is not None:
            self.label_emb = nn.Linear(vector, embed_dim)
        self.extras = 1 + (self.label_emb is not None)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.extras + self.grid[0] * self.grid[1], embed_dim))

        def block(skip: bool = False) -> Block:
            return Block(embed_dim, num_heads, int(embed_dim * mlp_ratio), qkv_bias=qkv_bias, skip=skip)

        self.in_blocks = nn.ModuleList(block() for _ in range(depth // 2))
        self.mid_block = block()
        self.out_blocks = nn.ModuleList(block(skip=True) for _ in range(depth // 2))
        self.norm = nn.LayerNorm(embed_dim)
        self.decoder_pred = nn.Linear(embed_dim, patch_size**2 * out_channels)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        zero(self.decoder_pred)
        self.final_layer: nn.Module = nn.Identity()
        if conv:
            convolution = nn.Conv2d(out_channels, out_channels, 3, padding=1)
            zero(convolution)
            nn.init.dirac_(convolution.weight)
            self.final_layer = convolution

    @override
    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        tokens = [self.time_embed(self.sinusoids(time))[:, None], self.patch_embed(x)]
        if self.label_emb is not None:
            tokens.insert(0, self.label_emb(condition)[:, None])
        h = torch.cat(tokens, dim=1) + self.pos_embed
        skips = []
        for block in self.in_blocks:
            h = block(h)
            skips.append(h)
        h = self.mid_block(h)
        for block in self.out_blocks:
            h = block(h, skips.pop())
        result: Tensor = self.final_layer(
            unpatched(self.decoder_pred(self.norm(h))[:, self.extras :], self.grid, self.patch)
        )
        return result
