"""Scoring with a bundle: log-densities of data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import RuntimeFailure, UsageError
from zoo.likelihood import LogDensity
from zoo.noise import check_seed
from zoo.progress import Progress
from zoo.runtime import data, integrate
from zoo.runtime.numbers import checked_count
from zoo.runtime.opened import ticker
from zoo.runtime.runners import runner_of
from zoo.runtime.running import ScoreRequest
from zoo.runtime.sampling import Sampling


class Scoring(Sampling):
    """What of a bundle's model scores data."""

    def log_prob(
        self,
        x: Any,
        *,
        condition: Any = None,
        seed: int = 0,
        steps: int | None = None,
        probes: int | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Log-density of data.

        Args:
            x: ``[n, *event_shape]``. Integers for a model of discrete data are dequantised, see
                :func:`zoo.runtime.data.events`; floating-point data is scored as it is.
            condition: one class or vector for all, or ``n`` of them; None scores under the null class of a diffusion.
            seed: key of the dequantisation and of the probes.
            steps: Runge-Kutta steps of a diffusion's ODE; None is the model's own choice.
            probes: Rademacher probes averaged for a diffusion's trace, or 0 for the exact trace; likewise.
            batch_size: data in one call of a graph.
            progress: called with (graph calls done, graph calls in all).

        Returns:
            float64 ``[n]``, nats in the units of the data. Data outside the support of the model has -∞.

        Raises:
            DataError: data of the wrong shape, dtype or content.
            UsageError: the bundle cannot score, or an argument makes no sense; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite.
        """
        return self._scored(x, condition, seed, steps, probes, batch_size, progress, errors=False)

    def log_prob_with_errors(
        self,
        x: Any,
        *,
        condition: Any = None,
        seed: int = 0,
        steps: int | None = None,
        probes: int | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> LogDensity:
        """Log-density of data under a diffusion, and how far it can be trusted, which takes three times as long.

        Arguments and errors are those of :meth:`log_prob`.
        """
        return LogDensity(*self._scored(x, condition, seed, steps, probes, batch_size, progress, errors=True))

    def elbo(
        self,
        x: Any,
        *,
        condition: Any = None,
        seed: int = 0,
        steps: int = 1000,
        terms: int = 100,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """What a diffusion's log-density under ancestral sampling is at least, see :mod:`zoo.likelihood.bound`.

        Args:
            x: as for :meth:`log_prob`, and so are ``condition``, ``batch_size`` and ``progress``.
            condition: see ``x``.
            seed: key of the dequantisation, the terms and their noise.
            steps: of the chain.
            terms: how many of the steps are evaluated; the others are estimated from them.
            batch_size: see ``x``.
            progress: see ``x``.

        Returns:
            float64 ``[n]``, nats in the units of the data.

        Raises:
            UsageError: the model scores in one call, or an argument makes no sense; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite.
        """
        seed = check_seed(seed)
        if self.manifest.log_prob is None:
            raise UsageError(f"{self.name} has no chain of steps, so no variational bound")
        program = self.manifest.log_prob.integrating(self.name)
        steps = checked_count("steps", steps)
        terms = checked_count("terms", terms, steps)
        values = data.events(x, self.event_shape, self.levels, seed=seed)
        conditions = self._scoring_condition(condition, len(values))
        values, volume = self.to_latent_with_volume(program, values)
        session = self.session(program.graph)
        bound = np.empty(len(values))
        batches = self._batches(len(values), batch_size, session)
        tick = ticker(progress, len(batches) * terms)
        for part in batches:
            bound[part] = integrate.bound(
                session,
                program,
                self.filled(values[part]),
                self.filled(None if conditions is None else conditions[part]),
                seed=seed,
                steps=steps,
                terms=terms,
                first=part.start,
                tick=tick,
            )[: part.stop - part.start]
        return bound + volume

    def _scored(
        self,
        x: Any,
        condition: Any,
        seed: int,
        steps: int | None,
        probes: int | None,
        batch_size: int | None,
        progress: Progress | None,
        *,
        errors: bool,
    ) -> NDArray[np.float64]:
        """Log-densities ``[n]``, or with errors ``[4, n]``."""
        seed = check_seed(seed)
        program = self.manifest.log_prob
        if program is None:
            raise UsageError(f"{self.name} cannot score data: its bundle has no program for log_prob")
        values = data.events(x, self.event_shape, self.levels, seed=seed)
        conditions = self._scoring_condition(condition, len(values))
        request = ScoreRequest(values, conditions, seed, steps, probes, errors)
        scores = runner_of(program).scoring(self, program, request)
        density = np.empty((len(LogDensity._fields), len(values)) if errors else len(values))
        batches = self._batches(len(values), batch_size, self.session(program.graph), program.work)
        tick = ticker(progress, len(batches) * scores.calls)
        for part in batches:
            density[..., part] = scores.score(part, tick)
        value = density[0] if errors else density
        wrong = np.isnan(value) | (value == np.inf)
        if wrong.any():
            raise RuntimeFailure(
                f"{np.count_nonzero(wrong)} of {len(value)} log-densities of {self.name} are not numbers, "
                f"the first is that of datum {int(np.argmax(wrong))}"
            )
        return density
