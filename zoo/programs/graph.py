"""Graphs as a model describes them to an exporter. No torch: :class:`Graph` holds the callable to trace."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from zoo.errors import BundleError
from zoo.programs.graph_writing import Writer
from zoo.programs.ports import Port


@dataclass(frozen=True)
class Graph:
    """A graph to be exported to one ONNX file.

    Attributes:
        name: stem of the file name.
        module: callable (a torch module) from the inputs, in order, to one output or a tuple of outputs.
        inputs: the input ports.
        outputs: the output ports.
        extremes: inputs for the proof beyond ordinary random ones (a list of functions from the batch size to
            ``{port name: array}``).
        written: functions that write the graph instead of tracing the module, by name, the default
            first; see :mod:`zoo.programs.graph_writing`. The written graph is compared with the module.
        composed: a function that writes a graph, which is otherwise traced as a whole, as calls of modules; an exporter
            may trace one for all that are alike. None if there is no gain in that.
        mended: makes a block in which the module can be traced, with foreign code in it mended; what the graph is
            compared with is computed outside.
    """

    name: str
    module: Callable[..., Any]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    extremes: tuple[Callable[[int], Mapping[str, object]], ...] = ()
    written: Mapping[str, Writer] = field(default_factory=dict)
    composed: Writer | None = None
    mended: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext


class HasPorts(Protocol):
    """Anything with the ports of a graph: a :class:`Graph`, or a manifest's entry."""

    @property
    def inputs(self) -> Sequence[Port]:
        """What it takes."""
        ...

    @property
    def outputs(self) -> Sequence[Port]:
        """What it gives."""
        ...


def event_of(graphs: Mapping[str, HasPorts], graph: str, port: str | None, leading: int) -> tuple[int, ...]:
    """Shape of an input of a graph without its first ``leading`` dimensions, such as the batch.

    Raises:
        BundleError: there is no such graph or input, or its shape is symbolic.
    """
    if graph not in graphs:
        raise BundleError(f"there is no graph {graph}")
    ports = [p for p in graphs[graph].inputs if p.name == port]
    if not ports:
        raise BundleError(f"graph {graph} takes {', '.join(p.name for p in graphs[graph].inputs)}, expected {port}")
    if not all(isinstance(size, int) for size in ports[0].shape[leading:]):
        raise BundleError(f"input {port} of graph {graph} has no fixed event shape")
    return tuple(int(size) for size in ports[0].shape[leading:])
