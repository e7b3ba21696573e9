"""Sampling by step tables in PyTorch: the same states and rows as without it, with the model's own step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.models.contexts import needs_gradient
from zoo.models.interface import GenerativeModel, check_count, check_seed
from zoo.programs import Iterate
from zoo.progress import Progress
from zoo.samplers import Guidance, StepTable, check_strength, table_for
from zoo.samplers.state import RowInputs, SamplerState, begin, check_event_shape, in_data_units, to_data
from zoo_diffusion.graphs import StepModule

Preview = Callable[[int, NDArray[Any]], None]


class Iterated(GenerativeModel):
    """What of a diffusion draws samples.

    Attributes:
        sampling: its program.
        state_shape: shape of one state.
    """

    sampling: Iterate
    state_shape: tuple[int, ...]

    @abstractmethod
    def step_module(self) -> StepModule:
        """One row of a step table."""

    def table(
        self,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        **options: Any,
    ) -> StepTable:
        """The table of a sampler, with the model's defaults for what is None; see :func:`zoo.samplers.table_for`."""
        return table_for(self.sampling, sampler, steps, guidance, **options)

    def begin(
        self,
        n: int,
        *,
        condition: Any = None,
        seed: int | None = None,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        negative: Any = None,
        init: Any = None,
        strength: float | None = None,
        mask: Any = None,
        noise: Any = None,
        **options: Any,
    ) -> SamplerState:
        """The state before the first step; arguments as for :meth:`sample`."""
        seed, n = check_seed(seed), check_count(n)
        if strength is not None:
            check_strength(strength)
        return begin(
            self.sampling,
            self.table(sampler, steps, guidance, strength=strength or None, **options),
            self.state_shape,
            n,
            seed=seed,
            condition=self.condition_array(condition, n),
            other=None if negative is None else self.condition_array(negative, n),
            init=self._starting(init),
            strength=strength,
            mask=as_numpy(mask),
            noise=as_numpy(noise),
            dtype=self._numpy_dtype,
        )

    @torch.no_grad()
    def advance(
        self,
        state: SamplerState,
        rows: int | None = None,
        *,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> SamplerState:
        """Take the next ``rows`` rows of the table, or all that are left. ``state`` itself is not changed.

        Args:
            state: from :meth:`begin`, :meth:`advance`, or a file that either wrote, PyTorch or not.
            rows: how many.
            progress: called with (rows done, rows in all).
            preview: called after each row with (row, the denoised samples ``[n, *event]`` in data units).
        """
        slots, index = self._advanced(state, rows, progress, preview)
        return state.moved(slots.cpu().numpy(), index)

    def _advanced(
        self,
        state: SamplerState,
        rows: int | None,
        progress: Progress | None,
        preview: Preview | None,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, int]:
        """Slots and row after the next rows; a condition with a gradient takes the place of the state's own."""
        check_event_shape(state, self.state_shape)
        step = self.step_module()
        slots = torch.from_numpy(state.slots).to(self.device, self.dtype)
        index = state.row
        with RowInputs(self.sampling, state, self._numpy_dtype) as inputs:
            for row in state.remaining(rows):
                given = {name: tensor_of(array).to(self.device) for name, array in inputs(row).items()}
                # at guidance 0 the condition is not evaluated; else it is the first
                if condition is not None and row.guidance != 0:
                    given["condition"] = torch.cat([condition[None], given["condition"][1:]])
                slots, d = step(slots, *(given[name] for name in step.names))
                index = row.index + 1
                if preview is not None:
                    preview(row.index, as_numpy(self._decoded(in_data_units(self.sampling, as_numpy(d)))))
                if progress is not None:
                    progress(index, len(state.table))
        return slots, index

    def finish(self, state: SamplerState, **watching: Any) -> Tensor:
        """Take the rows that are left and return the samples ``[n, *event_shape]`` in data units."""
        return self._decoded(to_data(self.sampling, self.advance(state, **watching)))

    def sample(
        self,
        n: int,
        *,
        condition: Any = None,
        seed: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
        **options: Any,
    ) -> Tensor:
        """Draw ``n`` samples by a step table.

        Args:
            n: how many.
            condition: classes or vectors; None gives every class in turn.
            seed: key of the specified noise.
            progress: called with (steps done, steps in all).
            preview: called after each step with (step, the denoised samples so far).
            options: those of :meth:`begin`: ``sampler`` (a name or a finished table), ``steps``, ``guidance`` (a weight
                or :class:`~zoo.samplers.Guidance`), ``negative`` (a class to guide away from), ``init`` (data to start
                from) with ``strength`` and ``mask``, ``noise`` (to start from, instead of that of ``seed``), and the
                sampler's own.

        Returns:
            ``[n, *event_shape]`` in data units; with a gradient, through every step, if the condition is a tensor that
            wants one.
        """
        state = self.begin(n, condition=condition, seed=seed, **options)
        if not needs_gradient(condition):
            return self.finish(state, progress=progress, preview=preview)
        given = self.condition_tensor(condition, n)
        slots, _ = self._advanced(state, None, progress, preview, given)
        return self._to_data(slots[0])

    def _to_data(self, x: Tensor) -> Tensor:
        """:func:`~zoo.samplers.state.to_data` and what follows it, for the last states ``[n, *state_shape]``."""
        data, program = self.sampling.shift + self.sampling.scale * x, self.sampling
        if program.data_min is not None and program.data_max is not None:
            data = data.clamp(program.data_min, program.data_max)
        return self._data(data)

    @property
    def _numpy_dtype(self) -> Any:
        return np.float64 if self.dtype == torch.float64 else np.float32

    def _starting(self, init: Any) -> Any:
        """Data to start from, one event or many, as an array of what is diffused; None if there are none."""
        return as_numpy(init)

    @torch.no_grad()
    def _decoded(self, latents: NDArray[Any]) -> Tensor:
        """What is diffused, as data."""
        return self._data(torch.from_numpy(latents).to(self.device))

    def _data(self, latents: Tensor) -> Tensor:
        """The same of a tensor, with its gradient."""
        return latents


def tensor_of(array: NDArray[Any]) -> Tensor:
    """An array as a tensor, copied where it is somebody else's to write."""
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


def as_numpy(value: Any) -> Any:
    """A tensor as an array; anything else as it is."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
