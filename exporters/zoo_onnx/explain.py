"""Likely explanations of a difference between the samples of a bundle and those of PyTorch.

The bundle runs the program that the model declares. If PyTorch samples something else, a variation of the program,
its table or the order of values often reproduces it, and then names the fault. Nothing here makes a proof
pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.bundle import Bundle
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.errors import ZooError
from zoo.noise import DISTRIBUTIONS, Noise, drawn
from zoo.programs import Iterate
from zoo.runtime import BundledModel
from zoo.samplers import StepTable, table_for

Guess = tuple[str, Callable[[], Array]]
Again = Callable[[int], Array]
#: how close a guess must be, absolutely and as a share of the bundle's own difference
_NEAR, _SHARE = 10 * TOLERANCE, 0.1
_CHANNELS = 4


def explain(
    bundle: BundledModel,
    n: int,
    arguments: dict[str, Any],
    expected: Array,
    actual: Array,
    again: Callable[[int], Array],
) -> str:
    """A sentence that says what PyTorch does, or an empty string.

    Args:
        bundle: the bundle.
        n: number of samples.
        arguments: the arguments of sampling.
        expected: the samples of PyTorch.
        actual: the samples of the bundle.
        again: draws the samples of PyTorch with another seed.
    """
    program = bundle.manifest.sampling
    unit = program.unit(expected)
    near = min(_NEAR, _SHARE * relative_difference(actual, expected, unit))
    for said, guess in _guesses(bundle, n, arguments, expected, actual, again):
        try:
            value = guess()
        except ZooError:
            continue
        if value.shape == expected.shape and relative_difference(value, expected, unit) <= near:
            return said
    rows = [i for i in range(n) if relative_difference(actual[i], expected[i], unit) > _NEAR]
    if 0 < len(rows) < n:
        return f"samples {', '.join(map(str, rows[:4]))} of {n} differ and the others do not: their noise is different"
    return ""


def _guesses(
    bundle: BundledModel,
    n: int,
    arguments: dict[str, Any],
    expected: Array,
    actual: Array,
    again: Callable[[int], Array],
) -> Iterator[Guess]:
    seed = int(arguments["seed"])
    yield "PyTorch gives the same samples for every seed", lambda: again(seed + 1)
    yield from _orders(actual)
    for other in (seed + 1, seed - 1):
        yield (
            f"PyTorch samples with the seed {other} when {seed} is asked for",
            partial(bundle.sample, n, **{**arguments, "seed": other}),
        )
    program = bundle.manifest.sampling
    yield from _of_noises(bundle, n, arguments)
    if program.stepped:
        program = program.stepping(bundle.name)
        yield from _of_classes(bundle, program, n, arguments)
        yield from _of_times(bundle, program, n, arguments)
    yield from _lines(actual, expected)


def _orders(actual: Array) -> Iterator[Guess]:
    """Channels and axes in another order."""
    if actual.ndim > 2 and 2 <= actual.shape[1] <= _CHANNELS:
        yield "PyTorch has the channels in reverse order: channels are swapped", lambda: np.flip(actual, 1)
        yield "PyTorch has the channels rotated: channels are swapped", lambda: np.roll(actual, 1, 1)
        yield "PyTorch has the channels rotated: channels are swapped", lambda: np.roll(actual, -1, 1)
    for axis in range(1, actual.ndim):
        yield f"PyTorch has axis {axis} in reverse order", partial(np.flip, actual, axis)
    if actual.ndim > 2:
        yield "PyTorch has the last two axes swapped", lambda: np.swapaxes(actual, -1, -2)


def _of_noises(bundle: BundledModel, n: int, arguments: dict[str, Any]) -> Iterator[Guess]:
    """Noises of another stream, or of another distribution."""
    noises = bundle.manifest.sampling.noises(bundle.manifest.graphs)
    if len(noises) < 2 and bundle.manifest.sampling.noise_port is not None:
        return
    seed = int(arguments["seed"])
    for k, each in enumerate(noises):
        for j, other in enumerate(noises):
            if j != k:
                # the stream alone is that of the other; the shape and the distribution are its own
                noise = _drawn(each, seed, n, step=j)
                yield (
                    f"PyTorch draws the noise {each.name} from the stream of {other.name}",
                    partial(bundle.sample, n, **arguments, noise={each.name: noise}),
                )
        for distribution in DISTRIBUTIONS:
            if distribution != each.distribution:
                noise = _drawn(dataclasses.replace(each, distribution=distribution), seed, n, step=k)
                yield (
                    f"PyTorch draws the noise {each.name} as {distribution}, and the program says {each.distribution}",
                    partial(bundle.sample, n, **arguments, noise={each.name: noise}),
                )


def _drawn(each: Noise, seed: int, n: int, step: int) -> Array:
    """A noise of the stream of the ``step``-th."""
    return drawn((*[dataclasses.replace(each, name=f"{k}", shape=()) for k in range(step)], each), seed, n)[each.name]


def _of_classes(bundle: BundledModel, program: Iterate, n: int, arguments: dict[str, Any]) -> Iterator[Guess]:
    if program.null_class is None:
        return
    for null in range(min(program.null_class + 2, 12)):
        if null != program.null_class:
            yield (
                f"PyTorch uses class {null} as the null class and the program uses {program.null_class}: one of them "
                "is wrong",
                partial(_sampled_with, bundle, null, n, arguments),
            )


def _of_times(bundle: BundledModel, program: Iterate, n: int, arguments: dict[str, Any]) -> Iterator[Guess]:
    """Rows that pass a different time to the network."""
    known = {name: value for name, value in arguments.items() if name not in ("condition", "seed")}
    rest = {name: arguments[name] for name in ("condition", "seed")}
    try:
        table = table_for(
            program, known.pop("sampler", None), known.pop("steps", None), known.pop("guidance", None), **known
        )
    except ZooError:
        return

    def shown(time: Array) -> Callable[[], Array]:
        changed: StepTable = dataclasses.replace(table, time=time)
        return lambda: bundle.sample(n, sampler=changed, **rest)

    said = "PyTorch passes a different time to the network than the program's path, off by one in time"
    yield f"{said}: the row's and 1", shown(table.time + 1)
    yield f"{said}: the row's less 1", shown(table.time - 1)
    yield f"{said}: that of the row after", shown(np.append(table.time[1:], table.time[-1]))
    yield f"{said}: that of the row before", shown(np.append(table.time[:1], table.time[:-1]))
    yield f"{said}: that of the row before, and 0 after the first", shown(np.append(table.time[1:], 0.0))


def _lines(actual: Array, expected: Array) -> Iterator[Guess]:
    """A different shift and scale."""
    a, b = actual.ravel().astype(np.float64), expected.ravel().astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all() and a.std() > 0):
        return
    scale, shift = np.polyfit(a, b, 1)
    yield (
        f"PyTorch gives {scale:.4g} times the bundle's samples, plus {shift:.4g}: shift or scale differs",
        lambda: (scale * actual + shift).astype(expected.dtype),
    )


def _sampled_with(bundle: BundledModel, null_class: int, n: int, arguments: dict[str, Any]) -> Array:
    """The samples of the bundle if its program had another null class."""
    manifest = bundle.manifest
    program = dataclasses.replace(manifest.sampling.stepping(bundle.name), null_class=null_class)
    changed = Bundle(bundle.bundle.folder, dataclasses.replace(manifest, sample=program))
    return BundledModel(changed, "cpu").sample(n, **arguments)
