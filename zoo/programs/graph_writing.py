"""Graphs that a model writes itself, for computations that tracing would unroll into many thousands of nodes.

A :class:`~zoo.programs.Graph` may carry *writers* beside its module: functions that put the same computation into a
graph node by node, such as the inverse of an autoregressive flow or a loop over the key-value cache of a transformer.
They are called by an exporter, which brings the :class:`GraphBuilder` to write with, so a model needs no ONNX to have
them::

    def double(builder, inputs):
        (x,) = inputs
        return [builder("Add", x, x)]

    Graph("double", module, inputs, outputs, written={"plain": double})

The module stays what the graph is compared with: a writer is proven like a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zoo.programs.ports import Dim

#: a tensor in a graph that is being written; what it is, only the exporter knows
Value = Any


class GraphBuilder(Protocol):
    """A graph being written. Operators are those of ONNX's default domain, by name; opset 18 and later."""

    def __call__(self, operator: str, *inputs: Any, **attributes: Any) -> Value:
        """The first output of a new node. Arrays among the inputs become constants, None is an input left out."""

    def constant(self, value: Any, dtype: Any = None) -> Value:
        """A constant, written once however often it is asked for. Large ones go into the bundle's weights file."""

    def integers(self, *values: int) -> Value:
        """An int64 vector."""

    def split(self, value: Value, sizes: Sequence[int], axis: int) -> list[Value]:
        """Pieces of ``value`` that stand side by side along ``axis``."""

    def call(self, module: Callable[..., Any], *inputs: tuple[Value, tuple[Dim, ...]]) -> list[Value]:
        """The outputs of a callable of tensors, which is traced: once, however often it is called with inputs alike.

        Args:
            module: a torch module, or any hashable callable of float32 tensors whose equals compute the same.
            inputs: each with its shape; names stand for sizes that may differ from call to call.
        """

    def loop(
        self,
        turns: int,
        state: Sequence[Value],
        body: Callable[[GraphBuilder, Value, Sequence[Value]], Sequence[Value]],
    ) -> list[Value]:
        """The state after ``turns`` turns of a ``Loop``.

        Args:
            turns: how many, a constant: bundles bound the work of their loops.
            state: before the first turn. Sizes may change from turn to turn.
            body: writes a turn with the builder that it is given: from the turn's number, a scalar int64 from 0 up, and
                the state before it to the state after it. Values of the graph around it may be used.
        """


Writer = Callable[[GraphBuilder, Sequence[Value]], Sequence[Value]]
