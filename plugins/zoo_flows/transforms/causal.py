"""The conditioner of TarFlow: a causal transformer over patches (Zhai et al. 2024, arXiv:2412.06329)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import ConfigError
from zoo_flows.transforms.networks import bounded

#: takes keys and values ``[n, heads, t, c]`` of new tokens, and gives those of all tokens so far
Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class CausalTransformer(nn.Module):
    """A network whose outputs for a patch depend on the patches before it, and on the context.

    Token i is computed from patch i - 1, and token 0 from no patch, so the output at token i is for patch i. The last
    layer starts at zero, so that whatever is conditioned starts at its zero parameters.

    Args:
        size: number d of components.
        patch: components of a patch; they stand side by side.
        outputs: P, for each component.
        context: length of the context, which every token gets; 0 for none.
        width: of the tokens, a multiple of ``heads``.
        layers: transformer blocks.
        heads: of attention.
    """

    def __init__(
        self, size: int, patch: int, outputs: int, *, context: int = 0, width: int = 64, layers: int = 2, heads: int = 2
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch or size // patch < 2:
            raise ConfigError(f"{size} components do not divide into two or more patches of {patch}")
        if heads < 1 or width % heads:
            raise ConfigError(f"a width of {width} cannot be divided among {heads} heads")
        self.size, self.patch, self.outputs, self.width, self.heads = size, patch, outputs, width, heads
        self.tokens = size // patch
        self.embed = nn.Linear(patch, width)
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.context = nn.Linear(context, width, bias=False) if context else None
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.out = nn.Linear(width, patch * outputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``[n, d]`` and ``[n, context]`` to ``[n, d, outputs]``."""
        patches = torch.unflatten(x, 1, (self.tokens, self.patch))
        h = self.token(patches[:, :-1])
        h = torch.cat([torch.zeros_like(h[:, :1]), h], dim=1) + self.position
        if self.context is not None and context is not None:
            h = h + self.context(context).unsqueeze(1)
        for block in self.layers():
            h = block(h)
        out: Tensor = self.out(self.norm(h))
        return torch.unflatten(out.flatten(1), 1, (self.size, self.outputs))

    def step(self, token: Tensor, extend: list[Extend]) -> Tensor:
        """The parameters ``[n, patch, outputs]`` of one patch.

        Args:
            token: ``[n, width]``: the output of :meth:`token` for the previous patch, with position and context.
            extend: for each block, appends the keys and values of this token to those of the tokens before it.
        """
        h = token.unsqueeze(1)
        for block, each in zip(self.layers(), extend, strict=True):
            h = block(h, each)
        return torch.unflatten(self.out(self.norm(h)).squeeze(1), 1, (self.patch, self.outputs))

    def token(self, patch: Tensor) -> Tensor:
        """``[..., patch]`` to ``[..., width]``. Outliers are drawn in, see :func:`bounded`."""
        token: Tensor = self.embed(bounded(patch))
        return token

    def layers(self) -> Iterator[Block]:
        """The blocks."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block


class Block(nn.Module):
    """h + attention(norm(h)), and the same with a perceptron of a hidden layer: a pre-norm transformer block.

    Args:
        width: of the tokens.
        heads: of attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width)
        self.one = nn.Linear(width, 4 * width)
        self.two = nn.Linear(4 * width, width)

    def forward(self, h: Tensor, extend: Extend | None = None) -> Tensor:
        """``[n, tokens, width]`` to the same; without ``extend`` these are all tokens, with it the next."""
        q, k, v = (
            torch.unflatten(each, 2, (self.heads, -1)).transpose(1, 2) for each in self.qkv(self.norm(h)).chunk(3, 2)
        )
        if extend is None:
            read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            read = F.scaled_dot_product_attention(q, *extend(k, v))
        h = h + self.merge(read.transpose(1, 2).flatten(2))
        inner: Tensor = self.two(F.gelu(self.one(self.norm(h)), approximate="tanh"))
        return h + inner
