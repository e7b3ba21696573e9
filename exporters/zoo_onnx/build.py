"""ONNX graphs written as expressions, for the few parts that the exporter writes itself instead of tracing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike

from zoo.arrays import Array

Operand = ir.Value | Array


class Builder:
    """The nodes, in order, and the constants of one graph. Names begin with ``prefix``, so that graphs can be merged.

    Args:
        prefix: of every name.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}

    def __call__(self, operator: str, *inputs: Operand | None, **attributes: Any) -> ir.Value:
        """The (first) output of a new node."""
        return self.outputs(operator, *inputs, **attributes)[0]

    def outputs(self, operator: str, *inputs: Operand | None, outputs: int = 1, **attributes: Any) -> list[ir.Value]:
        """All outputs of a new node."""
        values = [self.constant(i) if isinstance(i, np.ndarray) else i for i in inputs]
        node = ir.node(operator, values, attributes, num_outputs=outputs, name=self._name(operator))
        for i, output in enumerate(node.outputs):
            output.name = f"{node.name}.{i}" if i else str(node.name)
        self.nodes.append(node)
        return list(node.outputs)

    def constant(self, value: ArrayLike, dtype: Any = None, name: str | None = None) -> ir.Value:
        """A constant, written once even if it is requested repeatedly."""
        array = np.asarray(value, dtype)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._known:
            title = f"{self.prefix}{name or f'constant_{len(self.constants)}'}"
            self._known[key] = ir.Value(
                name=title,
                type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
                shape=ir.Shape(array.shape),
                const_value=ir.Tensor(array, name=title),
            )
            self.constants.append(self._known[key])
        return self._known[key]

    def integers(self, *values: int) -> ir.Value:
        """An int64 vector."""
        return self.constant(np.array(values, np.int64))

    def adopt(self, graph: ir.Graph) -> None:
        """Move the nodes and constants of another graph here, leaving it empty."""
        nodes = list(graph)
        graph.remove(nodes)
        self.nodes += nodes
        initializers = list(graph.initializers.values())
        graph.initializers.clear()
        self.constants += initializers

    def graph(self, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value], name: str, opset: int | None) -> ir.Graph:
        """The graph of everything added so far; a nested graph has no opset of its own."""
        return ir.Graph(
            inputs,
            outputs,
            nodes=self.nodes,
            initializers=self.constants,
            opset_imports=None if opset is None else {"": opset},
            name=name,
        )

    def _name(self, operator: str) -> str:
        return f"{self.prefix}{operator}_{len(self.nodes)}"
