"""Graphs that a model writes itself, for computations that tracing would unroll into many thousands of nodes.

A :class:`~zoo.programs.Graph` may carry *writers* beside its module: functions that put the same computation into a
graph node by node, such as the inverse of an autoregressive flow or a loop over the key-value cache of a transformer.
An exporter calls them with a :class:`GraphBuilder`, so a model can have them without depending on ONNX::


    def double(builder, inputs):
        (x,) = inputs
        return [builder("Add", x, x)]

    Graph("double", module, inputs, outputs, written={"plain": double})

The graph is still compared with the module: a writer is proven like a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zoo.programs.ports import Dim

#: a tensor in a graph that is being written, opaque to the model
Value = Any


class GraphBuilder(Protocol):
    """A graph being written. Operators are those of ONNX's default domain, by name; opset 18 and later."""

    def __call__(self, operator: str, *inputs: Any, **attributes: Any) -> Value:
        """The first output of a new node. Arrays among the inputs become constants; None is an omitted input."""

    def constant(self, value: Any, dtype: Any = None) -> Value:
        """A constant, written once even if it is requested repeatedly. Large ones go into the bundle's weights file."""

    def integers(self, *values: int) -> Value:
        """An int64 vector."""

    def split(self, value: Value, sizes: Sequence[int], axis: int) -> list[Value]:
        """Consecutive pieces of ``value`` along ``axis``."""

    def call(self, module: Callable[..., Any], *inputs: tuple[Value, tuple[Dim, ...]]) -> list[Value]:
        """The outputs of a callable of tensors, which is traced once for all calls with the same input shapes.

        Args:
            module: a torch module, or any hashable callable of float32 tensors; equal callables must compute the same.
            inputs: each with its shape; names stand for sizes that may differ between calls.
        """

    def loop(
        self,
        turns: int,
        state: Sequence[Value],
        body: Callable[[GraphBuilder, Value, Sequence[Value]], Sequence[Value]],
    ) -> list[Value]:
        """The state after ``turns`` iterations of a ``Loop``.

        Args:
            turns: number of iterations, a constant since bundles bound the work of their loops.
            state: before the first iteration. Sizes may change between iterations.
            body: writes one iteration with the builder passed to it: from the iteration's number, a scalar int64 from
                0, and the state before it to the state after it. Values of the enclosing graph may be used.
        """


Writer = Callable[[GraphBuilder, Sequence[Value]], Sequence[Value]]
