"""Whether ONNX Runtime's optimiser preserves what a graph computes.

The optimiser rewrites a graph while it is loaded. It is on wherever bundles run, and its passes have had bugs; without
it, ONNX Runtime computes the graph as written. PyTorch decides which of the two is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.errors import ProofError, RuntimeFailure
from zoo.overriding import override
from zoo.programs import Graph
from zoo.runtime import BundledModel
from zoo.runtime.device import Device
from zoo.runtime.ort import onnxruntime
from zoo.runtime.session import Session
from zoo_onnx.flips import Flips
from zoo_onnx.inputs import Feeds, Inputs
from zoo_onnx.sizes import at_sizes, proven_sizes


class _Plain(Device):
    """The CPU, with the optimiser disabled."""

    @override
    def session_options(self) -> Any:
        options = super().session_options()
        options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL
        return options


Computation = Callable[[Feeds], Feeds]


def check(
    graph: Graph,
    bundle: BundledModel,
    inputs: Inputs,
    batch: int | None,
    *,
    kept: Mapping[int, Feeds],
    expected: Computation,
    exact: Computation,
    flips: Flips,
) -> dict[str, Feeds]:
    """Run a graph with the optimiser off and on, at the smallest and the largest of the proven sizes.

    Where the two differ, the one beyond the tolerance from PyTorch is wrong. If both are, or neither is, nothing is
    reported here: the proof itself decides whether a graph equals the model.

    Args:
        graph: as the model describes it.
        bundle: the bundle that contains it.
        inputs: draws the inputs; later draws are not affected.
        batch: the fixed batch size of the graph, or None.
        kept: inputs that are drawn already, by batch size.
        expected: computes the outputs of PyTorch in float32.
        exact: the same in float64.
        flips: counts symbols that rounding draws differently.

    Returns:
        the outputs for inputs that were kept, with the optimiser on, by their sizes in words.

    Raises:
        ProofError: the optimiser changes what the graph computes, or ONNX Runtime cannot run the graph without it.
    """
    optimised = bundle.session(graph.name)
    all_sizes = proven_sizes((*graph.inputs, *graph.outputs), batch, inputs.batches)
    known = {}
    try:
        plain = Session(optimised.graph, _Plain("cpu"))
        for sizes in (all_sizes[0], all_sizes[-1]):
            at, drawn = at_sizes(sizes), kept.get(sizes.get("batch", 0))
            with inputs.aside():
                feeds = inputs.ordinary(graph, sizes) if drawn is None else drawn
            off = plain.run(feeds)
            on = optimised.run(feeds)
            if drawn is not None:
                known[at] = on
            on = flips.outputs(on, off)
            for name in on:
                if _difference(flips.at_edges(on[name], off[name]), off[name]) > TOLERANCE:
                    _judge(f"graph {graph.name}: output {name}", at, feeds, name, on, off, expected, exact)
    except RuntimeFailure as error:
        raise ProofError(
            f"ONNX Runtime cannot run graph {graph.name} with its optimiser off and on: {error}", hint=error.hint
        ) from error
    return known


def _judge(
    what: str, at: str, feeds: Feeds, name: str, on: Feeds, off: Feeds, expected: Computation, exact: Computation
) -> None:
    reference = exact(feeds)[name]
    allowed = max(TOLERANCE, 2 * _difference(expected(feeds)[name], reference))
    is_wrong = [_difference(values[name], reference) > allowed for values in (on, off)]
    if is_wrong[0] == is_wrong[1]:
        return
    right, wrong = ("off", "on") if is_wrong[0] else ("on", "off")
    raise ProofError(
        f"ONNX Runtime's optimiser changes {what} differs by {_difference(on[name], off[name]):.2g} between off and "
        f"on, at {at}; it is right with the optimiser {right} and wrong with it {wrong}",
        hint="The bundle was not written. Let the model compute it another way, or try another version of ONNX "
        "Runtime; docs/export.md explains how to find the pass.",
    )


def _difference(actual: Array, expected: Array) -> float:
    return relative_difference(np.asarray(actual), np.asarray(expected), 1.0)
