"""From the writer of a :class:`zoo.programs.Graph` to an ONNX graph: the exporter's side of graph writing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import ArrayLike
from onnx_ir.passes import common
from torch import nn

from zoo.errors import ExportError
from zoo.overriding import override
from zoo.programs import Graph
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo.programs.ports import Dim, Port
from zoo_onnx.alike import TensorsAsInputs, float_tensors, kind
from zoo_onnx.build import Builder, Operand
from zoo_onnx.cheaper import cheaper
from zoo_onnx.portable import portable
from zoo_onnx.sizes import traced_sizes
from zoo_onnx.torch_exporter import tidied
from zoo_onnx.trace import clean, name, trace

#: of a graph including the bodies of its loops; a session with this many took 20 seconds to start, and a proof starts
#: several
MOST_NODES = 50_000
_TYPES = {"float32": ir.DataType.FLOAT, "int32": ir.DataType.INT32}


def write(graph: Graph, way: str, opset: int) -> ir.Model:
    """The ONNX graph written by one of a graph's writers.

    Args:
        graph: a graph that has this writer.
        way: name of the writer.
        opset: ONNX opset.

    Raises:
        ExportError: the writer gives the wrong number of outputs, or more than :data:`MOST_NODES` nodes, or a part
            cannot be traced.
    """
    builder = OnnxGraphBuilder(f"{way}.", opset)
    inputs = [_value(port) for port in graph.inputs]
    try:
        outputs = list(graph.written[way](builder, inputs))
    except _Full:
        others = [other for other in graph.written if other != way]
        raise ExportError(
            f"graph {graph.name} has more than {MOST_NODES:,} nodes when it is written as {way!r}",
            hint=f"Export it with --inverse {others[0]}." if others else None,
        ) from None
    if len(outputs) != len(graph.outputs):
        raise ExportError(f"graph {graph.name} is written with {len(outputs)} outputs, {len(graph.outputs)} expected")
    results = []
    for value, port in zip(outputs, graph.outputs, strict=True):
        result = builder("Identity", value)
        result.name, result.type, result.shape = port.name, ir.TensorType(_TYPES[port.dtype]), ir.Shape(port.shape)
        results.append(result)
    model = ir.Model(builder.graph(inputs, results, graph.name, opset), ir_version=10)
    cheaper(model)
    portable(model)
    common.RemoveUnusedNodesPass()(model)
    return model


def compose(graph: Graph, opset: int) -> ir.Model:
    """The ONNX graph of a graph that is composed of calls, with one trace for all modules that are alike.

    Args:
        graph: it must be composed.
        opset: of the traced modules.

    Raises:
        ExportError, ProofError: a module cannot be traced alone, as it may be within the whole graph.
    """
    assert graph.composed is not None
    builder = OnnxGraphBuilder("", opset, shares=True)
    inputs = [_value(port) for port in graph.inputs]
    results = [builder("Identity", value) for value in graph.composed(builder, inputs)]
    for result, port in zip(results, graph.outputs, strict=True):
        result.type, result.shape = ir.TensorType(_TYPES[port.dtype]), ir.Shape(port.shape)
    model = ir.Model(builder.graph(inputs, results, graph.name, opset), ir_version=10)
    tidied(model)
    cheaper(model)
    portable(model)
    clean(model)
    name(model, graph)
    return model


class _Full(Exception):  # noqa: N818 - a signal that ends the writing, not an error
    """The limit of nodes has been reached."""


class OnnxGraphBuilder(Builder, GraphBuilder):
    """A graph being written: see :class:`zoo.programs.graph_writing.GraphBuilder`.

    Args:
        prefix: of every name.
        opset: of the traced parts.
        outer: the enclosing graph if this one is the body of a loop; it holds the constants of both.
        shares: whether modules that are alike (:mod:`zoo_onnx.alike`) are traced once.
    """

    def __init__(self, prefix: str, opset: int, outer: OnnxGraphBuilder | None = None, *, shares: bool = False) -> None:
        super().__init__(prefix)
        self._shares = shares
        self.opset, self.outer = opset, outer
        self._traced: dict[Hashable, ir.Graph] = {} if outer is None else outer._traced
        self._loops = 0
        #: nodes so far; in the outermost graph, including those of all bodies
        self._written = 0

    @override
    def outputs(self, operator: str, *inputs: Operand | None, outputs: int = 1, **attributes: Any) -> list[ir.Value]:
        self._count()
        return super().outputs(operator, *inputs, outputs=outputs, **attributes)

    def _count(self) -> None:
        self._written += 1
        if self.outer is not None:
            self.outer._count()
        elif self._written > MOST_NODES:
            raise _Full

    @override
    def constant(self, value: ArrayLike, dtype: Any = None, name: str | None = None) -> ir.Value:
        return super().constant(value, dtype, name) if self.outer is None else self.outer.constant(value, dtype, name)

    @override
    def split(self, value: Value, sizes: Sequence[int], axis: int) -> list[Value]:
        return self.outputs("Split", value, self.integers(*sizes), outputs=len(sizes), axis=axis)

    @override
    def call(self, module: Callable[..., Any], *inputs: tuple[Value, tuple[Dim, ...]]) -> list[Value]:
        shapes = tuple(shape for _, shape in inputs)
        values = [value for value, _ in inputs]
        if self._shares and isinstance(module, nn.Module) and (same := kind(module)) is not None:
            tensors = float_tensors(module)
            if (same, shapes) not in self._traced:
                self._traced[same, shapes] = trace(_graph_of(module, shapes, tensors), self.opset).graph
            constants = [self.constant(tensor.numpy()) for tensor in tensors.values()]
            return self._copy(self._traced[same, shapes], [*values, *constants])
        if (module, shapes) not in self._traced:
            self._traced[module, shapes] = trace(_graph_of(module, shapes), self.opset).graph
        return self._copy(self._traced[module, shapes], values)

    @override
    def loop(
        self,
        turns: int,
        state: Sequence[Value],
        body: Callable[[GraphBuilder, Value, Sequence[Value]], Sequence[Value]],
    ) -> list[Value]:
        self._loops += 1
        inner = OnnxGraphBuilder(f"{self.prefix}loop_{self._loops}.", self.opset, self)
        turn = ir.Value(name=f"{inner.prefix}turn", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(()))
        going = ir.Value(name=f"{inner.prefix}going", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape(()))
        before = [
            ir.Value(name=f"{inner.prefix}state_{i}", type=ir.TensorType(ir.DataType.FLOAT)) for i in range(len(state))
        ]
        after = [inner._own(value) for value in body(inner, turn, before)]
        carried = inner("Identity", going)
        carried.type = ir.TensorType(ir.DataType.BOOL)
        for value in after:
            value.type = ir.TensorType(ir.DataType.FLOAT)
        graph = inner.graph([turn, going, *before], [carried, *after], "turn", None)
        return self.outputs("Loop", np.array(turns), np.array(True), *state, outputs=len(state), body=graph)

    def _own(self, value: Value) -> ir.Value:
        """A value as an output of this graph, which must come from one of its nodes."""
        produced = isinstance(value, ir.Value) and value.producer() in self.nodes
        return value if produced else self("Identity", value)

    def _copy(self, graph: ir.Graph, inputs: Sequence[Value]) -> list[Value]:
        """Copy a traced graph's nodes into this graph; return the copies of its outputs."""
        known: dict[ir.Value, Value] = dict(zip(graph.inputs, inputs, strict=True))
        for value in graph.initializers.values():
            assert value.const_value is not None
            known[value] = self.constant(value.const_value.numpy())
        for node in graph:
            if any(
                attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
                for attribute in node.attributes.values()
            ):
                raise ExportError(f"a traced part of a written graph has control flow: {node.op_type}")
            operands = [None if value is None else known[value] for value in node.inputs]
            attributes = {name: attribute.value for name, attribute in node.attributes.items()}
            outputs = self.outputs(node.op_type, *operands, outputs=len(node.outputs), **attributes)
            known.update(zip(node.outputs, outputs, strict=True))
        return [known[value] for value in graph.outputs]


