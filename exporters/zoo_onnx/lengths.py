"""Whether events of variable length end as they say: in samples, and in densities (:mod:`zoo.lengths`)."""

from __future__ import annotations

import numpy as np

from zoo.arrays import Array
from zoo.errors import ProofError
from zoo.lengths import Length
from zoo.models.interface import GenerativeModel
from zoo.programs import Graph, Programs
from zoo_onnx.denoiser import Run
from zoo_onnx.inputs import Feeds, Inputs

_TOLERANCE = 1e-9  # in float64


def check_lengths(model: GenerativeModel, programs: Programs, inputs: Inputs, run: Run) -> None:
    """Refuse samples that go on after their end, and a density that sees what is there.

    Args:
        model: only its rule and its shapes are used.
        programs: its programs.
        inputs: draws the data.
        run: computes the outputs of a graph in float64, from its name and its inputs.

    Raises:
        ProofError: the model does not keep its own rule.
    """
    length = model.length
    if length is None:
        return
    if misfit := length.misfit(tuple(model.event_shape)):
        raise ProofError(f"events of the model have shape {list(model.event_shape)}, but {misfit}")
    x = inputs.data[0]
    if programs.sample is not None:
        _check_samples(x, length)
    if programs.log_prob is not None and programs.log_prob.scores:
        graph = next(graph for graph in programs.graphs if graph.name == programs.log_prob.graph)
        _check_density(graph, x, length, inputs.condition_ports(len(x)), run)


def _check_samples(x: Array, length: Length) -> None:
    wrong = (x != length.ended(x)).reshape(len(x), -1).any(1)
    if wrong.any():
        row = int(wrong.argmax())
        what = "numbers other than 0" if length.end is None else f"symbols other than {length.end}"
        raise ProofError(
            f"sample {row} ends after {int(length.lengths(x)[row])} positions and has {what} after its end",
            hint="Nothing may follow the end of an event: set what does to 0, or to the symbol that ends it.",
        )


def _check_density(graph: Graph, x: Array, length: Length, condition: Feeds, run: Run) -> None:
    size = x.shape[1 + length.axis]
    # some events are cut short, so that each has something after its end
    cut = length.joined(length.content(x), np.minimum(length.lengths(x), 1 + np.arange(len(x)) % max(size - 1, 1)), "x")
    (name,) = (port.name for port in graph.inputs if port.name not in condition)
    results = [run(graph.name, {name: each, **condition}) for each in (cut, _continued(cut, length))]
    before, after = (next(iter(result.values())) for result in results)
    apart = ~((np.abs(after - before) <= _TOLERANCE * (1 + np.abs(before))) | (after == before))
    if apart.any():
        row = int(apart.argmax())
        raise ProofError(
            f"log_prob counts what is after the end of an event: an event of {int(length.lengths(cut)[row])} positions "
            f"has {float(before[row]):.6g} nats, and {float(after[row]):.6g} if something else follows its end",
            hint="A log-density is that of the event up to its end, the end included.",
        )


def _continued(x: Array, length: Length) -> Array:
    """Events with something else after their ends."""
    within = length.within(x)
    if length.mask is None:
        # the symbol that ends an event stays, and whatever is drawn elsewhere follows it
        beyond = np.concatenate([np.zeros_like(within[:, :1]), ~within[:, :-1]], 1)
        return np.where(beyond, x[:, :1], x)
    changed = np.where(np.expand_dims(within, 2 - length.axis), x, np.ones((), x.dtype))
    masks = np.take(changed, length.mask, 2 - length.axis)
    # the mask says at the first position after the end that it is over, and later not
    masks[np.arange(len(x)), np.minimum(length.lengths(x), within.shape[1] - 1)] = 0
    out: Array = np.array(changed)
    if length.axis == 0:
        out[:, :, length.mask] = masks
    else:
        out[:, length.mask] = masks
    return out
