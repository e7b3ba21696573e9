"""Sampling with a bundle: all at once, or step by step; from noise, from data, or back to noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.counts import Progress, checked_count, ticker
from zoo.errors import RuntimeFailure, UsageError
from zoo.noise import check_seed
from zoo.runtime import data
from zoo.runtime.iterate import step_sampler
from zoo.runtime.opened import LARGEST_COUNT, OpenBundle, fresh_seed
from zoo.runtime.runners import runner_of
from zoo.runtime.running import SampleRequest, Samples
from zoo.samplers import SamplingOptions, StepTable
from zoo.samplers.state import SamplerState
from zoo.samplers.stepping import Preview, StepSampler, too_many


class BundleSampler:
    """Draws samples with a bundle; :class:`zoo.runtime.BundledModel` explains arguments and errors.

    Args:
        opened: the bundle.
    """

    def __init__(self, opened: OpenBundle) -> None:
        self._opened = opened

    @property
    def steps(self) -> StepSampler[NDArray[Any]]:
        """The sampler in steps.

        Raises:
            UsageError: the model samples in one call.
        """
        return step_sampler(self._opened)

    def table(self, options: SamplingOptions) -> StepTable | None:
        """The step table for options; None for a model that samples in one call."""
        program = self._opened.manifest.sample
        return runner_of(program).table(self._opened, program, options)

    def sample(
        self,
        n: int,
        *,
        condition: Any,
        seed: int | None,
        options: SamplingOptions,
        fused: bool,
        batch_size: int | None,
        progress: Progress | None,
        preview: Preview | None,
    ) -> Samples:
        """Samples ``[n, *event_shape]``, drawn batch by batch to bound memory."""
        opened = self._opened
        n, seed = _settled(n, seed)
        program = opened.manifest.fused if fused else opened.manifest.sample
        if program is None:
            raise UsageError(f"{opened.name} has no fused graph", hint="Export it with --fused.")
        conditions = opened.sampling_condition(condition, n)
        request = SampleRequest(n, conditions, seed, options, preview)
        drawing = runner_of(program).sampling(opened, program, request)
        batches = opened.batches(n, batch_size, opened.session(program.graph), program.work)
        samples = self._empty(n)
        tick = ticker(progress, len(batches) * drawing.calls)
        for part in batches:
            samples[part] = drawing.draw(part, tick)
        return self._finite(samples)

    def begin(self, n: int, *, condition: Any, seed: int | None, options: SamplingOptions) -> SamplerState:
        """The state before the first step."""
        n, seed = _settled(n, seed)
        steps = self.steps
        conditions = self._opened.sampling_condition(condition, n)
        return steps.begin(n, seed=seed, condition=conditions, options=options)

    def finish(
        self, state: SamplerState, *, batch_size: int | None, progress: Progress | None, preview: Preview | None
    ) -> Samples:
        """The samples of a state after its remaining rows."""
        return self._finite(self.steps.finish(state, batch_size=batch_size, progress=progress, preview=preview))

    def encode(
        self,
        x: Any,
        *,
        condition: Any,
        steps: int | None,
        order: int,
        batch_size: int | None,
        progress: Progress | None,
    ) -> Samples:
        """The noise that generates data."""
        opened, sampler = self._opened, self.steps
        values = data.events(data.centred(x, opened.levels), opened.event_shape, None)
        conditions = opened.scoring_condition(condition, len(values))
        noise = sampler.encode(
            values, condition=conditions, steps=steps, order=order, batch_size=batch_size, progress=progress
        )
        return self._finite(noise)

    def _finite(self, samples: Samples) -> Samples:
        finite = np.isfinite(samples).reshape(len(samples), -1).all(1)
        if not finite.all():
            raise RuntimeFailure(
                f"{np.count_nonzero(~finite)} of {len(samples)} samples of {self._opened.name} are not finite, "
                f"the first is sample {int(np.argmin(finite))}"
            )
        return samples

    def _empty(self, n: int) -> Samples:
        try:
            return np.empty((n, *self._opened.event_shape), np.float32)
        except (MemoryError, ValueError) as error:
            raise too_many(n, self._opened.event_shape) from error


def _settled(n: int, seed: int | None) -> tuple[int, int]:
    """The checked number of samples and seed; a seed from the system if there is none."""
    return checked_count("samples", n, LARGEST_COUNT), fresh_seed() if seed is None else check_seed(seed)
