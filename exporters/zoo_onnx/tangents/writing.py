"""The tools that rules are written with: tangents, attributes and sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zoo.errors import ExportError
from zoo_onnx.build import Builder

#: the tangent of an output, and the output written anew
Carried = tuple[ir.Value | None, ir.Value | None]


class Tangents(Builder):
    """The operators that compute tangents, to be inserted where the derivative is taken.

    Attributes:
        of: each value's tangent; a value without one does not depend on the point.
        primal: operators for outputs written anew, to be inserted before the node whose rule writes them.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.of: dict[ir.Value, ir.Value] = {}
        self.primal = Builder(f"{prefix}primal.")
        self._taken = 0

    def tangent(self, value: ir.Value | None) -> ir.Value | None:
        """The tangent of a value, or None."""
        return None if value is None else self.of.get(value)

    def take_primal(self) -> list[ir.Node]:
        """The operators for outputs written anew since the last call."""
        new = self.primal.nodes[self._taken :]
        self._taken = len(self.primal.nodes)
        return new


Rule = Callable[[Tangents, ir.Node], Sequence[Carried]]


def number(value: float) -> NDArray[np.float32]:
    """A float32 constant."""
    return np.array(value, np.float32)


def zeros_like(t: Builder, value: ir.Value) -> ir.Value:
    """Zeros of the sizes of a value."""
    return t("Expand", number(0.0), t("Shape", value))


def attributes_of(node: ir.Node) -> dict[str, object]:
    """The attributes of a node, by name."""
    return {name: attribute.value for name, attribute in node.attributes.items()}


def attribute_of(node: ir.Node, name: str, default: Any) -> Any:
    """An attribute, or the operator's default."""
    return node.attributes[name].value if name in node.attributes else default


def same_sizes(a: ir.Value, b: ir.Value) -> bool:
    """Whether two values are known to have the same sizes."""
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    return all(x == y and (isinstance(x, int) or x.value is not None) for x, y in zip(a.shape, b.shape, strict=True))


def fitted(t: Tangents, tangent: ir.Value, of: ir.Value, out: ir.Value) -> ir.Value:
    """The tangent of an operand ``of``, broadcast as ``out`` is."""
    return tangent if same_sizes(of, out) else t("Expand", tangent, t("Shape", out))


def total_of(t: Tangents, *terms: ir.Value | None) -> ir.Value | None:
    """The sum of the terms that there are; None of none."""
    total = None
    for term in terms:
        if term is not None:
            total = term if total is None else t("Add", total, term)
    return total


def constant_of(value: ir.Value | None) -> Any:
    """The value of a constant as an array, or None."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def only(tangent: ir.Value | None, anew: ir.Value | None = None) -> list[Carried]:
    """What a rule returns of an operator with one output."""
    return [(tangent, anew)]


def first_alone(t: Tangents, node: ir.Node) -> tuple[ir.Value, ir.Value]:
    """The first input and its tangent, of an operator whose rule takes the others for constants.

    Raises:
        ExportError: another input depends on the point too.
    """
    x, tangent = node.inputs[0], t.tangent(node.inputs[0])
    if x is None or tangent is None or any(t.tangent(each) is not None for each in node.inputs[1:]):
        raise ExportError(
            f"{node.op_type} whose other inputs than the first depend on the data cannot be exported in a derivative"
        )
    return x, tangent


def operands_of(t: Tangents, node: ir.Node) -> list[tuple[ir.Value, ir.Value | None]]:
    """The inputs of a node, each with its tangent or None."""
    return [(each, t.tangent(each)) for each in node.inputs if each is not None]
