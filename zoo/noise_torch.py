"""The specified noise of :mod:`zoo.noise` in torch, on any device: the same words, and normals equal to 1e-6.

Words are exact: torch has no unsigned 32-bit arithmetic, so they are held in int64, with factors split into halves
of 16 bits. The normals are computed in float64 where the device supports it, and equal those of NumPy except for
differences of log, cos and sin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.noise import Noise, Stream, check_seed

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_ROUNDS = 10


def philox4x32(counter: Tensor, key: Tensor) -> Tensor:
    """Philox4x32-10; see :func:`zoo.noise.philox4x32`.

    Args:
        counter: int64 ``[..., 4]``, values in [0, 2³²).
        key: int64 ``[2]`` or broadcastable ``[..., 2]``, likewise.

    Returns:
        int64 ``[..., 4]``, likewise.
    """
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key.unbind(-1)
    for _ in range(_ROUNDS):
        high0, low0 = _product(c0, _MULTIPLIERS[0])
        high2, low2 = _product(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return torch.stack([c0, c1, c2, c3], dim=-1)


def normal(
    seed: int,
    n: int,
    shape: tuple[int, ...],
    *,
    first: int = 0,
    step: int = 0,
    stream: Stream = Stream.INITIAL,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normals, float32 ``[n, *shape]``; arguments as for :func:`zoo.noise.normal`."""
    u = _uniforms(seed, n, shape, first=first, step=step, stream=stream, device=device)
    radius = torch.sqrt(-2.0 * torch.log(u[:, 0::2]))
    angle = 2.0 * torch.pi * u[:, 1::2]
    z = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1).reshape(n, -1)
    return z[:, : math.prod(shape)].float().reshape(n, *shape)


def uniform(seed: int, n: int, shape: tuple[int, ...], **place: Any) -> Tensor:
    """Uniforms in (0, 1), equal to those of :func:`zoo.noise.uniform`; arguments as for :func:`normal`."""
    return _uniforms(seed, n, shape, **place)[:, : math.prod(shape)].float().reshape(n, *shape)


def gumbel(seed: int, n: int, shape: tuple[int, ...], **place: Any) -> Tensor:
    """Standard Gumbel numbers; see :func:`zoo.noise.gumbel`. Arguments as for :func:`normal`."""
    u = _uniforms(seed, n, shape, **place)[:, : math.prod(shape)]
    return (-torch.log(-torch.log(u))).float().reshape(n, *shape)


_DRAWS: Mapping[str, Callable[..., Tensor]] = {"normal": normal, "uniform": uniform, "gumbel": gumbel}


def drawn(noises: Sequence[Noise], seed: int, n: int, *, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The noises of ``n`` samples by name, each float32 ``[n, *shape]``; see :func:`zoo.noise.drawn`."""
    return {
        each.name: _DRAWS[each.distribution](seed, n, each.shape, step=k, device=device)
        for k, each in enumerate(noises)
    }


def _uniforms(
    seed: int,
    n: int,
    shape: tuple[int, ...],
    *,
    first: int = 0,
    step: int = 0,
    stream: Stream = Stream.INITIAL,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniforms in (0, 1), in whole blocks ``[n, 4·blocks]`` and in float64 where the device has it."""
    seed, size = check_seed(seed), math.prod(shape)
    blocks = -(-size // 4)
    counter = torch.zeros(n, blocks, 4, dtype=torch.int64, device=device)
    counter[..., 0] = torch.arange(blocks, device=device)
    counter[..., 1] = (torch.arange(first, first + n, device=device) & _LOW)[:, None]
    counter[..., 2], counter[..., 3] = step, int(stream)
    key = torch.tensor([seed & _LOW, seed >> 32], device=device)
    words = philox4x32(counter, key).reshape(n, -1)
    # Apple's GPUs have no float64
    dtype = torch.float32 if words.device.type == "mps" else torch.float64
    return ((words >> 9).to(dtype) + 0.5) * 2.0**-23


def _product(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Upper and lower 32 bits of word·factor, without intermediate results beyond 2⁶³."""
    low, high = (word & 0xFFFF) * factor, (word >> 16) * factor
    upper = (high + (low >> 16)) >> 16
    return upper, (((high & 0xFFFF) << 16) + low) & _LOW
