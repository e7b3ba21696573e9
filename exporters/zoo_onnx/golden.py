"""Golden inputs and outputs: computed when the bundle is written, and replayed where it runs.

They come from PyTorch, or from the bundle itself if its arithmetic is lowered, since PyTorch does not compute in its
arithmetic.

========================================  ==============================================================
``<graph>/<case>/in/<port>``              an input of a graph
``<graph>/<case>/out/<port>``             the output that PyTorch gave in float32
``program:sample/<case>/in/seed`` …       arguments of ``sample``: seed, n, condition, steps
``program:sample/<case>/in/condition/…``  a part of the condition, where it has named parts, or a mask of one
``program:sample/<case>/out/x``           the samples
``program:fused/<case>/in/seed`` …        arguments of the fused run: seed, n, condition
``program:fused/<case>/out/x``            its samples
``program:log_prob/<case>/in/x`` …        arguments of ``log_prob``: x, condition, seed, steps
``program:log_prob/<case>/out/log_prob``  the log-densities
========================================  ==============================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zoo import noise
from zoo.arrays import Array
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.models.interface import GenerativeModel
from zoo.programs import MARGIN, Graph, Programs
from zoo.programs.conditioning import ROWS
from zoo.runtime import BundledModel
from zoo.runtime.check import Case, grouped, run_case, unit_of, what_of
from zoo.samplers import StepTable
from zoo_onnx.flips import Flips
from zoo_onnx.inputs import Inputs
from zoo_onnx.reference import call, samples, samples_and_margins
from zoo_onnx.sizes import row_sizes

_SEED = 1234
_BATCHES = (1, 2)
#: by how much symbols of golden samples are ahead of the second best, if that is so within some tries
_AHEAD, _TRIES = 1e-2, 100
#: relative difference of float32 computations on two devices
_DIGIT = np.float32(1e-6)

Arrays = dict[str, Array]


def golden(
    model: GenerativeModel,
    programs: Programs,
    inputs: Inputs,
    *,
    batch: int | None = None,
    fused: bool = False,
    table: StepTable | None = None,
) -> dict[str, Array]:
    """All golden tensors of a model.

    Args:
        model: in float32, on the CPU.
        programs: its programs.
        inputs: draws the inputs.
        batch: the fixed batch size of the graphs, or None.
        fused: whether there is a fused graph.
        table: its table, or None for a model that samples in one call.
    """
    arrays: dict[str, Array] = {}
    flips = Flips.of(model)

    def add(subject: str, case: int, arguments: dict[str, Any], outputs: dict[str, Any]) -> None:
        values = [*arguments.values(), *outputs.values()]
        if all(np.isfinite(v).all() for v in values):
            arrays.update({f"{subject}/{case}/in/{name}": np.asarray(value) for name, value in arguments.items()})
            arrays.update({f"{subject}/{case}/out/{name}": np.asarray(value) for name, value in outputs.items()})

    for graph in programs.graphs:
        for case, size in enumerate(_BATCHES):
            # the second case has every column
            sizes = {"batch": batch or size, **row_sizes(size, more=case), "evaluations": size}
            sizes[ROWS] = size if batch is None else 1
            names = {d for p in (*graph.inputs, *graph.outputs) for d in p.shape if isinstance(d, str)}
            add(graph.name, case, *_apart(graph, inputs, {name: sizes.get(name, 2) for name in names}, flips))

    n, extra = 2, {}
    if programs.sample is None:
        condition = inputs.condition(n)
        extra = {} if condition is None else {"condition": condition}
        with torch.no_grad():
            x = model.examples(n).numpy()
            density = model.log_prob(torch.from_numpy(x), **extra).numpy()
        add("program:log_prob", 0, {"x": x, **_by_part(model, extra, n)}, {"log_prob": density})
        return arrays

    with torch.no_grad():
        if (condition := inputs.condition(n)) is not None:
            extra["condition"] = condition
        by_part = _by_part(model, extra, n)
        steps = inputs.golden_steps(programs.sample)
        seed = _seed_apart(model, n, extra, flips)
        x = model.sample(n, seed=seed, **extra, **steps).numpy()
        counts = {"seed": np.array(seed, np.int64), "n": np.array(n, np.int64)}
        add("program:sample", 0, {**counts, **by_part, **_numbers(steps)}, {"x": x})
        if fused:
            sampler: dict[str, Any] = {} if table is None else {"sampler": table}
            add(
                "program:fused",
                0,
                {**counts, **by_part},
                {"x": model.sample(n, seed=seed, **extra, **sampler).numpy()},
            )
        if programs.log_prob is not None:
            steps = inputs.golden_steps(programs.log_prob)
            density = model.log_prob(torch.from_numpy(x), **extra, **steps).numpy()
            add("program:log_prob", 0, {"x": x, **by_part, **_numbers(steps)}, {"log_prob": density})
    return arrays


def _apart(graph: Graph, inputs: Inputs, sizes: dict[str, int], flips: Flips) -> tuple[Arrays, Arrays]:
    """Inputs and outputs of a graph at which nothing is at an edge, so that no device draws another symbol or level."""
    for _ in range(_TRIES):
        feeds = inputs.ordinary(graph, sizes)
        outputs = call(graph, feeds)
        ahead = MARGIN not in outputs or outputs[MARGIN].min() > _AHEAD
        if ahead and all(value.shape[1:] != flips.event or flips.off_edges(value) for value in outputs.values()):
            break
    return feeds, outputs


def _seed_apart(model: GenerativeModel, n: int, extra: dict[str, Any], flips: Flips) -> int:
    """A seed whose samples are likewise."""
    for seed in range(_SEED, _SEED + _TRIES):
        arguments = {**extra, "seed": seed}
        drawn = samples_and_margins(n, arguments, model)
        ahead = drawn is None or drawn[1].min() > _AHEAD
        if ahead and (not flips.edges or flips.off_edges(samples(n, arguments, model))):
            break
    return seed


def _by_part(model: GenerativeModel, arguments: dict[str, Any], n: int) -> dict[str, Any]:
    """Arguments with the parts of a condition by their own names, and masks where they are of different lengths."""
    condition = arguments.get("condition")
    if model.condition is None or not isinstance(condition, dict):
        return arguments
    # padding says itself where tokens end
    told = {part.mask for part in model.condition.parts if part.padding is not None}
    stored = model.condition.stored(condition, n)
    return {f"condition/{name}": value for name, value in stored.items() if name not in told}


def replay_golden(model: BundledModel, arrays: Arrays) -> tuple[Arrays, dict[str, float]]:
    """Golden values computed by the bundle itself, with tolerances where rounding matters.

    Rounding to few bits turns some differences in the last digit into a whole quantization step. So inputs are
    perturbed by about the rounding difference between devices, and four times the resulting change is tolerated.

    Args:
        model: the bundle.
        arrays: golden tensors, of which the inputs are used.
    """
    random = np.random.default_rng(0)
    replayed = dict(arrays)
    tolerances: dict[str, float] = {}
    for (subject, number), case in grouped(arrays).items():
        results = run_case(model, case)
        replayed |= {f"{subject}/{number}/out/{name}": np.asarray(results[name]) for name in case.outputs}
        perturbed = run_case(model, Case(subject, _perturbed(model, case, random), case.outputs))
        for name in case.outputs:
            unit = unit_of(model, case, results[name])
            tolerated = 4 * relative_difference(perturbed[name], results[name], unit)
            if tolerated > tolerances.get(what_of(case), TOLERANCE):
                tolerances[what_of(case)] = float(f"{tolerated:.1e}")
    return replayed, tolerances


def _perturbed(model: BundledModel, case: Case, random: np.random.Generator) -> Arrays:
    inputs = dict(case.inputs)
    if case.subject == "program:sample":
        inputs["noise"] = noise.normal(int(inputs["seed"]), int(inputs["n"]), model.noise_shape)
    parts = () if model.condition is None else model.condition.parts
    masks = {f"condition/{part.mask}" for part in parts}
    moved = {
        name: array * (1 + _DIGIT * random.uniform(-1, 1, array.shape).astype(np.float32))
        if array.dtype == np.float32 and name not in masks
        else array
        for name, array in inputs.items()
    }
    for part in parts:
        if (name := f"condition/{part.name}") in moved and (part.minimum, part.maximum) != (None, None):
            moved[name] = np.clip(moved[name], part.minimum, part.maximum)
    return moved


def _numbers(options: dict[str, int]) -> dict[str, Array]:
    return {name: np.array(value, np.int64) for name, value in options.items()}
