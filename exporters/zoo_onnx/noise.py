"""The specified noise of :mod:`zoo.noise` as ONNX operators: Philox4x32-10 in integers, Box-Muller in float64.

Words equal those of NumPy to the last bit, and so do the normals wherever a runtime's log, cos and sin do. ONNX has no
32-bit product with a 64-bit result, so words are held in int64 and factors are split into halves of 16 bits.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from zoo.noise import Noise, Stream
from zoo_onnx.build import Builder

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.int64).reshape(2, 1, 1)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.int64).reshape(2, 1, 1)
_ROUNDS = 10
_16, _32 = np.array(1 << 16), np.array(1 << 32)
_LOW16, _LOW32 = np.array(0xFFFF), np.array(0xFFFFFFFF)


def key(builder: Builder, seed: ir.Value) -> ir.Value:
    """The two key words ``[2, 1, 1]`` of a seed, an int64 scalar read as 64 bits."""
    unsigned = builder("Cast", seed, to=ir.DataType.UINT64)
    high = builder(
        "Cast", builder("BitShift", unsigned, np.array(32, np.uint64), direction="RIGHT"), to=ir.DataType.INT64
    )
    low = builder("BitwiseAnd", seed, _LOW32)
    words = [builder("Reshape", word, builder.integers(1, 1, 1)) for word in (low, high)]
    return builder("Concat", *words, axis=0)


def normal(
    builder: Builder,
    key_words: ir.Value,
    first: ir.Value,
    n: ir.Value,
    shape: tuple[int, ...],
    step: ir.Value,
    stream: Stream,
) -> ir.Value:
    """Standard normals, float32 ``[n, *shape]``; see :func:`zoo.noise.normal`.

    Args:
        builder: where the nodes go.
        key_words: from :func:`key`.
        first: int64 scalar, index of the first sample.
        n: int64 scalar, number of samples.
        shape: of one sample.
        step: int64 scalar, row of the step table.
        stream: the purpose of the numbers.
    """
    blocks = -(-math.prod(shape) // 4)
    even, odd = _philox(builder, key_words, *_counter(builder, first, n, blocks, step, stream))
    # words 0 and 2 of a block give the radii, 1 and 3 the angles
    radius = builder("Sqrt", builder("Mul", builder("Log", _uniform(builder, even)), np.array(-2.0)))
    angle = builder("Mul", _uniform(builder, odd), np.array(2.0 * np.pi))
    pairs = [builder("Mul", radius, builder(f, angle)) for f in ("Cos", "Sin")]
    return _in_order(builder, pairs, n, shape)


def drawn(builder: Builder, key_words: ir.Value, first: ir.Value, n: ir.Value, each: Noise, step: ir.Value) -> ir.Value:
    """One of the noises of a model, float32 ``[n, *shape]``; see :func:`zoo.noise.drawn`. Arguments as above."""
    if each.distribution == "normal":
        return normal(builder, key_words, first, n, each.shape, step, Stream.INITIAL)
    blocks = -(-math.prod(each.shape) // 4)
    pairs = [
        _uniform(builder, words)
        for words in _philox(builder, key_words, *_counter(builder, first, n, blocks, step, Stream.INITIAL))
    ]
    if each.distribution == "gumbel":
        pairs = [builder("Neg", builder("Log", builder("Neg", builder("Log", u)))) for u in pairs]
    return _in_order(builder, pairs, n, each.shape)


def _in_order(builder: Builder, pairs: list[ir.Value], n: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    """Numbers of words (0, 2) and of words (1, 3), each ``[2, n, blocks]``, as float32 ``[n, *shape]``."""
    size = math.prod(shape)
    blocks = -(-size // 4)
    apart = [builder("Unsqueeze", each, builder.integers(3)) for each in pairs]
    # [pair, n, block, first or second] to [n, block, pair, first or second]
    ordered = builder("Transpose", builder("Concat", *apart, axis=3), perm=[1, 2, 0, 3])
    row = builder("Unsqueeze", n, builder.integers(0))
    flat = builder("Reshape", ordered, builder("Concat", row, builder.integers(4 * blocks), axis=0))
    if size != 4 * blocks:
        flat = builder("Slice", flat, builder.integers(0), builder.integers(size), builder.integers(1))
    event = builder("Reshape", flat, builder("Concat", row, builder.integers(*shape), axis=0))
    return builder("Cast", event, to=ir.DataType.FLOAT)


def _counter(
    builder: Builder, first: ir.Value, n: ir.Value, blocks: int, step: ir.Value, stream: Stream
) -> tuple[ir.Value, ir.Value]:
    """Words (block, step) and (sample, stream) of the counter, each ``[2, n, blocks]``."""
    row = builder("Unsqueeze", n, builder.integers(0))
    full = builder("Concat", builder.integers(1), row, builder.integers(blocks), axis=0)
    end = builder("Add", first, n)
    samples = builder("BitwiseAnd", builder("Range", first, end, np.array(1)), _LOW32)
    words = (
        builder.constant(np.arange(blocks).reshape(1, 1, blocks)),
        builder("Reshape", step, builder.integers(1, 1, 1)),
        builder("Reshape", samples, builder.integers(1, -1, 1)),
        builder.constant(np.array(int(stream)).reshape(1, 1, 1)),
    )
    block, step, sample, use = (builder("Expand", word, full) for word in words)
    return builder("Concat", block, step, axis=0), builder("Concat", sample, use, axis=0)


def _philox(builder: Builder, key_words: ir.Value, even: ir.Value, odd: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Words (0, 2) and (1, 3) of the output, from those of the counter; each int64 ``[2, n, blocks]``."""
    swap = builder.integers(1, 0)
    for i in range(_ROUNDS):
        low, high = (builder("BitwiseAnd", even, _LOW16), builder("Div", even, _16))
        product_low, product_high = (builder("Mul", half, _MULTIPLIERS) for half in (low, high))
        # even·multiplier = high word·2³² + low word, without intermediate results beyond 2⁶³
        carried = builder("Add", product_high, builder("Div", product_low, _16))
        upper = builder("Div", carried, _16)
        shifted = builder("Mul", builder("BitwiseAnd", product_high, _LOW16), _16)
        lower = builder("BitwiseAnd", builder("Add", shifted, product_low), _LOW32)
        round_key = builder("BitwiseAnd", builder("Add", key_words, (i * _WEYL) & 0xFFFFFFFF), _LOW32)
        even = builder("BitwiseXor", builder("BitwiseXor", builder("Gather", upper, swap, axis=0), odd), round_key)
        odd = builder("Gather", lower, swap, axis=0)
    return even, odd


def _uniform(builder: Builder, words: ir.Value) -> ir.Value:
    """(⌊w / 2⁹⌋ + ½) · 2⁻²³ in float64."""
    whole = builder("Cast", builder("Div", words, np.array(512)), to=ir.DataType.DOUBLE)
    return builder("Mul", builder("Add", whole, np.array(0.5)), np.array(2.0**-23))
