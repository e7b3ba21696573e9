"""Selects which arithmetic is lowered in which graph."""

from __future__ import annotations

import onnx_ir as ir

from zoo.errors import ExportError
from zoo.programs import Graph, Programs
from zoo_onnx.inputs import Inputs
from zoo_onnx.precision import Precision, dynamic, half, static


def calibrated(programs: Programs) -> bool:
    """Whether some graph has activations whose ranges can be calibrated."""
    return programs.steps


def lowered(model: ir.Model, graph: Graph, chosen: Precision, programs: Programs, inputs: Inputs) -> ir.Model:
    """A proven graph with its products in fewer bits, where applicable.

    Products in the derivative that a diffusion's density integrates are not lowered. Ranges are calibrated for
    iterated programs only: with different ranges, the two directions of a flow would not be inverse to each other.

    Args:
        model: the graph with its weights stored; it may be changed.
        graph: the graph it was traced from.
        chosen: the arithmetic.
        programs: of the model.
        inputs: draws the conditions.

    Raises:
        ExportError: there is nothing to lower, or ONNX Runtime's quantizer fails.
    """
    densities = programs.log_prob
    if densities is not None and densities.estimates and graph.name == densities.graph:
        return model
    sample = programs.sampling
    if chosen.arithmetic == "int8":
        if not sample.stepped or graph.name != sample.graph:
            return model
        return static.lower(model, static.trajectories(sample.stepping("the model"), graph, inputs))
    count = half.lower(model) if chosen.arithmetic == "float16" else dynamic.lower(model)
    # an encoder of columns has no products, and one of images none that suit 8-bit rows; a step always has some
    # nor has an encoder of conditions that looks up tables alone
    if not count and graph.name not in (*sample.coders, sample.condition_encoder):
        raise ExportError(f"graph {graph.name} has no products that {chosen.name} could compute")
    return model
