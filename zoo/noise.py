"""The specified random numbers: Philox4x32-10 counters turned into normals by Box-Muller, uniforms or Gumbel numbers.

Random numbers are part of the interface, not an accident of a library: every implementation of this
specification draws the same noise from the same seed, in NumPy, torch, a browser or C++, and sample *i* is the same
alone or among a thousand.

Counter and key of one Philox block (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3")::

    counter = (block, sample, step, stream)      four uint32 words
    key     = (seed mod 2³², seed div 2³²)       two uint32 words

``block`` counts groups of four consecutive elements of one sample's flattened event, so element e of a sample is
word e mod 4 of block e div 4. ``step`` is the row of the step table (0 for the initial state). ``stream`` keeps
different uses apart, see :class:`Stream`.

A word w becomes the uniform u = (⌊w / 2⁹⌋ + ½) · 2⁻²³, which lies strictly inside (0, 1) and is exact in float32.
Words (w₀, w₁) and (w₂, w₃) of a block each give two normals, √(-2 ln u₀) · (cos 2πu₁, sin 2πu₁). Here they are
computed in float64 and rounded once to float32; an implementation in float32 agrees to 1e-6.

A Gumbel number is -ln(-ln u). The symbol argmax_k(log p_k + g_k) of independent ones is drawn from p (Maddison et al.
2014, "A* sampling", section 2), and rounding moves it only where two symbols are equally good up to rounding.

A model may draw several noises in one call, each a named input of its graph (:class:`Noise`): the k-th of them,
counted from 0, has ``step`` k of stream 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from zoo.errors import UsageError

#: of the two pairs of words of a block
_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_ROUNDS = 10
_HALF = np.uint64(32)
#: what the two words of the key have become by each round, in the upper half: multiples of Weyl's constants
_STEPS = np.arange(_ROUNDS, dtype=np.uint64)[:, None] * np.array([0x9E3779B9, 0xBB67AE85], np.uint64) << _HALF
_LARGEST = 0xFFFFFFFF


#: of a noise: standard normals; uniforms in (0, 1); or standard Gumbel numbers, for draws of categories
Distribution = Literal["normal", "uniform", "gumbel"]
DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)


@dataclass(frozen=True)
class Noise:
    """One of the noises that a model draws samples from: a named input of its graph.

    Attributes:
        name: of the input.
        shape: of the noise of one sample.
        distribution: ``"normal"``, ``"uniform"`` in (0, 1), or ``"gumbel"``.
    """

    name: str
    shape: tuple[int, ...]
    distribution: Distribution = "normal"


class Stream(IntEnum):
    """The purpose of a random number; the last word of the counter."""

    INITIAL = 0  # the state before the first step, or a flow's base sample
    STEP = 1  # fresh noise added by a sampler
    PROBE = 2  # probe vectors of a trace estimate
    DEQUANTIZE = 3  # uniform dequantisation of discrete data
    CONDITION = 4  # classes drawn when none are requested
    BOUND = 5  # times and noise of a variational bound


def philox4x32(counter: NDArray[np.uint32], key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Philox4x32-10.

    Args:
        counter: uint32, shape ``[..., 4]``.
        key: uint32, shape ``[2]`` or broadcastable ``[..., 2]``.

    Returns:
        uint32, shape ``[..., 4]``.

    >>> [hex(w) for w in philox4x32(np.zeros(4, np.uint32), np.zeros(2, np.uint32)).tolist()]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    shape = np.broadcast_shapes(counter.shape[:-1], key.shape[:-1])
    pairs = np.empty((2, *shape), np.uint64)
    pairs[0] = counter[..., 0].astype(np.uint64) << _HALF | counter[..., 1]
    pairs[1] = counter[..., 2].astype(np.uint64) << _HALF | counter[..., 3]
    halves = np.stack([np.broadcast_to(key[..., i], shape) for i in range(2)])
    return _rounds(pairs, halves.astype(np.uint64) << _HALF)


def _rounds(pairs: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The rounds of Philox, in place.

    A block is two pairs of words. In a round the upper word of each is multiplied; of the product of the other pair,
    the lower half becomes the lower word, and the upper half, the old lower word and the key together the upper one.

    Args:
        pairs: ``[2, ...]``, of the words c0 and c1, and c2 and c3.
        key: ``[2, ...]`` or broadcastable, in the upper half.

    Returns:
        uint32, shape ``[..., 4]``.
    """
    each = (2, *[1] * (pairs.ndim - 1))
    products, factors = np.empty_like(pairs), _MULTIPLIERS.reshape(each)
    others = products[::-1]
    # five operations of whole arrays: for few blocks the time is that of calling NumPy
    for step in _STEPS:
        np.right_shift(pairs, _HALF, out=products)
        np.multiply(products, factors, out=products)
        np.left_shift(pairs, _HALF, out=pairs)
        np.bitwise_xor(pairs, others, out=pairs)
        np.bitwise_xor(pairs, key + step.reshape(each), out=pairs)
    words = np.empty((*pairs.shape[1:], 4), np.uint32)
    words[..., 1], words[..., 3] = pairs
    np.right_shift(pairs, _HALF, out=pairs)
    words[..., 0], words[..., 2] = pairs
    return words


