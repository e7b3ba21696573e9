"""Whether the graphs of a diffusion compute what its programs assume, checked in float64 and in PyTorch alone.

The step of a table is [x, h] ← M·[x, h, D], x ← x + s·noise (:mod:`zoo.samplers.table`), and where
there is a second column for D, it is D before the bound; the likelihood takes the same
D and probe·∂D/∂x·probe (:mod:`zoo.likelihood`). So both graphs must compute the same D at the same time, the state
must move as the row says, and the trace must match finite differences of D. A decoder must invert its encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from zoo.arrays import Float64Array
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.errors import ProofError
from zoo.models.interface import GenerativeModel
from zoo.paths import GaussianPath, path_from
from zoo.programs import WIDE_COLUMNS, Graph, Integrate, Iterate, Program, Programs
from zoo.samplers.table import FREE
from zoo_onnx.inputs import Inputs
from zoo_onnx.reference import Feeds
from zoo_onnx.sizes import ONE_ROW

#: a graph in float64, by name
Run = Callable[[str, Feeds], Mapping[str, Float64Array]]

_TIMES = (0.25, 0.75)
_BATCH = 1  # of states
_DATA = 2
_STEP = 1e-6  # of central differences in float64
#: relative error allowed for derivatives and round trips in float64
_NUMERICAL = 1e-3
#: the largest size whose full Jacobian is computed
_WHOLE = 64
#: to detect swapped channels of a codec: the error as it is and in another order, relative to the deviation
_FAR, _NEAR = 0.5, 0.1
_CHANNELS = 4


def check_denoiser(model: GenerativeModel, programs: Programs, inputs: Inputs, run: Run) -> None:
    """Compare the graphs of a diffusion with each other and with what the programs declare.

    Args:
        model: in any precision; only its condition and shapes are used.
        programs: its programs.
        inputs: draws the inputs.
        run: computes the outputs of a graph in float64.

    Raises:
        ProofError: they do not agree; the message says what differs.
    """
    sample, score = programs.sample, programs.log_prob
    if sample is None or not sample.stepped:
        return
    sample = sample.stepping("the model")
    ode = score.integrating("the model") if score is not None and score.estimates else None
    for program in (sample, score):
        _check_null_class(model, program)
    if ode is not None:
        _check_alike(sample, ode)
    graphs = {graph.name: graph for graph in programs.graphs}
    if isinstance(path_from(sample.path), GaussianPath):
        for t in _TIMES:
            x, row, d = _check_step(graphs[sample.graph], inputs, run, t)
            if ode is not None:
                step = graphs[sample.graph]

                def denoised(state: Float64Array, row: Feeds = row, step: Graph = step) -> Float64Array:
                    return run(step.name, {**row, step.inputs[0].name: state[None]})["denoised"]

                _check_divergence(graphs[ode.graph], inputs, run, t, (x, row, d, denoised))
    if sample.encoder is not None and sample.decoder is not None:
        _check_coders(graphs[sample.encoder], graphs[sample.decoder], inputs, run)


def _check_null_class(model: GenerativeModel, program: Program | None) -> None:
    null = None if program is None else program.null_class
    if null is None:
        return
    condition = model.condition
    if condition is None or condition.kind != "classes":
        raise ProofError(f"a program has the null class {null}, but the model is not conditioned on classes")
    if null < condition.size:
        raise ProofError(
            f"a program has the null class {null}, which is one of the model's {condition.size} classes",
            hint=f"The null class has a number of its own, {condition.size}.",
        )


def _check_alike(sample: Iterate, score: Integrate) -> None:
    for name in ("path", "shift", "scale", "null_class", "encoder", "condition_encoder"):
        a, b = getattr(sample, name), getattr(score, name)
        if a != b:
            raise ProofError(
                f"programs sample and log_prob have different values of {name.replace('_', ' ')}: {a!r} and {b!r}"
            )


def _check_step(graph: Graph, inputs: Inputs, run: Run, t: float) -> tuple[Float64Array, Feeds, Float64Array]:
    """The state, the rest of the row and D, having checked that the graph moves the state as its row says."""
    row = inputs.ordinary(graph, {"batch": _BATCH, **ONE_ROW}, time=t)
    state = graph.inputs[0].name
    row |= {
        "clip": np.array(FREE, np.float32),
        "rescale": np.array(0, np.float32),
        "weights": np.ones(1, np.float32),
        "mask": np.ones_like(row["mask"]),
    }
    if "noise_range" in row:
        row["noise_scale"] = np.array(0, np.float32)
    outputs = run(graph.name, row)
    x, d = row[state][0].astype(np.float64), outputs["denoised"]
    a, b = row["matrix"][0].astype(np.float64)
    moved = a * x + b * d + float(row["noise_scale"]) * row["noise"].astype(np.float64)
    if relative_difference(outputs["next_state"][0], moved, 1.0) > TOLERANCE:
        raise ProofError(
            f"graph {graph.name} does not move the state as its row says, M·[x, D] + s·noise, at t = {t:g}: it is off "
            f"by {_apart(outputs['next_state'][0], moved):.2g}",
            hint="zoo.samplers.table specifies what a row does.",
        )
    if any(WIDE_COLUMNS in port.shape for port in graph.inputs):
        _check_columns(graph, run, row, d, t)
    return x, row, d


def _check_columns(graph: Graph, run: Run, row: Feeds, d: Float64Array, t: float) -> None:
    """Refuse a graph whose second column for D is not D before the bound, with known parts mixed in like the first."""
    # which some numbers exceed, none of them hidden by the mask
    bound = np.float32(np.abs(d).max() / 2)
    random = np.random.default_rng(0)
    known, mask = random.standard_normal(d.shape), random.uniform(0.25, 1, d.shape)
    row = {
        **row,
        "matrix": np.array([[0.3, 0.5, 0.7]], np.float32),
        "clip": np.array(bound, np.float32),
        "known": known.astype(np.float32),
        "mask": mask.astype(np.float32),
    }
    outputs = run(graph.name, row)
    mixed = row["mask"].astype(np.float64), ((1 - row["mask"]) * row["known"]).astype(np.float64)
    clipped, unclipped = (mixed[0] * each + mixed[1] for each in (np.clip(d, -bound, bound), d))
    if relative_difference(outputs["denoised"], clipped, 1.0) > TOLERANCE:
        raise ProofError(
            f"graph {graph.name} does not give mask·clip(D) + (1 - mask)·known as denoised, at t = {t:g}: it is off by "
            f"{_apart(outputs['denoised'], clipped):.2g}"
        )
    a, b, c = row["matrix"][0].astype(np.float64)
    x = row[graph.inputs[0].name][0].astype(np.float64)
    moved = a * x + b * clipped + c * unclipped + float(row["noise_scale"]) * row["noise"].astype(np.float64)
    if relative_difference(outputs["next_state"][0], moved, 1.0) > TOLERANCE:
        raise ProofError(
            f"graph {graph.name} does not move the state as a row with two columns for D says, M·[x, D, D unclipped] + "
            f"s·noise, at t = {t:g}: it is off by {_apart(outputs['next_state'][0], moved):.2g}",
            hint="zoo.samplers.table specifies what a row does; unclipped_column=False says that there is one column.",
        )


def _check_divergence(
    graph: Graph,
    inputs: Inputs,
    run: Run,
    t: float,
    step: tuple[Float64Array, Feeds, Float64Array, Callable[[Float64Array], Float64Array]],
) -> None:
    x, row, d, denoised = step
    feeds = inputs.ordinary(graph, {"batch": _BATCH}, time=t)
    feeds[graph.inputs[0].name] = x.astype(np.float32)
    condition = [port.name for port in inputs.model.condition_inputs("batch")]
    feeds |= {name: row[name][0] for name in condition if name in feeds}
    outputs = run(graph.name, feeds)
    if relative_difference(outputs["denoised"], d, 1.0) > TOLERANCE:
        raise ProofError(
            f"the graphs of sample and log_prob denoise the same state at t = {t:g} differently, by "
            f"{_apart(outputs['denoised'], d):.2g}{_shifted(graph, feeds, run, d)}",
            hint="Both must pass the same state, time and condition to the network.",
        )
    probe = feeds["probe"].astype(np.float64)
    ends = [denoised(x + sign * _STEP * probe) for sign in (1, -1)]
    trace = ((ends[0] - ends[1]) / (2 * _STEP) * probe).reshape(_BATCH, -1).sum(1)
    if relative_difference(outputs["trace"], trace, float(probe[0].size)) > _NUMERICAL:
        raise ProofError(
            f"graph {graph.name} gives a trace of {outputs['trace'][0]:.6g} at t = {t:g}, where probe·∂D/∂x·probe is "
            f"{trace[0]:.6g} by differences{_likeness(outputs['trace'], trace)}",
            hint="zoo.models.derivatives.jvp computes it from the denoiser; a network whose derivative is not that of "
            "its values, such as one with straight-through rounding, is exported with likelihood = false.",
        )


def _shifted(graph: Graph, feeds: Feeds, run: Run, d: Float64Array) -> str:
    """Whether a different time or class explains D."""
    for said, change in (
        ("off by one in time, log_prob's is later by 1", {"time": feeds["time"] - 1}),
        ("off by one in time, log_prob's is earlier by 1", {"time": feeds["time"] + 1}),
    ):
        changed = {name: np.asarray(value, np.float32) for name, value in change.items()}
        if relative_difference(run(graph.name, {**feeds, **changed})["denoised"], d, 1.0) <= TOLERANCE:
            return f": {said}"
    return ""


def _likeness(actual: Float64Array, expected: Float64Array) -> str:
    unit = 1.0 + float(np.abs(expected).max())
    return ": its sign is wrong" if np.abs(actual + expected).max() <= _NUMERICAL * unit else ""


def _check_coders(encoder: Graph, decoder: Graph, inputs: Inputs, run: Run) -> None:
    x = inputs.data[0][:_DATA].astype(np.float64)
    name, latent = encoder.inputs[0].name, encoder.outputs[0].name
    coded = run(encoder.name, {name: x})
    decoded = run(decoder.name, {decoder.inputs[0].name: coded[latent]})[decoder.outputs[0].name]
    if "log_det" in coded:
        _check_bijection(x, decoded, coded, lambda y: run(encoder.name, {name: y})[latent])
        return
    if x.ndim < 3 or not 2 <= x.shape[1] <= _CHANNELS:
        return
    order = np.roll(np.arange(x.shape[1]), 1)
    for said, axes in (
        ("reversed", np.arange(x.shape[1])[::-1]),
        ("rotated", order),
        ("rotated back", np.argsort(order)),
    ):
        spread = float(x.std()) + 1e-12
        if _apart_rms(decoded, x) > _FAR * spread and _apart_rms(decoded[:, axes], x) < _NEAR * spread:
            raise ProofError(
                f"graph {decoder.name} returns the channels in another order than graph {encoder.name} takes them: "
                f"encoded and decoded data equal the data with their channels {said}",
                hint="Channels are swapped either when encoding or when decoding, but not in both.",
            )


def _check_bijection(
    x: Float64Array,
    decoded: Float64Array,
    coded: Mapping[str, Float64Array],
    encode: Callable[[Float64Array], Float64Array],
) -> None:
    if relative_difference(decoded, x, 1.0) > _NUMERICAL:
        raise ProofError(
            f"the decoder does not invert the encoder: encoded and decoded data differ from the data by "
            f"{_apart(decoded, x):.2g}",
            hint="A codec with a log-determinant must be a bijection.",
        )
    size = math.prod(x.shape[1:])
    if size > _WHOLE or coded["log_det"].shape != x.shape[:1]:
        return
    for event, log_det in zip(x, coded["log_det"], strict=True):
        step = 1e-5 * np.maximum(np.abs(event).reshape(-1), 1.0)
        moves = np.diag(step).reshape(size, *event.shape)
        both = encode(np.concatenate([event + moves, event - moves])).reshape(2, size, -1)
        _, wanted = np.linalg.slogdet((both[0] - both[1]) / (2 * step[:, None]))
        if abs(log_det - wanted) > _NUMERICAL * (size + abs(wanted)):
            sign = ": its sign is wrong" if abs(log_det + wanted) <= _NUMERICAL * (size + abs(wanted)) else ""
            raise ProofError(
                f"the encoder gives a log-determinant of {log_det:.6g}, where its Jacobian has {wanted:.6g}{sign}"
            )


def _apart(a: Float64Array, b: Float64Array) -> float:
    return float(np.max(np.abs(a - b), initial=0.0))


def _apart_rms(a: Float64Array, b: Float64Array) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))
