"""The rules of :mod:`zoo_onnx.forward_mode`: the tangents of an ONNX operator's outputs from those of its inputs.

A rule takes the operators being written and a node, and returns, for each output, its tangent and what replaces the
output: None for no tangent, or for an output that stays. A tangent has the sizes of its primal.
"""

from __future__ import annotations

from zoo_onnx.tangents import axes, normalisations, several
from zoo_onnx.tangents.slopes import SLOPES, unary
from zoo_onnx.tangents.writing import Rule, Tangents, zeros_like

__all__ = ["CONSTANT", "RULES", "Tangents", "zeros_like"]

#: operators whose outputs are integers, or have a derivative of zero
CONSTANT = frozenset(
    {
        *("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "ConstantOfShape", "EyeLike", "OneHot"),
        *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "IsNaN", "IsInf"),
        *("Sign", "Floor", "Ceil", "Round"),
    }
)

RULES: dict[str, Rule] = {
    **several.RULES,
    **axes.RULES,
    **normalisations.RULES,
    **{name: unary(slope) for name, slope in SLOPES.items()},
}
