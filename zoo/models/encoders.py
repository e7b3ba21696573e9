"""The layers that encode a condition of named parts: run once for each different condition, and trained with the model.

Every operation has a forward-mode derivative and an ONNX translation, and none looks at more than one row. This module
needs torch; :mod:`zoo.models.encoding` describes which part goes in how.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.models.encoding import CONCATENATION, CROSS_ATTENTION, EMBEDDING, PartEncoding, Plan, channels_of, sides_of
from zoo.parts import Part
from zoo.programs.conditioning import ROWS
from zoo.programs.ports import Dim, Port

#: added to the attention scores of padding: e to its power is 0, and float16 can represent it
_UNSEEN = -1e4


class ConditionEncoder(nn.Module):
    """Named parts to the inputs of a network: a vector, channels, and keys and values.

    Its outputs are ``embedding`` ``[rows, E]``, the vectors of parts one after the other; ``beside``
    ``[rows, c, *size]``, in state units if their range is known; and for each part that is attended to ``NAME_read``
    ``[rows, length, layers · 2 · width]``, the keys and values of every layer, and ``NAME_seen``, its mask.

    Args:
        plan: which part goes in how.
        layers: cross-attentions of the network.
    """

    def __init__(self, plan: Plan, layers: int = 0) -> None:
        super().__init__()
        self.plan, self.layers = plan, layers
        parts = plan.condition.parts
        self.encoders = nn.ModuleDict({f"part_{part.name}": _encoder(part, plan) for part in parts})
        attention = plan.attention
        width = 0 if attention is None else attention.width
        self.keys_values = nn.ModuleDict(
            {f"part_{part.name}": nn.Linear(width, layers * 2 * width) for part in plan.parts(CROSS_ATTENTION)}
        )

    @property
    def ports(self) -> tuple[Port, ...]:
        """Its outputs."""
        plan = self.plan
        ports = []
        if plan.embedding:
            ports.append(Port("embedding", "float32", (ROWS, plan.embedding), "embedding of the condition"))
        if plan.beside:
            shape = (*plan.size, plan.beside) if plan.channels_last else (plan.beside, *plan.size)
            ports.append(Port("beside", "float32", (ROWS, *shape), "channels beside those of the state"))
        for part in plan.parts(CROSS_ATTENTION):
            length: Dim = part.shape[0]
            layer = cast(nn.Linear, self.keys_values[f"part_{part.name}"])
            read = (ROWS, length, layer.out_features)
            ports.append(Port(f"{part.name}_read", "float32", read, f"keys and values of {part.name}, by layer"))
            ports.append(Port(f"{part.name}_seen", "float32", (ROWS, length), f"1 where {part.name} is"))
        return tuple(ports)

    def forward(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parts and masks ``[rows, ...]``, numbers standardised, to the outputs by name."""
        encoded: dict[str, list[Tensor]] = {EMBEDDING: [], CONCATENATION: []}
        attended: dict[str, Tensor] = {}
        for part in self.plan.condition.parts:
            mask = None if part.mask is None else parts[part.mask]
            ranged = parts[part.name] if part.dtype == "int32" else _in_range(part, parts[part.name])
            way = self.plan.encodings[part.name].by
            layer = self.encoders[f"part_{part.name}"]
            value = layer(ranged) if mask is None or way == CONCATENATION else layer(ranged, mask)
            if way == CROSS_ATTENTION:
                attended[f"{part.name}_read"] = self.keys_values[f"part_{part.name}"](value)
                # an output of a graph is not one of its inputs
                attended[f"{part.name}_seen"] = parts[str(part.mask)] * 1.0
            else:
                encoded[str(way)].append(value)
        outputs = {}
        if encoded[EMBEDDING]:
            outputs["embedding"] = torch.cat(encoded[EMBEDDING], 1)
        if encoded[CONCATENATION]:
            beside = torch.cat(encoded[CONCATENATION], 1)
            outputs["beside"] = beside.movedim(1, -1) if self.plan.channels_last else beside
        return outputs | attended

    def attended(self, received: Mapping[str, Tensor]) -> Attended | None:
        """The keys and values of all parts that a network attends to, one after the other; None without one."""
        parts = self.plan.parts(CROSS_ATTENTION)
        if not parts:
            return None
        read = [received[f"{part.name}_read"] for part in parts]
        seen = [received[f"{part.name}_seen"] for part in parts]
        return (read[0], seen[0]) if len(parts) == 1 else (torch.cat(read, 1), torch.cat(seen, 1))