def _graph_of(
    module: Callable[..., Any], shapes: tuple[tuple[Dim, ...], ...], tensors: Mapping[str, torch.Tensor] | None = None
) -> Graph:
    """A callable as a graph; sizes of outputs are symbolic if they change with those of the inputs.

    Of a module, ``tensors`` of its own become further inputs.
    """
    inputs = tuple(Port(f"in_{i}", "float32", shape) for i, shape in enumerate(shapes))
    sizes = traced_sizes(inputs)
    ranks = [_output_shapes(module, shapes, {name: size + more for name, size in sizes.items()}) for more in (0, 1000)]
    names = {size: name for name, size in sizes.items()}
    outputs = []
    for i, (one, other) in enumerate(zip(*ranks, strict=True)):
        shape = tuple(
            a if a == b else names.get(a, f"size_{i}_{axis}")
            for axis, (a, b) in enumerate(zip(one, other, strict=True))
        )
        outputs.append(Port(f"out_{i}", "float32", shape))
    if tensors is None:
        return Graph("part", module, inputs, tuple(outputs))
    assert isinstance(module, nn.Module)
    own = (Port(f"own_{i}", "float32", tuple(tensor.shape)) for i, tensor in enumerate(tensors.values()))
    return Graph("part", TensorsAsInputs(module), (*inputs, *own), tuple(outputs))


def _output_shapes(
    module: Callable[..., Any], shapes: tuple[tuple[Dim, ...], ...], sizes: dict[str, int]
) -> list[tuple[int, ...]]:
    with torch.no_grad():
        inputs = [torch.zeros([sizes[d] if isinstance(d, str) else d for d in shape]) for shape in shapes]
        result = module(*inputs)
    return [tuple(each.shape) for each in (result if isinstance(result, (tuple, list)) else (result,))]


def _value(port: Port) -> ir.Value:
    return ir.Value(name=port.name, type=ir.TensorType(_TYPES[port.dtype]), shape=ir.Shape(port.shape))
