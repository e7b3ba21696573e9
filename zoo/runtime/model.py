"""A bundle as a model: :class:`BundledModel` samples and scores with ONNX Runtime and NumPy alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo.arrays import Array
from zoo.bundle import Bundle
from zoo.conditions import ConditionLike
from zoo.counts import Progress, ticker
from zoo.errors import UsageError
from zoo.likelihood import LogDensity
from zoo.runtime import contract, data, scoring
from zoo.runtime.described import DescribedBundle
from zoo.runtime.device import Device
from zoo.runtime.iterate import step_sampler
from zoo.runtime.opened import OpenBundle, settled, settled_part
from zoo.runtime.runners import runner_of
from zoo.runtime.running import SampleRequest, Samples, finite
from zoo.runtime.streaming import Frame, awaited, awaited_frames, frames
from zoo.samplers import BUILTIN, Guidance, SamplerFunction, SamplingOptions, StepTable
from zoo.samplers.options import Composition, OptionValue, SampleArgument
from zoo.samplers.runs import Preview
from zoo.samplers.state import SamplerState
from zoo.samplers.stepping import too_many


class BundledModel(DescribedBundle):
    """What :func:`zoo.runtime.load` returns: an open bundle, which the runners of its programs sample and score with.

    The same seed gives the same samples, whatever the batch size. Threads may share a model: sessions are loaded once,
    and nothing else changes after that. It is made with the arguments of :class:`~zoo.runtime.opened.OpenBundle`.

    Attributes:
        opened: the open bundle: its sessions, its device, and how its arrays are cut into batches.
        bundle, manifest, name, event_shape, condition, levels, modality, device, session: those of ``opened``, see
            :class:`~zoo.runtime.opened.OpenBundle`.

    Raises:
        BundleError: the manifest's programs and graphs do not fit together.
        MissingDependencyError, UnknownNameError, ProviderError: as for :func:`zoo.runtime.load`.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device | str = "auto",
        threads: int | None = None,
        *,
        samplers: Mapping[str, SamplerFunction] = BUILTIN,
    ) -> None:
        contract.check(bundle)
        self.opened = opened = OpenBundle(bundle, device, threads, samplers=samplers)
        self.bundle, self.manifest, self.name = bundle, bundle.manifest, bundle.name
        self.event_shape, self.condition = self.manifest.event_shape, self.manifest.condition
        self.levels, self.modality = self.manifest.levels, self.manifest.modality
        self.device, self.session = opened.device, opened.session

    # -- samples ----------------------------------------------------------------------------------------------------

    def table(
        self,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        *,
        strength: float | None = None,
        **options: OptionValue,
    ) -> StepTable | None:
        """The step table for these arguments of :meth:`sample`; None for a model that samples in one call.

        Raises:
            UnknownNameError: no such sampler.
            UsageError: steps, guidance or options that the sampler or the model does not support.
        """
        asked = SamplingOptions(sampler, steps, guidance, strength=strength, own=options)
        program = self.manifest.sampling
        return runner_of(program).table(self.opened, program, asked)

    def sample(
        self,
        n: int,
        *,
        condition: ConditionLike = None,
        seed: int | None = None,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        negative: ConditionLike = None,
        compose: Composition | None = None,
        init: ArrayLike | None = None,
        strength: float | None = None,
        mask: ArrayLike | None = None,
        noise: ArrayLike | Mapping[str, ArrayLike] | None = None,
        fused: bool = False,
        part: slice | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
        **options: OptionValue,
    ) -> Samples:
        """Draw samples.

        Args:
            n: number of samples.
            condition: one class (number or label) or vector for all, or ``n`` of them; None gives every class in turn.
                Of a model of named parts, such values by the names of the parts, see
                :meth:`zoo.conditions.Condition.arrays`; each different condition is encoded once.
            seed: key of the specified noise; None draws one from the system.
            sampler: as for :meth:`begin`, like the following up to ``mask``, of a model that samples in steps.
            steps, guidance, negative, compose: likewise.
            init, strength, mask: likewise.
            noise: standard normal noise ``[n, *noise_shape]`` to start from, instead of that of ``seed``; of a model of
                several noises, some of them by name.
            fused: run the bundle's fused graph, which contains a whole sampler, in one call.
            part: which of the ``n`` samples to draw, for runs that are shared by several machines; None for all.
            batch_size: samples in one call of a graph; None bounds the memory that a batch takes, and halves batches
                that do not fit.
            progress: called with (graph calls done, graph calls in all).
            preview: called after each step with (row, slice of the samples, their denoised estimates).
            options: of the sampler.

        Returns:
            float32 ``[n, *event_shape]`` in data units, or as many as ``part`` has.

        Raises:
            UsageError, DataError, ConditionError: an argument that this model does not support; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite; the message names the first such step.
        """
        asked = SamplingOptions(sampler, steps, guidance, negative, init, strength, mask, noise, options, compose)
        n, seed = settled(n, seed)
        program = self.manifest.fused if fused else self.manifest.sampling
        if program is None:
            raise UsageError(f"{self.name} has no fused graph", hint="Export it with --fused.")
        conditions = self.opened.sampling_condition(asked.first(condition), n, encoded=not fused)
        request = SampleRequest(n, conditions, seed, asked, preview)
        drawing = runner_of(program).sampling(self.opened, program, request)
        first, count = settled_part(part, n)
        batches = self.opened.batches(count, batch_size, self.session(program.graph), program.work)
        try:
            samples = np.empty((count, *self.event_shape), np.float32)
        except (MemoryError, ValueError) as error:
            raise too_many(count, self.event_shape) from error
        tick = ticker(progress, len(batches) * drawing.calls)
        for attempt in self.opened.attempts(batches, batch_size, self.session(program.graph)):
            with attempt as batch:  # only one at a time takes memory
                samples[batch] = drawing.draw(slice(first + batch.start, first + batch.stop), tick)
        return finite(samples, self.name)

    def begin(
        self,
        n: int,
        *,
        condition: ConditionLike = None,
        seed: int | None = None,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        negative: ConditionLike = None,
        compose: Composition | None = None,
        init: ArrayLike | None = None,
        strength: float | None = None,
        mask: ArrayLike | None = None,
        noise: ArrayLike | None = None,
        **options: OptionValue,
    ) -> SamplerState:
        """The state before the first step of a model that samples in steps.

        Args:
            n: number of samples.
            condition: as for :meth:`sample`, like the following.
            seed: likewise.
            sampler: name of a sampler or a finished table; None for the model's default.
            steps: number of steps.
            guidance: weight of classifier-free guidance (1 means none, 0 ignores the class), or a
                :class:`~zoo.samplers.Guidance` with its interval and rescaling.
            negative: class to guide away from, instead of the null class; as ``condition``.
            compose: ``[(condition, weight), ...]`` instead of ``condition`` and ``guidance``: the conditions of a
                composition, see :class:`~zoo.samplers.SamplingOptions`; each is encoded once.
            init: data ``[n, *event_shape]``, or one event for all, to start from. Integers of a model of discrete data
                stand for the middle of their bins.
            strength: in [0, 1]: the share of the trajectory from noise to data that is run; 1 by default.
            mask: broadcastable to ``[n, *event_shape]``, 1 where to sample and 0 where to keep ``init``.
            noise: as for :meth:`sample`.
            options: of the sampler.

        Raises:
            UsageError, UnknownNameError, DataError, ConditionError: an argument that this model does not support.
        """
        asked = SamplingOptions(sampler, steps, guidance, negative, init, strength, mask, noise, options, compose)
        n, seed = settled(n, seed)
        first = self.opened.sampling_condition(asked.first(condition), n)
        return step_sampler(self.opened).begin(n, seed=seed, condition=first, options=asked)

    def advance(
        self,
        state: SamplerState,
        rows: int | None = None,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> SamplerState:
        """Take the next ``rows`` rows of a state's table, or all remaining ones; the state itself is not changed.

        Args:
            state: from :meth:`begin`, :meth:`advance` or :meth:`SamplerState.load`, from any runtime.
            rows: number of rows.
            batch_size: as for :meth:`sample`, like the following.
            progress, preview: likewise.

        Raises:
            DataError: a state of another model.
            UsageError: ``rows`` is not a whole number of 1 or more, or the graph lacks an input that the state needs.
            RuntimeFailure: as for :meth:`sample`.
        """
        return step_sampler(self.opened).advance(state, rows, batch_size=batch_size, progress=progress, preview=preview)

    def finish(
        self,
        state: SamplerState,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> Samples:
        """Take the remaining rows and return the samples; arguments and errors as for :meth:`advance`."""
        steps = step_sampler(self.opened)
        samples = steps.finish(state, batch_size=batch_size, progress=progress, preview=preview)
        return finite(samples, self.name)

    def encode(
        self,
        x: ArrayLike,
        *,
        condition: ConditionLike = None,
        steps: int | None = None,
        order: int = 2,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Samples:
        """The noise from which deterministic sampling (``sample(noise=...)``) recovers data.

        Args:
            x: data ``[n, *event_shape]``; integers of a model of discrete data stand for the middle of their bins.
            condition: as for :meth:`log_prob`.
            steps: steps of the ODE; None for the model's default number of sampling steps.
            order: 1 or 2, see :func:`zoo.samplers.inversion.inversion`.
            batch_size, progress: as for :meth:`sample`.

        Returns:
            float32 ``[n, *state_shape]``, which is ``[n, *event_shape]`` unless the model has a decoder.

        Raises:
            DataError: data of the wrong shape or content.
            UsageError: a model that samples in one call, one with a decoder but no encoder, or a consistency model.
            RuntimeFailure: as for :meth:`sample`.
        """
        sampler = step_sampler(self.opened)
        values = data.events(data.centred(x, self.levels), self.event_shape, None)
        conditions = self.opened.scoring_condition(condition, len(values))
        noise = sampler.encode(
            values, condition=conditions, steps=steps, order=order, batch_size=batch_size, progress=progress
        )
        return finite(noise, self.name)

    def to_latent(self, x: Array) -> Array:
        """Data ``[n, *event_shape]`` to latents ``[n, *state_shape]``; the data itself if there is no encoder.

        Raises:
            UsageError: the model has a decoder but no encoder.
        """
        return self.opened.codec.to_latent(x)

    def to_data(self, latent: Array) -> Array:
        """Latents to data ``[n, *event_shape]``; the latents themselves if there is no decoder."""
        return self.opened.codec.to_data(latent)

    # -- samples that are watched and waited for --------------------------------------------------------------------

    def stream(self, n: int, *, batch_size: int | None = None, **options: SampleArgument) -> Iterator[Frame]:
        """Draw samples, and yield a frame after each step. A model that samples in one call yields a single frame.

        Args:
            n: number of samples; all of them take a step before the next one, so all are in memory.
            batch_size: as for :meth:`sample`.
            options: of :meth:`sample` or :meth:`begin`. Stopping the iteration stops the run.

        Raises:
            UsageError, DataError, ConditionError: as for :meth:`sample`, before the first frame is requested.
            RuntimeFailure: with a frame.
        """
        keywords: dict[str, Any] = dict(options)
        if self.manifest.sampling.stepped and not keywords.get("fused"):
            keywords.pop("fused", None)
            return frames(self, self.begin(n, **keywords), self.event_shape, batch_size)
        return iter([Frame(1, 1, self.sample(n, batch_size=batch_size, **keywords))])

    async def stream_async(self, n: int, **options: SampleArgument) -> AsyncIterator[Frame]:
        """:meth:`stream` for ``async for``; each step runs in a thread, and others may run between.

        If cancelled, or left early, it ends after the current step.
        """
        keywords: dict[str, Any] = dict(options)
        if not self.manifest.sampling.stepped or keywords.get("fused"):
            yield Frame(1, 1, await self.sample_async(n, **keywords))
            return
        async for frame in awaited_frames(partial(self.stream, n, **keywords)):
            yield frame

    async def sample_async(self, n: int, *, progress: Progress | None = None, **options: SampleArgument) -> Samples:
        """:meth:`sample` in a thread, for ``await``. If cancelled, it ends after the current call of a graph."""
        keywords: dict[str, Any] = dict(options)
        return await awaited(lambda look: self.sample(n, progress=look, **keywords), progress)

    def warm_up(self, n: int = 1, *, condition: ConditionLike = None) -> None:
        """Load the graphs for sampling and scoring, and run a step, so that the first request is as fast as later ones.

        Args:
            n: samples per request, for devices that prepare for specific sizes.
            condition: one that the model accepts, where it needs one; as for :meth:`sample`.
        """
        sample = self.manifest.sample
        if sample is not None and sample.stepped:
            self.advance(self.begin(n, condition=condition, seed=0), 1)
        elif sample is not None:
            self.sample(n, condition=condition, seed=0)
        if self.manifest.log_prob is not None:
            self.session(self.manifest.log_prob.graph)

    # -- densities --------------------------------------------------------------------------------------------------

    def log_prob(
        self,
        x: ArrayLike,
        *,
        condition: ConditionLike = None,
        seed: int = 0,
        steps: int | None = None,
        probes: int | None = None,
        first: int = 0,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Log-density of data.

        Args:
            x: ``[n, *event_shape]``. Integers for a model of discrete data are dequantised, see
                :func:`zoo.runtime.data.events`; floating-point data is scored unchanged.
            condition: one class or vector for all, or ``n`` of them; None scores under the null class of a diffusion.
            seed: key of the dequantisation and of the probes.
            steps: Runge-Kutta steps of a diffusion's ODE; None for the model's default.
            probes: Rademacher probes averaged for a diffusion's trace, or 0 for the exact trace; likewise.
            first: number of the first datum among those that share the seed, where they are scored in several calls.
            batch_size: data in one call of a graph.
            progress: called with (graph calls done, graph calls in all).

        Returns:
            float64 ``[n]``, nats in the units of the data. Data outside the support of the model has -∞.

        Raises:
            DataError: data of the wrong shape, dtype or content.
            UsageError: the bundle cannot score, or an argument is invalid; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite.
        """
        return scoring.score(self.opened, x, condition, seed, steps, probes, batch_size, progress, first=first)

    def log_prob_with_errors(
        self,
        x: ArrayLike,
        *,
        condition: ConditionLike = None,
        seed: int = 0,
        steps: int | None = None,
        probes: int | None = None,
        first: int = 0,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> LogDensity:
        """Log-density of data under a diffusion with error estimates, which takes three times as long.

        Arguments and errors are those of :meth:`log_prob`.
        """
        asked = (x, condition, seed, steps, probes, batch_size, progress)
        parts = scoring.score(self.opened, *asked, errors=True, first=first)
        return LogDensity(*parts)

    def elbo(
        self,
        x: ArrayLike,
        *,
        condition: ConditionLike = None,
        seed: int = 0,
        steps: int = 1000,
        terms: int = 100,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """A lower bound of a diffusion's log-density under ancestral sampling, see :mod:`zoo.likelihood.bound`.

        Args:
            x: as for :meth:`log_prob`, and so are ``condition``, ``batch_size`` and ``progress``.
            condition: see ``x``.
            seed: key of the dequantisation, the terms and their noise.
            steps: of the chain.
            terms: number of steps to evaluate; the others are estimated from them.
            batch_size: see ``x``.
            progress: see ``x``.

        Returns:
            float64 ``[n]``, nats in the units of the data.

        Raises:
            UsageError: the model scores in one call, or an argument is invalid; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite.
        """
        return scoring.bound(
            self.opened,
            x,
            condition=condition,
            seed=seed,
            steps=steps,
            terms=terms,
            batch_size=batch_size,
            progress=progress,
        )