#: keys and values ``[n, length, layers · 2 · width]`` of every layer, and the mask ``[n, length]``
Attended = tuple[Tensor, Tensor]


class CrossAttention(nn.Module):
    """Tokens of the data look at those of a condition: x + W·attention(norm(x)), which starts as the identity.

    Keys and values come from the encoder of conditions, so that a step computes queries alone.

    Args:
        channels: of the data's tokens.
        width: of queries, keys and values.
        heads: how many share it.
        index: which of the keys and values are its own.
    """

    def __init__(self, channels: int, width: int, heads: int, index: int) -> None:
        super().__init__()
        self.heads, self.width, self.index = heads, width, index
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, width)
        self.out = nn.Linear(width, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, attended: Attended) -> Tensor:
        """``[n, tokens, channels]`` to the same."""
        read, seen = attended
        start = 2 * self.width * self.index
        keys, values = read[:, :, start : start + 2 * self.width].chunk(2, dim=2)
        result: Tensor = x + self.out(_attention(self.query(self.norm(x)), keys, values, seen, self.heads))
        return result

    def over_pixels(self, x: Tensor, attended: Attended) -> Tensor:
        """The same of every position of ``[n, channels, *size]``."""
        tokens: Tensor = self(x.flatten(2).transpose(1, 2), attended)
        return tokens.transpose(1, 2).reshape(-1, *x.shape[1:])


def _attention(query: Tensor, keys: Tensor, values: Tensor, seen: Tensor, heads: int) -> Tensor:
    """softmax(q·kᵀ/√d)·v of several heads, over the entries that are seen (Vaswani et al. 2017, eq. 1)."""
    size = query.shape[-1] // heads
    q, k, v = (torch.unflatten(each, 2, (heads, size)).transpose(1, 2) for each in (query, keys, values))
    scores = q @ k.transpose(-1, -2) / math.sqrt(size) + _UNSEEN * (1 - seen)[:, None, None, :]
    attended: Tensor = (torch.softmax(scores, dim=-1) @ v).transpose(1, 2).flatten(2)
    return attended


class TransformerLayer(nn.Module):
    """Self-attention over the entries that are not padding and a two-layer network, each after a layer norm.

    Args:
        width: of a token.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, h: Tensor, seen: Tensor) -> Tensor:
        """``[rows, length, width]`` and ``[rows, length]`` to the first's shape."""
        query, keys, values = self.qkv(self.before(h)).chunk(3, dim=2)
        h = h + self.out(_attention(query, keys, values, seen, self.heads))
        result: Tensor = h + self.outer(F.silu(self.inner(self.between(h))))
        return result


