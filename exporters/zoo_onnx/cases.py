"""The inputs that a graph is proven with at each size of batch, and what PyTorch computes from them.

Where every input and output of a graph has one row per sample, PyTorch computes the largest batch once, and smaller
batches are subsets of its rows: that a sample's outputs do not depend on its neighbours is proven beforehand, and here
once more. Extreme inputs then share a batch, each in separate rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo_onnx.inputs import Feeds, Inputs
from zoo_onnx.reference import call, rows_of
from zoo_onnx.sizes import LEADING, at_sizes, proven_sizes

#: description, inputs, and outputs of PyTorch
Case = tuple[str, Feeds, Feeds]
#: inputs and outputs that are already computed, by batch size
Kept = Mapping[int, tuple[Feeds, Feeds]]


def cases(graph: Graph, inputs: Inputs, kept: Kept, batch: int | None) -> Iterator[Case]:
    """What a graph is proven with, ordinary inputs and extremes, at every size of batch.

    Args:
        graph: as the model describes it.
        inputs: draws the inputs.
        kept: inputs and outputs that are already computed.
        batch: the fixed batch size of the graph, or None.
    """
    every = proven_sizes((*graph.inputs, *graph.outputs), batch, inputs.batches)
    if batch is not None or not _has_rows(graph):
        for sizes in every:
            at = at_sizes(sizes)
            known = None if batch is not None else kept.get(sizes.get("batch", 0))
            feeds, expected = (inputs.ordinary(graph, sizes), None) if known is None else known
            yield at, feeds, call(graph, feeds) if expected is None else expected
            for what, feeds in inputs.extremes(graph, sizes):
                yield f"{at} with {what}", feeds, call(graph, feeds)
        return
    feeds, expected = kept.get(max(inputs.batches)) or (inputs.ordinary(graph, every[-1]), None)
    yield from _in_rows(graph, every, ("",), feeds, expected)
    every = proven_sizes((*graph.inputs, *graph.outputs), batch, inputs.runs)
    for names, feeds in _together(graph, list(inputs.extremes(graph, every[-1])), max(inputs.runs)):
        yield from _in_rows(graph, every, names, feeds, None)


def _has_rows(graph: Graph) -> bool:
    """Whether the batch is the only symbolic size, and every output has it."""
    names = {size for port in (*graph.inputs, *graph.outputs) for size in port.shape if isinstance(size, str)}
    return len(names) == 1 and names <= set(LEADING) and all(map(_leads, graph.outputs))


def _leads(port: Port) -> bool:
    return any(size in LEADING for size in port.shape)


def _together(
    graph: Graph, extremes: Sequence[tuple[str, Feeds]], most: int
) -> Iterator[tuple[tuple[str, ...], Feeds]]:
    """Batches whose rows cycle through the extremes; one batch for each extreme where inputs have no rows."""
    size = most if all(map(_leads, graph.inputs)) else 1
    for first in range(0, len(extremes), size):
        some = extremes[first : first + size]
        feeds = {}
        for port in graph.inputs:
            values = [each[port.name] for _, each in some]
            if len(some) > 1:
                axis = next(i for i, size in enumerate(port.shape) if size in LEADING)
                rows = [np.take(values[row % len(some)], [row], axis) for row in range(most)]
                values = [np.concatenate(rows, axis)]
            feeds[port.name] = values[0]
        yield tuple(what for what, _ in some), feeds


def _in_rows(
    graph: Graph, every: Sequence[Mapping[str, int]], names: tuple[str, ...], feeds: Feeds, expected: Feeds | None
) -> Iterator[Case]:
    """A batch, and smaller batches that together hold every kind of its rows."""
    whole = call(graph, feeds) if expected is None else expected
    batches = [next(size for name, size in sizes.items() if name in LEADING) for sizes in every]
    most = max(batches)
    for n, sizes in zip(batches, every, strict=True):
        for start in range(0, len(names) if n < most else 1, n):
            first = min(start, most - n)
            kinds = dict.fromkeys(names[row % len(names)] for row in range(first, first + n))
            said = f" with {', '.join(kinds)}" if any(kinds) else ""
            rows = slice(first, first + n)
            yield f"{at_sizes(sizes)}{said}", rows_of(graph.inputs, feeds, rows), rows_of(graph.outputs, whole, rows)