def check_seed(seed: int) -> int:
    """Return ``seed`` if it is a whole number in [0, 2⁶⁴), else raise UsageError."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise UsageError(f"a seed is a whole number from 0 to 2**64 - 1, not {seed!r}")
    return int(seed)


def _words(seed: int, samples: NDArray[np.int64], size: int, *, step: int, stream: Stream) -> NDArray[np.uint32]:
    """uint32 words, shape ``[len(samples), size]``."""
    seed = check_seed(seed)
    blocks = -(-size // 4)
    pairs = np.empty((2, len(samples), blocks), np.uint64)
    pairs[0] = np.arange(blocks, dtype=np.uint64) << _HALF
    pairs[0] |= (samples & _LARGEST).astype(np.uint64)[:, None]
    pairs[1] = (step & _LARGEST) << 32 | stream
    key = np.array([seed & _LARGEST, seed >> 32], np.uint64) << _HALF
    return _rounds(pairs, key[:, None, None]).reshape(len(samples), blocks * 4)


def uniform(
    seed: int,
    n: int,
    shape: tuple[int, ...],
    *,
    first: int = 0,
    step: int = 0,
    stream: Stream = Stream.INITIAL,
) -> NDArray[np.float32]:
    """Uniforms strictly inside (0, 1).

    Args:
        seed: whole number in [0, 2⁶⁴).
        n: number of samples.
        shape: shape of one sample.
        first: index of the first sample, so that batches of one run can be drawn separately.
        step: row of the step table.
        stream: the purpose of the numbers.

    Returns:
        float32, shape ``[n, *shape]``.
    """
    size = math.prod(shape)
    words = _words(seed, np.arange(first, first + n), size, step=step, stream=stream)[:, :size]
    u = ((words >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
    return u.reshape(n, *shape)


def normal(
    seed: int,
    n: int,
    shape: tuple[int, ...],
    *,
    first: int = 0,
    step: int = 0,
    stream: Stream = Stream.INITIAL,
) -> NDArray[np.float32]:
    """Standard normals; arguments and shape as for :func:`uniform`."""
    size = math.prod(shape)
    # a pair of words makes a pair of normals
    words = _words(seed, np.arange(first, first + n), size, step=step, stream=stream)[:, : size + size % 2]
    u = ((words >> np.uint32(9)).astype(np.float64) + 0.5) * 2.0**-23
    radius = np.sqrt(-2.0 * np.log(u[:, 0::2]))
    angle = 2.0 * np.pi * u[:, 1::2]
    z = np.empty(words.shape, np.float32)
    z[:, 0::2], z[:, 1::2] = radius * np.cos(angle), radius * np.sin(angle)
    return np.ascontiguousarray(z[:, :size]).reshape(n, *shape)


def rademacher(
    seed: int, n: int, shape: tuple[int, ...], *, first: int = 0, step: int = 0, stream: Stream = Stream.PROBE
) -> NDArray[np.float32]:
    """Independent signs ±1, the top bit of each word; arguments and shape as for :func:`uniform`."""
    size = math.prod(shape)
    words = _words(seed, np.arange(first, first + n), size, step=step, stream=stream)[:, :size]
    return np.where(words >> np.uint32(31), np.float32(-1.0), np.float32(1.0)).reshape(n, *shape)


def gumbel(
    seed: int, n: int, shape: tuple[int, ...], *, first: int = 0, step: int = 0, stream: Stream = Stream.INITIAL
) -> NDArray[np.float32]:
    """Standard Gumbel numbers -ln(-ln u), from -2.8 to 16.7; arguments and shape as for :func:`uniform`."""
    u = uniform(seed, n, shape, first=first, step=step, stream=stream).astype(np.float64)
    return np.asarray(-np.log(-np.log(u)), np.float32)


_DRAWS = {"normal": normal, "uniform": uniform, "gumbel": gumbel}


def drawn(noises: Sequence[Noise], seed: int, n: int, *, first: int = 0) -> dict[str, NDArray[np.float32]]:
    """The noises of ``n`` samples by name, each float32 ``[n, *shape]``: the k-th has ``step`` k of stream 0."""
    return {
        each.name: _DRAWS[each.distribution](seed, n, each.shape, first=first, step=k) for k, each in enumerate(noises)
    }


def tempered(noises: dict[str, NDArray[np.float32]], temperature: float) -> dict[str, NDArray[np.float32]]:
    """Normals times a temperature, a product in float32."""
    return noises if temperature == 1 else {name: z * np.float32(temperature) for name, z in noises.items()}
