"""Scoring with a bundle: log-densities of data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo.conditions import ConditionLike
from zoo.counts import Progress, checked_count, ticker
from zoo.errors import RuntimeFailure, UsageError
from zoo.likelihood import LogDensity
from zoo.noise import check_seed
from zoo.runtime import data, integrate
from zoo.runtime.opened import OpenBundle
from zoo.runtime.runners import runner_of
from zoo.runtime.running import ScoreRequest


def score(
    opened: OpenBundle,
    x: ArrayLike,
    condition: ConditionLike,
    seed: int,
    steps: int | None,
    probes: int | None,
    batch_size: int | None,
    progress: Progress | None,
    *,
    errors: bool = False,
    first: int = 0,
) -> NDArray[np.float64]:
    """Log-densities ``[n]``, or with errors ``[4, n]``; see :meth:`zoo.runtime.BundledModel.log_prob`."""
    seed = check_seed(seed)
    program = opened.manifest.log_prob
    if program is None:
        raise UsageError(f"{opened.name} cannot score data: its bundle has no program for log_prob")
    values = data.events(x, opened.event_shape, opened.levels, seed=seed, first=first)
    conditions = opened.scoring_condition(condition, len(values))
    request = ScoreRequest(values, conditions, seed, steps, probes, errors, first)
    scores = runner_of(program).scoring(opened, program, request)
    density = np.empty((len(LogDensity._fields), len(values)) if errors else len(values))
    session = opened.session(program.graph)
    batches = opened.batches(len(values), batch_size, session, program.work)
    tick = ticker(progress, len(batches) * scores.calls)
    for attempt in opened.attempts(batches, batch_size, session):
        with attempt as part:
            density[..., part] = scores.score(part, tick)
    value = density[0] if errors else density
    wrong = np.isnan(value) | (value == np.inf)
    if wrong.any():
        raise RuntimeFailure(
            f"{np.count_nonzero(wrong)} of {len(value)} log-densities of {opened.name} are not numbers, "
            f"the first is that of datum {int(np.argmax(wrong))}"
        )
    return density


def bound(
    opened: OpenBundle,
    x: ArrayLike,
    *,
    condition: ConditionLike,
    seed: int,
    steps: int,
    terms: int,
    batch_size: int | None,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """Lower bounds ``[n]`` of log-densities; see :meth:`zoo.runtime.BundledModel.elbo`."""
    seed = check_seed(seed)
    if opened.manifest.log_prob is None:
        raise UsageError(f"{opened.name} has no chain of steps, so it has no variational bound")
    program = opened.manifest.log_prob.integrating(opened.name)
    steps = checked_count("steps", steps)
    terms = checked_count("terms", terms, steps)
    values = data.events(x, opened.event_shape, opened.levels, seed=seed)
    conditions = opened.scoring_condition(condition, len(values))
    values, volume = opened.codec.to_latent_with_volume(program, values)
    session = opened.session(program.graph)
    bound = np.empty(len(values))
    batches = opened.batches(len(values), batch_size, session)
    tick = ticker(progress, len(batches) * terms)
    for attempt in opened.attempts(batches, batch_size, session):
        with attempt as part:
            bound[part] = integrate.bound(
                session,
                program,
                opened.filled(values[part]),
                opened.filled(None if conditions is None else conditions[part]),
                seed=seed,
                steps=steps,
                terms=terms,
                first=part.start,
                tick=tick,
            )[: part.stop - part.start]
    return bound + volume
