"""The specified noise of :mod:`zoo.noise` as ONNX operators: Philox4x32-10 in integers, Box-Muller in float64.

Words are those of NumPy to the last bit, and so are the normals wherever a runtime's log, cos and sin are. ONNX has no
32-bit product with 64 bits of result, so words live in int64 and factors are split into halves of 16 bits.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from zoo.noise import Stream
from zoo_onnx.build import Builder

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.int64).reshape(2, 1, 1)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.int64).reshape(2, 1, 1)
_ROUNDS = 10
_16, _32 = np.array(1 << 16), np.array(1 << 32)
_LOW16, _LOW32 = np.array(0xFFFF), np.array(0xFFFFFFFF)


def key(net: Builder, seed: ir.Value) -> ir.Value:
    """The two key words ``[2, 1, 1]`` of a seed, whose 64 bits an int64 scalar holds."""
    unsigned = net("Cast", seed, to=ir.DataType.UINT64)
    high = net("Cast", net("BitShift", unsigned, np.array(32, np.uint64), direction="RIGHT"), to=ir.DataType.INT64)
    low = net("BitwiseAnd", seed, _LOW32)
    words = [net("Reshape", word, net.integers(1, 1, 1)) for word in (low, high)]
    return net("Concat", *words, axis=0)


def normal(
    net: Builder,
    key_words: ir.Value,
    first: ir.Value,
    n: ir.Value,
    shape: tuple[int, ...],
    step: ir.Value,
    stream: Stream,
) -> ir.Value:
    """Standard normals, float32 ``[n, *shape]``; see :func:`zoo.noise.normal`.

    Args:
        net: where the nodes go.
        key_words: from :func:`key`.
        first: int64 scalar, index of the first sample.
        n: int64 scalar, how many.
        shape: of one sample.
        step: int64 scalar, row of the step table.
        stream: what the numbers are for.
    """
    size = math.prod(shape)
    blocks = -(-size // 4)
    even, odd = _philox(net, key_words, *_counter(net, first, n, blocks, step, stream))
    # words 0 and 2 of a block are the radii's, 1 and 3 the angles'
    radius = net("Sqrt", net("Mul", net("Log", _uniform(net, even)), np.array(-2.0)))
    angle = net("Mul", _uniform(net, odd), np.array(2.0 * np.pi))
    pairs = [net("Unsqueeze", net("Mul", radius, net(f, angle)), net.integers(3)) for f in ("Cos", "Sin")]
    # [pair, n, block, cos or sin] to [n, block, pair, cos or sin]
    ordered = net("Transpose", net("Concat", *pairs, axis=3), perm=[1, 2, 0, 3])
    row = net("Unsqueeze", n, net.integers(0))
    flat = net("Reshape", ordered, net("Concat", row, net.integers(4 * blocks), axis=0))
    if size != 4 * blocks:
        flat = net("Slice", flat, net.integers(0), net.integers(size), net.integers(1))
    event = net("Reshape", flat, net("Concat", row, net.integers(*shape), axis=0))
    return net("Cast", event, to=ir.DataType.FLOAT)


def _counter(
    net: Builder, first: ir.Value, n: ir.Value, blocks: int, step: ir.Value, stream: Stream
) -> tuple[ir.Value, ir.Value]:
    """Words (block, step) and (sample, stream) of the counter, each ``[2, n, blocks]``."""
    row = net("Unsqueeze", n, net.integers(0))
    full = net("Concat", net.integers(1), row, net.integers(blocks), axis=0)
    end = net("Add", first, n)
    samples = net("BitwiseAnd", net("Range", first, end, np.array(1)), _LOW32)
    words = (
        net.constant(np.arange(blocks).reshape(1, 1, blocks)),
        net("Reshape", step, net.integers(1, 1, 1)),
        net("Reshape", samples, net.integers(1, -1, 1)),
        net.constant(np.array(int(stream)).reshape(1, 1, 1)),
    )
    block, step, sample, use = (net("Expand", word, full) for word in words)
    return net("Concat", block, step, axis=0), net("Concat", sample, use, axis=0)


def _philox(net: Builder, key_words: ir.Value, even: ir.Value, odd: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Words (0, 2) and (1, 3) of the output, from those of the counter; each int64 ``[2, n, blocks]``."""
    swap = net.integers(1, 0)
    for i in range(_ROUNDS):
        low, high = (net("BitwiseAnd", even, _LOW16), net("Div", even, _16))
        product_low, product_high = (net("Mul", half, _MULTIPLIERS) for half in (low, high))
        # even·multiplier = high word·2³² + low word, without a number beyond 2⁶³ on the way
        carried = net("Add", product_high, net("Div", product_low, _16))
        upper = net("Div", carried, _16)
        shifted = net("Mul", net("BitwiseAnd", product_high, _LOW16), _16)
        lower = net("BitwiseAnd", net("Add", shifted, product_low), _LOW32)
        round_key = net("BitwiseAnd", net("Add", key_words, (i * _WEYL) & 0xFFFFFFFF), _LOW32)
        even = net("BitwiseXor", net("BitwiseXor", net("Gather", upper, swap, axis=0), odd), round_key)
        odd = net("Gather", lower, swap, axis=0)
    return even, odd


def _uniform(net: Builder, words: ir.Value) -> ir.Value:
    """(⌊w / 2⁹⌋ + ½) · 2⁻²³ in float64."""
    whole = net("Cast", net("Div", words, np.array(512)), to=ir.DataType.DOUBLE)
    return net("Mul", net("Add", whole, np.array(0.5)), np.array(2.0**-23))
