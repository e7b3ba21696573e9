"""What rounding changes, measured on the finished bundle against the model before it was rounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import ProofError
from zoo.model import GenerativeModel
from zoo.programs import Direct, Graph, Iterate, Programs
from zoo.runtime import BundledModel
from zoo_onnx.inputs import Inputs
from zoo_onnx.precision.static import trajectories
from zoo_onnx.reference import call

_SEED = 40_000
_SAMPLES = 16


def measure(model: GenerativeModel, programs: Programs, bundle: BundledModel) -> dict[str, float]:
    """The loss, by name.

    ``prediction``
        of a diffusion: root mean square error of the denoised samples along whole runs, relative to their own root
        mean square. Of a flow: root mean square error of samples from the same noise, relative to their deviation.
    ``samples``
        of a diffusion: root mean square difference of the samples of one seed, relative to their deviation. Errors
        add up along a run, and two good samples can differ.
    ``log_prob``
        of a model that scores in one call: mean absolute change, in nats per dimension.

    Args:
        model: in float32, before rounding.
        programs: its programs.
        bundle: what was written.

    Raises:
        RuntimeFailure: ONNX Runtime fails.
    """
    inputs = Inputs(model, programs)
    arguments: dict[str, Any] = {"condition": inputs.condition(_SAMPLES), "seed": _SEED}
    program, loss = programs.sample, {}
    with torch.no_grad():
        samples = model.sample(_SAMPLES, **arguments).numpy()
    difference = _rms(bundle.sample(_SAMPLES, **arguments) - samples) / float(samples.std())
    if isinstance(program, Iterate):
        graph = next(g for g in programs.graphs if g.name == program.graph)
        loss = {"prediction": _along(model, program, graph, inputs, bundle), "samples": difference}
    else:
        loss = {"prediction": difference}
    if isinstance(programs.log_prob, Direct):
        given = {k: v for k, v in arguments.items() if k == "condition"}
        with torch.no_grad():
            expected = model.log_prob(torch.from_numpy(samples), **given).numpy()
        change = np.abs(bundle.log_prob(samples, **given) - expected).mean()
        loss["log_prob"] = float(change) / math.prod(model.event_shape)
    return {name: float(f"{value:.2e}") for name, value in loss.items()}


def check(loss: dict[str, float], bound: float, name: str) -> None:
    """Refuse a loss beyond the bound.

    Raises:
        ProofError: with the loss.
    """
    if not loss["prediction"] <= bound:
        raise ProofError(
            f"{name} changes what the model predicts by {loss['prediction']:.1%} (root mean square); "
            f"{bound:.1%} is the bound",
            hint="The bundle was not written. Use more bits, or state with --bound what is acceptable.",
        )


def _along(model: GenerativeModel, program: Iterate, graph: Graph, inputs: Inputs, bundle: BundledModel) -> float:
    """Error of the denoised samples on the path that the model itself takes."""
    session = bundle.session(graph.name)
    errors, sizes = [], []
    for feeds in trajectories(model, program, graph, inputs):
        expected = call(graph, feeds)["denoised"]
        errors.append(session.run(feeds, ["denoised"])["denoised"] - expected)
        sizes.append(expected)
    return _rms(np.stack(errors)) / _rms(np.stack(sizes))


def _rms(x: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
