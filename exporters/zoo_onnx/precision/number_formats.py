"""Number formats for weights, and how ONNX stores them.

A format rounds a weight matrix, and recognises a rounded matrix, which it stores losslessly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zoo.arrays import Array
from zoo.overriding import override

_PRODUCTS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_OTHERS: tuple[type[nn.Module], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Embedding)
#: weights that share a scale in a row of 4-bit integers: the largest of these that divides the row
_BLOCKS = (32, 16)
#: weights with fewer numbers are not worth quantizing
_LEAST = 256
#: bits of a scale's significand: few enough that the products of scales and integers are exact in float32
_SIGNIFICAND = 12


@dataclass(frozen=True)
class Stored:
    """How a format stores an array.

    Attributes:
        values: in the format's dtype; of the array's shape, or of another shape with as many numbers.
        scale: factor of the values, of a shape that broadcasts to theirs, or None.
        turned: whether the array is the transpose of the stored one.
    """

    values: Array
    scale: NDArray[np.float32] | None = None
    turned: bool = False


class NumberFormat(ABC):
    """A number format that weights are rounded to."""

    name: str
    opset: int = 17
    dtype: np.dtype[Any]
    #: modules whose ``weight`` is rounded
    modules: tuple[type[nn.Module], ...] = _PRODUCTS

    @abstractmethod
    def stored(self, array: NDArray[np.float32]) -> Stored | None:
        """An exact representation of ``array``, or None if there is none."""

    @abstractmethod
    def rounded(self, array: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The nearest array that :meth:`stored` accepts, or None if the array is not rounded."""

    def round(self, model: nn.Module) -> frozenset[str]:
        """Round a model's weights in place, and return their names."""
        names = set()
        for prefix, module in model.named_modules(remove_duplicate=False):
            weight = getattr(module, "weight", None)
            if not isinstance(module, self.modules) or not isinstance(weight, torch.Tensor):
                continue
            new = self.rounded(weight.detach().numpy())
            if new is not None:
                with torch.no_grad():
                    weight.copy_(torch.from_numpy(new))
                names.add(f"{prefix}.weight" if prefix else "weight")
        return frozenset(names)


class Float(NumberFormat):
    """A smaller floating-point format.

    Args:
        name: ``"float16"`` or ``"bfloat16"``.
    """

    modules = (*_PRODUCTS, *_OTHERS)

    def __init__(self, name: str) -> None:
        self.name = name
        self.dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else np.float16)

    @override
    def rounded(self, array: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Values that overflow the format become infinite, which the proof refuses."""
        return array.astype(self.dtype).astype(np.float32) if array.size >= _LEAST else None

    @override
    def stored(self, array: NDArray[np.float32]) -> Stored | None:
        with np.errstate(over="ignore"):
            values = array.astype(self.dtype)
        return Stored(values) if np.array_equal(values.astype(np.float32), array) else None


class Integers(NumberFormat):
    """Symmetric integers with a scale for each output (8 bits) or for each block of a row (4 bits).

    Args:
        bits: 8 or 4.
    """

    def __init__(self, bits: int) -> None:
        self.name, self.bits, self.largest = f"int{bits}", bits, 2 ** (bits - 1) - 1
        self.opset = 17 if bits == 8 else 21  # blocks came with opset 21
        self.dtype = np.dtype(np.int8 if bits == 8 else ml_dtypes.int4)

    @override
    def rounded(self, array: NDArray[np.float32]) -> NDArray[np.float32] | None:
        if array.size < _LEAST or (cells := self._cells(array)) is None:
            return None
        scale = self._scale(cells)
        return np.asarray(np.rint(cells / scale) * scale, np.float32).reshape(array.shape)

    @override
    def stored(self, array: NDArray[np.float32]) -> Stored | None:
        """A matrix may be stored transposed."""
        if array.ndim < 2 or array.size < _LEAST:
            return None
        if (held := self._stored(array)) is not None or array.ndim != 2:
            return held
        held = self._stored(np.ascontiguousarray(array.T))
        return None if held is None else replace(held, turned=True)

    def _stored(self, array: NDArray[np.float32]) -> Stored | None:
        cells = self._cells(array)
        if cells is None:
            return None
        scale = self._scale(cells)
        whole = np.rint(cells / scale)
        if not np.array_equal(np.asarray(whole * scale, np.float32), cells):
            return None
        values = whole.astype(np.int8).astype(self.dtype)
        if self.bits == 8:
            return Stored(values.reshape(array.shape), scale.reshape(-1, *(1,) * (array.ndim - 1)))
        return Stored(values, scale)

    def _cells(self, array: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The array reshaped so that the last axis holds the weights that share a scale."""
        rows = array.reshape(len(array), -1)
        if self.bits == 8:
            return rows
        block = next((b for b in _BLOCKS if rows.shape[1] % b == 0), None)
        return None if block is None else rows.reshape(len(rows), -1, block)

    def _scale(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Largest value over largest integer, rounded up to a short significand so that it is recovered exactly."""
        largest = np.abs(cells).max(-1, keepdims=True).astype(np.float64)
        significand, exponent = np.frexp(np.where(largest == 0, 1.0, largest / self.largest))
        short = np.ceil(significand * 2**_SIGNIFICAND) / 2**_SIGNIFICAND
        return np.asarray(np.ldexp(short, exponent), np.float32)
