"""A bundle as a model: :class:`BundledModel` samples and scores with ONNX Runtime and NumPy alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bundle import Bundle, Manifest
from zoo.conditions import Condition
from zoo.counts import Progress
from zoo.likelihood import LogDensity
from zoo.modality import Modality
from zoo.runtime import contract
from zoo.runtime.device import Device
from zoo.runtime.opened import OpenBundle
from zoo.runtime.running import Samples
from zoo.runtime.sampling import BundleSampler
from zoo.runtime.scoring import BundleScorer
from zoo.runtime.session import Session
from zoo.runtime.streaming import Frame, awaited, awaited_frames, frames
from zoo.samplers import BUILTIN, Guidance, SamplerFunction, SamplingOptions, StepTable
from zoo.samplers.state import SamplerState
from zoo.samplers.stepping import Preview


class BundledModel:
    """What :func:`zoo.runtime.load` returns. The same seed gives the same samples, whatever the batch size.

    Threads may share one: sessions are loaded once, and nothing else changes after that.

    Args:
        bundle: an opened bundle.
        device: where it runs: a :class:`~zoo.runtime.device.Device`, or the name of a provider.
        threads: CPU threads, or None for ONNX Runtime's choice.
        samplers: where samplers are looked up by name.

    Raises:
        BundleError: the manifest's programs and graphs do not fit together.
        MissingDependencyError: ONNX Runtime is not installed.
        UnknownNameError, ProviderError: see :class:`~zoo.runtime.session.Session`.
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
        self._opened = OpenBundle(bundle, device, threads, samplers=samplers)
        self._sampler = BundleSampler(self._opened)
        self._scorer = BundleScorer(self._opened)

    @property
    def bundle(self) -> Bundle:
        """The opened bundle."""
        return self._opened.bundle

    @property
    def device(self) -> Device:
        """Where its graphs run."""
        return self._opened.device

    @property
    def samplers(self) -> Mapping[str, SamplerFunction]:
        """Where samplers are looked up by name."""
        return self._opened.samplers

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._opened.manifest

    @property
    def name(self) -> str:
        """The model's name."""
        return self._opened.name

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self._opened.event_shape

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one state of a model that samples in steps."""
        return self._opened.state_shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one sample is made from, as ``sample(noise=...)`` takes it."""
        return self._opened.noise_shape

    @property
    def condition(self) -> Condition | None:
        """What samples are conditioned on, or None."""
        return self._opened.condition

    @property
    def levels(self) -> int | None:
        """Number of values of discrete data, or None."""
        return self._opened.levels

    @property
    def modality(self) -> Modality | None:
        """What the numbers of a sample mean, where its shape does not say."""
        return self._opened.modality

    @property
    def provider(self) -> str:
        """The provider in use, ``"cpu"``, ``"cuda"`` or another."""
        return self._opened.provider

    @property
    def fallback(self) -> str | None:
        """Why ``"auto"`` uses the CPU although ONNX Runtime was built with CUDA, or None."""
        return self._opened.fallback

    def session(self, graph: str) -> Session:
        """One of the bundle's graphs, loaded when first asked for.

        Raises:
            UsageError: the bundle has no such graph.
            BundleError, RuntimeFailure: it cannot be loaded.
        """
        return self._opened.session(graph)

    # -- samples ----------------------------------------------------------------------------------------------------

    def table(
        self,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        **options: Any,
    ) -> StepTable | None:
        """The step table that these arguments of :meth:`sample` stand for; None for a model that samples in one call.

        Raises:
            UnknownNameError: no such sampler.
            UsageError: steps, guidance or options that the sampler or the model cannot take.
        """
        asked = {"sampler": sampler, "steps": steps, "guidance": guidance, **options}
        return self._sampler.table(SamplingOptions.of(asked))

    def sample(
        self,
        n: int,
        *,
        condition: Any = None,
        seed: int | None = None,
        noise: Any = None,
        fused: bool = False,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
        **options: Any,
    ) -> Samples:
        """Draw samples.

        Args:
            n: how many.
            condition: one class (number or label) or vector for all, or ``n`` of them; None gives every class in turn.
            seed: key of the specified noise; None draws one from the system.
            noise: standard normal noise ``[n, *noise_shape]`` to start from, instead of that of ``seed``.
            fused: run the bundle's fused graph, the whole sampler in one call, with the sampler that is in it.
            batch_size: samples in one call of a graph; None bounds the memory that a batch takes.
            progress: called with (graph calls done, graph calls in all).
            preview: called after each step with (row, slice of the samples, those samples as denoised so far).
            options: of a model that samples in steps, see :meth:`begin`.

        Returns:
            float32 ``[n, *event_shape]`` in data units.

        Raises:
            UsageError, DataError, ConditionError: an argument that this model cannot take; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite, with the step at which that began.
        """
        return self._sampler.sample(
            n,
            condition=condition,
            seed=seed,
            options=SamplingOptions.of({"noise": noise, **options}),
            fused=fused,
            batch_size=batch_size,
            progress=progress,
            preview=preview,
        )

    def begin(
        self, n: int, *, condition: Any = None, seed: int | None = None, noise: Any = None, **options: Any
    ) -> SamplerState:
        """The state before the first step of a model that samples in steps.

        Args:
            n: number of samples.
            condition: as for :meth:`sample`, like what follows.
            seed: likewise.
            noise: likewise.
            options:
                - ``sampler``: name of a sampler or a finished table; None is the model's own choice.
                - ``steps``: number of steps.
                - ``guidance``: weight of classifier-free guidance (1 is none, 0 ignores the class), or a
                  :class:`~zoo.samplers.Guidance` with its interval and rescaling.
                - ``negative``: class to guide away from, instead of from no class; as ``condition``.
                - ``init``: data ``[n, *event_shape]``, or one event for all, to start from. Integers of a model of
                  discrete data stand for the middle of their bins.
                - ``strength``: in [0, 1]: how much of the way from noise to data is taken again; 1 unless given.
                - ``mask``: broadcastable to ``[n, *event_shape]``, 1 where to sample and 0 where ``init`` is kept.
                - the sampler's own.

        Raises:
            UsageError, UnknownNameError, DataError, ConditionError: an argument that this model cannot take.
        """
        asked = SamplingOptions.of({"noise": noise, **options})
        return self._sampler.begin(n, condition=condition, seed=seed, options=asked)

    def advance(
        self,
        state: SamplerState,
        rows: int | None = None,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> SamplerState:
        """Take the next ``rows`` rows of a state's table, or all that are left; the state itself is not changed.

        Args:
            state: from :meth:`begin`, :meth:`advance` or :meth:`SamplerState.load`, whoever made it.
            rows: how many.
            batch_size: as for :meth:`sample`, like what follows.
            progress: likewise.
            preview: likewise.

        Raises:
            DataError: a state of another model.
            UsageError: a number of rows that is none, or a state that this bundle's graph has not the inputs for.
            RuntimeFailure: as for :meth:`sample`.
        """
        return self._sampler.steps.advance(state, rows, batch_size=batch_size, progress=progress, preview=preview)

    def finish(
        self,
        state: SamplerState,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> Samples:
        """Take the remaining rows and return the samples; arguments and errors as for :meth:`advance`."""
        return self._sampler.finish(state, batch_size=batch_size, progress=progress, preview=preview)

    def encode(
        self,
        x: Any,
        *,
        condition: Any = None,
        steps: int | None = None,
        order: int = 2,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Samples:
        """The noise from which deterministic sampling (``sample(noise=...)``) gives data back.

        Args:
            x: data ``[n, *event_shape]``; integers of a model of discrete data stand for the middle of their bins.
            condition: as for :meth:`log_prob`.
            steps: steps of the ODE; None is the number that the model samples with.
            order: 1 or 2, see :func:`zoo.samplers.inversion.inversion`.
            batch_size: as for :meth:`sample`.
            progress: likewise.

        Returns:
            float32 ``[n, *state_shape]``, which is ``[n, *event_shape]`` unless the model has a decoder.

        Raises:
            DataError: data of the wrong shape or content.
            UsageError: a model that samples in one call, one that decodes and cannot encode, or a consistency model.
            RuntimeFailure: as for :meth:`sample`.
        """
        return self._sampler.encode(
            x, condition=condition, steps=steps, order=order, batch_size=batch_size, progress=progress
        )

    def to_latent(self, x: NDArray[Any]) -> NDArray[Any]:
        """Data ``[n, *event_shape]`` to latents ``[n, *state_shape]``; the data itself where there is no encoder.

        Raises:
            UsageError: the model decodes and cannot encode.
        """
        return self._opened.codec.to_latent(x)

    def to_data(self, latent: NDArray[Any]) -> NDArray[Any]:
        """Latents to data ``[n, *event_shape]``; what is given where there is no decoder."""
        return self._opened.codec.to_data(latent)

    # -- samples that are watched and waited for --------------------------------------------------------------------

    def stream(self, n: int, *, batch_size: int | None = None, **options: Any) -> Iterator[Frame]:
        """Draw samples, and give a frame after each step. A model that samples in one call does so here, for one frame.

        Args:
            n: how many; all of them go through a step before the next, so that all are in memory.
            batch_size: as for :meth:`sample`.
            options: of :meth:`sample` or :meth:`begin`. Whoever does not take all frames stops the run.

        Raises:
            UsageError, DataError, ConditionError: as for :meth:`sample`, before the first frame is asked for.
            RuntimeFailure: with a frame.
        """
        if self.manifest.sample.stepped and not options.get("fused"):
            options.pop("fused", None)
            return frames(self, self.begin(n, **options), self.event_shape, batch_size)
        return iter([Frame(1, 1, self.sample(n, batch_size=batch_size, **options))])

    async def stream_async(self, n: int, **options: Any) -> AsyncIterator[Frame]:
        """:meth:`stream` for ``async for``; each step runs in a thread, and others may run between.

        Cancelled, or left early, it ends with the step that is being computed.
        """
        if not self.manifest.sample.stepped or options.get("fused"):
            yield Frame(1, 1, await self.sample_async(n, **options))
            return
        async for frame in awaited_frames(partial(self.stream, n, **options)):
            yield frame

    async def sample_async(self, n: int, *, progress: Progress | None = None, **options: Any) -> Samples:
        """:meth:`sample` in a thread, for ``await``. Cancelled, it ends with the call of a graph that is being made."""
        return await awaited(lambda look: self.sample(n, progress=look, **options), progress)

    def warm_up(self, n: int = 1) -> None:
        """Load what sampling and scoring take, and run a step, so that the first request is as fast as the next.

        Args:
            n: samples in a request, where the device prepares itself for sizes.
        """
        if self.manifest.sample.stepped:
            self.advance(self.begin(n, seed=0), 1)
        else:
            self.sample(n, seed=0)
        if self.manifest.log_prob is not None:
            self.session(self.manifest.log_prob.graph)

    # -- densities --------------------------------------------------------------------------------------------------

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
        return self._scorer.score(
            x, condition=condition, seed=seed, steps=steps, probes=probes, batch_size=batch_size, progress=progress
        )

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
        parts = self._scorer.score(
            x,
            condition=condition,
            seed=seed,
            steps=steps,
            probes=probes,
            batch_size=batch_size,
            progress=progress,
            errors=True,
        )
        return LogDensity(*parts)

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
        return self._scorer.bound(
            x, condition=condition, seed=seed, steps=steps, terms=terms, batch_size=batch_size, progress=progress
        )
