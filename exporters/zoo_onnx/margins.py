"""Whether margins are what a model says that they are: by how much each symbol was ahead (:mod:`zoo_onnx.flips`)."""

from __future__ import annotations

import numpy as np

from zoo.errors import ProofError
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.programs import MARGIN, Programs
from zoo_onnx.denoiser import Run
from zoo_onnx.flips import EDGE
from zoo_onnx.inputs import Inputs
from zoo_onnx.sizes import proven_sizes

#: how many batches are drawn, and the share of their samples that may be at an edge at one place of an event
_DRAWN, _MOST = 4, 0.1


def check_margins(model: GenerativeModel, programs: Programs, inputs: Inputs, run: Run) -> None:
    """Refuse margins that put a place of events at an edge often: a proof would accept any symbol there.

    The best two of scores with continuous noise are apart by less than :data:`~zoo_onnx.flips.EDGE` about once in ten
    thousand draws. Once in ten is a margin that is not what it is called, or scores that are equal whatever the noise.

    Args:
        model: only whether it draws symbols is used.
        programs: its programs.
        inputs: draws the noise.
        run: computes the outputs of a graph in float64.

    Raises:
        ProofError: the model's margins do so.
    """
    if programs.sample is None or not isinstance(model, DirectModel) or not model.draws_symbols:
        return
    graph = next(graph for graph in programs.graphs if graph.name == programs.sample.graph)
    sizes = proven_sizes((*graph.inputs, *graph.outputs))[-1]
    with inputs.aside():
        margins = np.concatenate([run(graph.name, inputs.ordinary(graph, sizes))[MARGIN] for _ in range(_DRAWN)])
    near = (margins <= EDGE).sum(0)
    if near.max() > _MOST * len(margins):
        place = [int(i) for i in np.unravel_index(near.argmax(), near.shape)]
        raise ProofError(
            f"the margin of {near.max()} of {len(margins)} samples at place {place} is at most {EDGE:g}: so many "
            "symbols are not equal to the second best up to rounding",
            hint="A margin is by how much a score was ahead (zoo.models.interface.largest), and a large number "
            "where nothing is drawn. Of scores that are equal whatever the noise is, none is drawn.",
        )