class TextEncoder(nn.Module):
    """Tokens or rows of a sequence through a transformer that sees their positions, and ignores padding.

    Args:
        part: the tokens, or the sequence.
        width: of each.
        layers: of the transformer.
        heads: of its attention.
        pooled: whether the result is averaged.
    """

    def __init__(self, part: Part, width: int, layers: int, heads: int, *, pooled: bool) -> None:
        super().__init__()
        self.width, self.pooled = width, pooled
        self.enter: nn.Module
        self.enter = nn.Embedding(int(part.size or 1), width) if part.size else nn.Linear(int(part.shape[1]), width)
        self.layers = nn.ModuleList(TransformerLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        half = width // 2
        frequencies = torch.tensor([10_000.0 ** (-i / half) for i in range(half)], dtype=torch.float64)
        self.register_buffer("frequencies", frequencies.float(), persistent=False)
        self.frequencies: Tensor

    def forward(self, value: Tensor, seen: Tensor) -> Tensor:
        """``[rows, length]`` or ``[rows, length, d]``, and the mask, to ``[rows, length, width]``, or averaged."""
        angles = (seen.cumsum(1) - 1)[:, :, None] * self.frequencies.to(seen)
        h: Tensor = self.enter(value) + torch.cat([torch.sin(angles), torch.cos(angles)], 2)
        for layer in self.layers:
            h = layer(h, seen)
        h = self.norm(h)
        if not self.pooled:
            return h
        return (h * seen[:, :, None]).sum(1) / seen.sum(1, keepdim=True)


class PictureEncoder(nn.Module):
    """Convolutions that halve the sides, an average over a grid of the result, and a linear layer.

    The grid keeps where things are, which an average over all positions would lose.

    Args:
        channels: of the image, or of the recording, which is an image one pixel high.
        sides: (height, width).
        widths: channels of each convolution.
        grid: positions along each side, unless fewer are left.
        width: of the result.
    """

    def __init__(self, channels: int, sides: tuple[int, int], widths: Sequence[int], grid: int, width: int) -> None:
        super().__init__()
        # a recording is an image one pixel high, along which nothing is looked at
        kernel = (3 if sides[0] > 1 else 1, 3 if sides[1] > 1 else 1)
        padding, stride = (kernel[0] // 2, kernel[1] // 2), (1 + kernel[0] // 2, 1 + kernel[1] // 2)
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for into, out in pairwise((channels, *widths)):
            self.convolutions.append(nn.Conv2d(into, out, kernel, stride=stride, padding=padding))
            self.norms.append(nn.GroupNorm(math.gcd(8, out), out))
            sides = ((sides[0] + 1) // 2, (sides[1] + 1) // 2)
        left = (min(grid, sides[0]), min(grid, sides[1]))
        self.pool = Resize(sides, left)
        self.out = nn.Linear(widths[-1] * left[0] * left[1], width)

    def forward(self, image: Tensor) -> Tensor:
        """``[rows, channels, height, width]``, or ``[rows, length]`` or ``[rows, channels, length]``, to a vector."""
        h = image
        if h.ndim < 4:
            h = (h if h.ndim == 3 else h[:, None])[:, :, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            h = F.silu(norm(convolution(h)))
        result: Tensor = self.out(self.pool(h).flatten(1))
        return result


class Resize(nn.Module):
    """Linear interpolation along the last axes, by matrices; where it shrinks, it averages.

    As Pillow's bilinear filter, and ``F.interpolate`` with ``antialias``.

    Args:
        sides: of the input.
        to: of the output.
    """

    def __init__(self, sides: Sequence[int], to: Sequence[int]) -> None:
        super().__init__()
        self.axes = [i - len(sides) for i, (a, b) in enumerate(zip(sides, to, strict=True)) if a != b]
        for axis in self.axes:
            matrix = torch.from_numpy(interpolation(sides[axis], to[axis]))
            self.register_buffer(f"matrix_{-axis}", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., *sides]`` to ``[..., *to]``."""
        for axis in self.axes:
            matrix = getattr(self, f"matrix_{-axis}").to(x)
            # the matrix on the right: from the left it would be repeated for each row, which fixes their number
            x = (x.transpose(axis, -1) @ matrix.T).transpose(axis, -1)
        return x


class Beside(nn.Module):
    """A part as channels at the data's positions.

    Args:
        part: the part.
        size: positions of the data.
    """

    def __init__(self, part: Part, size: Sequence[int]) -> None:
        super().__init__()
        self.modality, self.channels = part.modality, channels_of(part)
        self.resize = Resize(sides_of(part), size)

    def forward(self, value: Tensor) -> Tensor:
        """``[rows, *shape]`` to ``[rows, channels, *size]``."""
        if self.modality == "sequence":
            value = value.transpose(1, 2)
        elif self.modality == "audio" and value.ndim == 2:
            value = value[:, None]
        result: Tensor = self.resize(value)
        return result


def interpolation(size: int, to: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The matrix ``[to, size]`` of linear interpolation between the centres of pixels, widened where ``to`` is less."""
    ratio = size / to
    centres = (np.arange(to) + 0.5) * ratio - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(size) - centres[:, None]) / max(ratio, 1.0))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _in_range(part: Part, value: Tensor) -> Tensor:
    """Images, recordings and sequences whose range is known, in [-1, 1]."""
    if part.modality == "numbers" or part.minimum is None or part.maximum is None or part.minimum == part.maximum:
        return value
    return (value - part.minimum) * (2.0 / (part.maximum - part.minimum)) - 1.0


def _encoder(part: Part, plan: Plan) -> nn.Module:
    """The layers of one part, as its encoding says."""
    encoding: PartEncoding = plan.encodings[part.name]
    width = encoding.width or 0
    if encoding.by == CONCATENATION:
        return Beside(part, plan.size)
    if part.modality in ("tokens", "sequence"):
        pooled = encoding.by == EMBEDDING
        return TextEncoder(part, width, encoding.layers, encoding.heads, pooled=pooled)
    if part.modality == "classes":
        return nn.Embedding(int(part.size or 1) + (part.null is not None), width)
    if part.modality == "numbers":
        if not width:
            return nn.Identity()
        return nn.Sequential(nn.Linear(int(part.shape[0]), width), nn.SiLU(), nn.Linear(width, width))
    sides = (1, *sides_of(part))[-2:]
    return PictureEncoder(channels_of(part), (sides[0], sides[1]), encoding.channels, encoding.grid, width)
