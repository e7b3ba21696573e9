"""The loss by rounding, measured on the finished bundle against the model before rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import ProofError
from zoo.models.interface import GenerativeModel
from zoo.programs import Graph, Iterate, Programs
from zoo.programs.conditioning import ROWS
from zoo.runtime import BundledModel
from zoo.samplers.state import in_data_units
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
    ``decoder``
        of a diffusion of latents: root mean square error of the decoder's output for the final latents of the model's
        own runs, relative to its deviation.
    ``condition``
        of a diffusion with an encoder of conditions: root mean square error of what it gives, relative to its own size.
    ``log_prob``
        of a model that scores in one call: mean absolute change, in nats per dimension.

    Args:
        model: in float32, before rounding.
        programs: its programs.
        bundle: the written bundle.

    Raises:
        RuntimeFailure: ONNX Runtime fails.
    """
    inputs = Inputs(model, programs)
    arguments: dict[str, Any] = {"condition": inputs.condition(_SAMPLES), "seed": _SEED}
    loss = {}
    with torch.no_grad():
        samples = model.sample(_SAMPLES, **arguments).numpy()
    difference = _rms(bundle.sample(_SAMPLES, **arguments) - samples) / float(samples.std())
    if programs.steps:
        program = programs.sampling.stepping("the model")
        graph = next(g for g in programs.graphs if g.name == program.graph)
        error, latents = _along(program, graph, inputs, bundle)
        loss = {"prediction": error, "samples": difference}
        if program.decoder is not None:
            loss["decoder"] = _decoding(programs, program, latents, bundle)
        if program.condition_encoder is not None:
            loss["condition"] = _encoding(programs, program.condition_encoder, inputs, bundle)
    else:
        loss = {"prediction": difference}
    if programs.log_prob is not None and not programs.log_prob.estimates:
        keywords = {k: v for k, v in arguments.items() if k == "condition"}
        with torch.no_grad():
            expected = model.log_prob(torch.from_numpy(samples), **keywords).numpy()
        change = np.abs(bundle.log_prob(samples, **keywords) - expected).mean()
        loss["log_prob"] = float(change) / math.prod(model.event_shape)
    return {name: float(f"{value:.2e}") for name, value in loss.items()}


def check(loss: dict[str, float], bound: float, name: str) -> None:
    """Refuse a loss beyond the bound.

    Raises:
        ProofError: the loss exceeds the bound.
    """
    told = {
        "prediction": "the model predicts",
        "decoder": "the decoder computes from latents",
        "condition": "the condition is encoded as",
    }
    for part, what in told.items():
        if not loss.get(part, 0.0) <= bound:
            raise ProofError(
                f"{name} changes what {what} by {loss[part]:.1%} (root mean square); {bound:.1%} is the bound",
                hint="The bundle was not written. Use more bits, or state an acceptable loss with --bound.",
            )


def _along(program: Iterate, graph: Graph, inputs: Inputs, bundle: BundledModel) -> tuple[float, NDArray[np.float32]]:
    """Error of the denoised samples along the model's own trajectory, and the end of that trajectory."""
    session = bundle.session(graph.name)
    errors, sizes = [], []
    for feeds in trajectories(program, graph, inputs):
        expected = call(graph, feeds)["denoised"]
        errors.append(session.run(feeds, ["denoised"])["denoised"] - expected)
        sizes.append(expected)
    return _rms(np.stack(errors)) / _rms(np.stack(sizes)), in_data_units(program, sizes[-1])


def _decoding(programs: Programs, program: Iterate, latents: NDArray[np.float32], bundle: BundledModel) -> float:
    """Error of the decoder on the model's own latents."""
    graph = next(g for g in programs.graphs if g.name == program.decoder)
    feeds = {"latent": latents}
    expected = call(graph, feeds)["x"]
    return _rms(bundle.session(graph.name).run(feeds, ["x"])["x"] - expected) / float(expected.std())


def _encoding(programs: Programs, encoder: str, inputs: Inputs, bundle: BundledModel) -> float:
    """The largest error of an output of the encoder of conditions, one condition at a time."""
    graph = next(g for g in programs.graphs if g.name == encoder)
    parts = inputs.parts.feeds({ROWS: _SAMPLES})
    expected = call(graph, parts)
    session, rows = bundle.session(encoder), range(_SAMPLES)
    results = [session.run({name: array[i : i + 1] for name, array in parts.items()}, list(expected)) for i in rows]
    errors = [
        _rms(np.concatenate([each[name] for each in results]) - value) / (_rms(value) or 1.0)
        for name, value in expected.items()
    ]
    return max(errors)


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
