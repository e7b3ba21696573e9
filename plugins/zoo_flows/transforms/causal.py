"""The conditioner of TarFlow: a causal transformer over patches (Zhai et al. 2024, arXiv:2412.06329)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import ConfigError
from zoo_flows.transforms.networks import bounded

#: takes keys and values ``[n, heads, t, c]`` of new tokens, and gives those of all tokens so far
Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

#: takes which components of a patch, and their parameters ``[n, k, outputs]``, and gives these components ``[n, k]``
Solve = Callable[[slice, Tensor], Tensor]


class CausalTransformer(nn.Module):
    """A network whose outputs for a patch depend on the patches before it, and on the context.

    Token i is computed from patch i - 1, and token 0 from no patch, so the output at token i is for patch i. The last
    layer starts at zero, so that whatever is conditioned starts at its zero parameters.

    With a ``window``, token i is computed from several patches before it, by a network of one hidden layer: those
    beside and above it in an image, say, which attention need not find then. Before the first patch stand zeros.

    With ``inner``, the outputs for a component depend on those before it in its own patch too, through a hidden layer
    between the transformer and the outputs, so that components of a patch need not be independent of each other::

        parameters of xᵢⱼ = W·gelu(Aⱼ·norm(hᵢ) + Σₖ₍ₖ<ⱼ₎ Bⱼₖ·xᵢₖ)

    Args:
        size: number d of components.
        patch: components of a patch; they stand side by side.
        outputs: P, for each component.
        context: length of the context, which every token gets; 0 for none.
        width: of the tokens, a multiple of ``heads``.
        layers: transformer blocks.
        heads: of attention.
        inner: width of the hidden layer within patches; 0 for none.
        window: how far before it the patches are that a token is computed from.
    """

    def __init__(
        self,
        size: int,
        patch: int,
        outputs: int,
        *,
        context: int = 0,
        width: int = 64,
        layers: int = 2,
        heads: int = 2,
        inner: int = 0,
        window: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch or size // patch < 2:
            raise ConfigError(f"{size} components do not divide into two or more patches of {patch}")
        if heads < 1 or width % heads:
            raise ConfigError(f"a width of {width} cannot be divided among {heads} heads")
        self.size, self.patch, self.outputs, self.width, self.heads = size, patch, outputs, width, heads
        self.tokens = size // patch
        self.window, self.windowed = tuple(window), len(window) > 1
        #: how many patches before it a token may need
        self.reach = max(self.window)
        self.embed: nn.Module = (
            nn.Sequential(
                nn.Linear(len(self.window) * patch, 2 * width), nn.GELU(approximate="tanh"), nn.Linear(2 * width, width)
            )
            if self.windowed
            else nn.Linear(patch, width)
        )
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.context = nn.Linear(context, width, bias=False) if context else None
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.hidden = nn.Linear(width, patch * inner) if inner else None
        self.before = nn.Parameter(torch.randn(patch, patch, inner) / (patch * math.sqrt(2))) if inner else None
        self.out = nn.Linear(inner, outputs) if inner else nn.Linear(width, patch * outputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``[n, d]`` and ``[n, context]`` to ``[n, d, outputs]``."""
        patches = torch.unflatten(x, 1, (self.tokens, self.patch))
        if self.windowed:
            known = F.pad(patches, (0, 0, self.reach, 0))
            first = [self.reach - each for each in self.window]
            h = self.token(torch.cat([known[:, each : each + self.tokens] for each in first], dim=2))
        else:
            h = self.token(patches[:, :-1])
            h = torch.cat([torch.zeros_like(h[:, :1]), h], dim=1)
        h = h + self.position
        if self.context is not None and context is not None:
            h = h + self.context(context).unsqueeze(1)
        for block in self.layers():
            h = block(h)
        h = self.norm(h)
        if self.hidden is None or self.before is None:
            out: Tensor = self.out(h)
        else:
            earlier = self.before.permute(2, 0, 1).tril(-1).permute(2, 1, 0)
            seen = torch.matmul(bounded(patches), earlier.flatten(1))
            out = self.out(_gelu(torch.unflatten(self.hidden(h) + seen, 2, (self.patch, -1))))
        return torch.unflatten(out.flatten(1), 1, (self.size, self.outputs))

    def step(self, token: Tensor, extend: list[Extend], solve: Solve) -> tuple[Tensor, Tensor]:
        """One patch ``[n, patch]``, and its parameters ``[n, patch, outputs]``.

        Args:
            token: ``[n, width]``: the output of :meth:`token` for the patches before, with position and context.
            extend: for each block, appends the keys and values of this token to those of the tokens before it.
            solve: finds components of the patch, those of a slice, given their parameters ``[n, k, outputs]``.
        """
        h = token.unsqueeze(1)
        for block, each in zip(self.layers(), extend, strict=True):
            h = block(h, each)
        h = self.norm(h).squeeze(1)
        if self.hidden is None or self.before is None:
            parameters = torch.unflatten(self.out(h), 1, (self.patch, self.outputs))
            return solve(slice(0, self.patch), parameters), parameters
        hidden = torch.unflatten(self.hidden(h), 1, (self.patch, -1))
        components: list[Tensor] = []
        taken: list[Tensor] = []
        for j in range(self.patch):
            inner = hidden[:, j]
            if components:
                inner = inner + torch.matmul(bounded(torch.cat(components, dim=1)), self.before[j, :j])
            taken.append(self.out(_gelu(inner)).unsqueeze(1))
            components.append(solve(slice(j, j + 1), taken[-1]))
        return torch.cat(components, dim=1), torch.cat(taken, dim=1)

    def begin(self, parameters: Tensor) -> None:
        """Start at these parameters ``[outputs]`` of every component."""
        self.out.bias.copy_(parameters.repeat(len(self.out.bias) // self.outputs))

    def token(self, patches: Tensor) -> Tensor:
        """``[..., k·patch]``, of a window of k, to ``[..., width]``. Outliers are drawn in, see :func:`bounded`."""
        token: Tensor = self.embed(bounded(patches))
        return token

    def following(self, known: Tensor) -> Tensor:
        """The token ``[n, width]`` after patches ``[n, t, patch]``, ``reach`` or more: those of the window."""
        return self.token(torch.cat([known[:, -each] for each in self.window], dim=1))

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
        inner: Tensor = self.two(_gelu(self.one(self.norm(h))))
        return h + inner


def _gelu(h: Tensor) -> Tensor:
    return F.gelu(h, approximate="tanh")
