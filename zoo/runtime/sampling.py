"""Sampling with a bundle: all at once, or step by step; from noise, from data, or back to noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import RuntimeFailure, UsageError
from zoo.noise import check_seed
from zoo.paths import path_from, require_gaussian
from zoo.programs import Iterate
from zoo.progress import Progress
from zoo.runtime import data, iterate
from zoo.runtime.coding import Coding
from zoo.runtime.numbers import checked_count
from zoo.runtime.opened import LARGEST_COUNT, fresh_seed, ticker
from zoo.runtime.runners import runner_of
from zoo.runtime.running import Preview, SampleRequest, Samples
from zoo.samplers import Guidance, StepTable, check_strength, inversion, table_for
from zoo.samplers.consistency import CONSISTENCY
from zoo.samplers.state import SamplerState, begin, check_event_shape, encoded, spread, to_data


class Sampling(Coding):
    """What of a bundle's model draws samples."""

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
        given = {"sampler": sampler, "steps": steps, "guidance": guidance, **options}
        program = self.manifest.sample
        return runner_of(program).table(self, program, given)

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
        n, seed = checked_count("samples", n, LARGEST_COUNT), fresh_seed() if seed is None else check_seed(seed)
        program = self.manifest.fused if fused else self.manifest.sample
        if program is None:
            raise UsageError(f"{self.name} has no fused graph", hint="Export it with --fused.")
        conditions = self._condition(condition, n)
        drawing = runner_of(program).sampling(
            self, program, SampleRequest(n, conditions, seed, noise, preview, options)
        )
        batches = self._batches(n, batch_size, self.session(program.graph), program.work)
        samples = self._empty(n)
        tick = ticker(progress, len(batches) * drawing.calls)
        for part in batches:
            samples[part] = drawing.draw(part, tick)
        return self._finite(samples)

    # -- step by step -----------------------------------------------------------------------------------------------

    def begin(
        self, n: int, *, condition: Any = None, seed: int | None = None, noise: Any = None, **options: Any
    ) -> SamplerState:
        """The state before the first step of a model that samples in steps.

        Args:
            n: how many samples.
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
        n, seed = checked_count("samples", n, LARGEST_COUNT), fresh_seed() if seed is None else check_seed(seed)
        _, start = self.starting(n, condition=condition, seed=seed, noise=noise, **options)
        try:
            return start(slice(0, n))
        except MemoryError as error:
            raise self._too_many(n) from error

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
        program = self._iterated()
        check_event_shape(state, self.state_shape)
        left = len(state.table) - state.row
        rows = left if rows is None else min(left, checked_count("rows", rows))
        session = self.session(program.graph)
        batches = self._batches(state.n, batch_size, session)
        tick = ticker(progress, len(batches) * rows)
        slots = np.empty_like(state.slots)
        for part in batches:
            slots[:, part] = self.advanced(state.part(part), rows, part, tick, preview).slots
        return state.moved(slots, state.row + rows)

    def finish(
        self,
        state: SamplerState,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> Samples:
        """Take the rows that are left and return the samples; arguments and errors as for :meth:`advance`."""
        ended = self.advance(state, batch_size=batch_size, progress=progress, preview=preview)
        return self._finite(self.to_data(to_data(self._iterated(), ended)))

    # -- back to noise ----------------------------------------------------------------------------------------------

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
        program = self._iterated()
        if program.sampler in CONSISTENCY:
            raise UsageError(f"{self.name} is a consistency model: it has no ODE that turns data into noise")
        path = require_gaussian(path_from(program.path))
        values = data.events(data.centred(x, self.levels), self.event_shape, None)
        table = inversion(path, program.steps if steps is None else steps, order=order)
        given = self._scoring_condition(condition, len(values))
        latents = self.to_latent(values)
        state = begin(program, table, self.state_shape, len(values), seed=0, condition=given, init=latents)
        return self._finite(encoded(self.advance(state, batch_size=batch_size, progress=progress), path))

    # -- helpers ----------------------------------------------------------------------------------------------------

    def starting(
        self,
        n: int,
        *,
        condition: Any,
        seed: int,
        noise: Any,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        negative: Any = None,
        init: Any = None,
        strength: float | None = None,
        mask: Any = None,
        **options: Any,
    ) -> tuple[StepTable, Callable[[slice], SamplerState]]:
        """The table, and what begins some of ``n`` samples; arguments as for :meth:`begin`, all checked."""
        program = self._iterated()
        if strength is not None:
            check_strength(strength)
        # at strength 0 nothing is run, whatever the table
        table = table_for(
            program, sampler, steps, guidance, strength=strength or None, samplers=self.samplers, **options
        )
        arrays: dict[str, NDArray[Any] | None] = {
            "condition": self._condition(condition, n),
            "other": None if negative is None else self._condition(negative, n),
        }
        if init is not None:
            values = data.centred(init, self.levels)
            spread_out = spread(values, self.event_shape, n, "the data to start from")
            arrays["init"] = self.to_latent(spread_out)
        if mask is not None:
            if self.state_shape != self.event_shape:
                raise UsageError(f"{self.name} keeps no part of its data: one number of a state is of all of a sample")
            arrays["mask"] = spread(mask, self.event_shape, n, "the mask")
        if noise is not None:
            arrays["noise"] = spread(noise, self.noise_shape, n, "the noise to start from")

        def start(part: slice) -> SamplerState:
            given: dict[str, Any] = {name: None if a is None else a[part] for name, a in arrays.items()}
            size = part.stop - part.start
            return begin(
                program, table, self.state_shape, size, seed=seed, first=part.start, strength=strength, **given
            )

        start(slice(0, 1))  # refuses what is wrong before anything runs
        return table, start

    def advanced(
        self,
        state: SamplerState,
        rows: int | None,
        part: slice,
        tick: Callable[[], None],
        preview: Preview | None,
    ) -> SamplerState:
        """The state of one batch after its next rows: samples ``part`` of a run."""
        program = self._iterated()
        session = self.session(program.graph)
        n, whole = state.n, state if self.manifest.batch is None else state.padded(self.manifest.batch)
        shown: iterate.Preview | None = None
        if preview is not None:
            see = preview

            def shown(row: int, x: NDArray[Any]) -> None:
                see(row, part, self.to_data(x[:n]))

        return iterate.advance(session, program, whole, rows, tick=tick, preview=shown).part(slice(0, n))

    def _iterated(self) -> Iterate:
        return self.manifest.sample.stepping(self.name)

    def _finite(self, samples: Samples) -> Samples:
        finite = np.isfinite(samples).reshape(len(samples), -1).all(1)
        if not finite.all():
            raise RuntimeFailure(
                f"{np.count_nonzero(~finite)} of {len(samples)} samples of {self.name} are not finite, "
                f"the first is sample {int(np.argmin(finite))}"
            )
        return samples

    def _empty(self, n: int) -> Samples:
        try:
            return np.empty((n, *self.event_shape), np.float32)
        except (MemoryError, ValueError) as error:
            raise self._too_many(n) from error

    def _too_many(self, n: int) -> UsageError:
        return UsageError(
            f"{n} samples of shape {self.event_shape} do not fit into memory", hint="Draw fewer at a time."
        )
