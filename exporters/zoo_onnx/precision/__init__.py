"""Bundles in fewer bits: what is rounded, where, and at what loss.

Rounding is never hidden in the tolerance of a proof. The steps, in order:

1. The model's weights are rounded in PyTorch (:mod:`~zoo_onnx.precision.number_formats`). From here on, the exported
   model is one whose weights the smaller format represents exactly.
2. Its graphs are traced as usual, and their weights stored losslessly in that format
   (:mod:`~zoo_onnx.precision.storage`). The proof compares them with the rounded model as strictly as for any bundle.
3. If arithmetic is lowered too, the proven graphs are rewritten: products in float16
   (:mod:`~zoo_onnx.precision.half`), in int8 with ranges calibrated on the model's own runs
   (:mod:`~zoo_onnx.precision.static`), or in int8 with each row's own range (:mod:`~zoo_onnx.precision.dynamic`).
4. The loss against the model before rounding is measured, stated, and refused beyond a bound
   (:mod:`~zoo_onnx.precision.loss`).

Everything else stays in float32: normalizations, softmaxes, embeddings of time, splines, log-determinants, the state
of a sampler and its table; and the graph of a diffusion's ``log_prob``, which is a derivative, keeps its arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zoo.errors import UnknownNameError, UsageError
from zoo_onnx.precision.number_formats import Float, Integers, NumberFormat

DTYPES = ("float32", "float16", "bfloat16")
QUANTIZATIONS = ("int8", "int8-dynamic", "int8-weights", "int4-weights")

#: largest accepted relative error (root mean square) of the network's predictions
BOUND = 0.05


@dataclass(frozen=True)
class Precision:
    """A choice of formats.

    Attributes:
        name: as it was requested.
        format: the numbers that weights are rounded to.
        arithmetic: ``"float32"``, ``"float16"``, ``"int8"`` (ranges calibrated) or ``"int8-dynamic"``.
        bound: largest loss, see :data:`BOUND`.
    """

    name: str
    format: NumberFormat
    arithmetic: str
    bound: float = BOUND

    @property
    def opset(self) -> int:
        """The lowest opset that has the operators."""
        return max(self.format.opset, 18 if self.arithmetic == "int8-dynamic" else 0)

    def describe(self, loss: Mapping[str, float]) -> dict[str, object]:
        """Its entry in a manifest."""
        return {"weights": self.format.name, "arithmetic": self.arithmetic, "bound": self.bound, "loss": dict(loss)}


def precision(dtype: str | None = None, quantize: str | None = None, bound: float | None = None) -> Precision | None:
    """The precision that these options select; None for float32.

    Args:
        dtype: one of :data:`DTYPES`.
        quantize: one of :data:`QUANTIZATIONS`.
        bound: largest loss; None is :data:`BOUND`.

    Raises:
        UnknownNameError: an unknown dtype or quantization.
        UsageError: both are given, or a bound without either, or a bound that is not a number above 0.
    """
    if dtype is not None and dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, DTYPES)
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise UnknownNameError("quantization", quantize, QUANTIZATIONS)
    lowered = dtype not in (None, "float32")
    if quantize is not None and dtype is not None:
        raise UsageError("dtype and quantize exclude each other: give one of the two")
    if bound is not None and not 0 < bound < float("inf"):
        raise UsageError(f"the bound on the loss must be a number above 0, not {bound!r}")
    if not lowered and quantize is None:
        if bound is not None:
            raise UsageError("a bound on the loss applies only with a dtype or a quantization")
        return None
    bound = BOUND if bound is None else bound
    if quantize is None:
        assert dtype is not None
        # ONNX Runtime's CPU has no products in bfloat16, so they could not be proven
        return Precision(dtype, Float(dtype), dtype if dtype == "float16" else "float32", bound)
    width, _, how = quantize.partition("-")
    arithmetic = {"": "int8", "dynamic": "int8-dynamic", "weights": "float32"}[how]
    return Precision(quantize, Integers(int(width.removeprefix("int"))), arithmetic, bound)
