"""Graphs as a model describes them to an exporter; no torch, :class:`Graph` holds whatever callable is traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zoo.errors import BundleError
from zoo.programs.graph_writing import Writer
from zoo.programs.ports import Port


@dataclass(frozen=True)
class Graph:
    """One ONNX file to be.

    Attributes:
        name: stem of the file name.
        module: callable (a torch module) from the inputs, in order, to one output or a tuple of outputs.
        inputs: what it takes.
        outputs: what it gives.
        extremes: inputs at which the proof must hold too (a list of ``{port name: array}`` makers taking the batch
            size), beyond ordinary random ones.
        written: ways to write the graph instead of tracing the module, by name, the usual one first; see
            :mod:`zoo.programs.graph_writing`. The module is then what it is compared with.
    """

    name: str
    module: Callable[..., Any]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    extremes: tuple[Callable[[int], Mapping[str, Any]], ...] = ()
    written: Mapping[str, Writer] = field(default_factory=dict)


class HasPorts(Protocol):
    """What is known of a graph before and after it is written: its ports. :class:`Graph`, or a manifest's."""

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
        BundleError: there is no such graph or input, or its shape is open.
    """
    found = [p for p in graphs[graph].inputs if p.name == port] if graph in graphs else []
    if not found or not all(isinstance(size, int) for size in found[0].shape[leading:]):
        raise BundleError(f"input {port} of graph {graph} has no fixed event shape")
    return tuple(int(size) for size in found[0].shape[leading:])
