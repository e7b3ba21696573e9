"""Sampling by step tables in PyTorch: the same states and rows as without it, with the model's own step."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from zoo.arrays import Array
from zoo.conditions import ConditionLike
from zoo.counts import Progress, ticker
from zoo.errors import UsageError
from zoo.models.contexts import TensorCondition, needs_gradient
from zoo.models.interface import GenerativeModel, check_count, check_seed
from zoo.overriding import override
from zoo.programs import Iterate
from zoo.samplers import Guidance, SamplingOptions, Step, StepTable, table_of
from zoo.samplers.guidance import RunCondition
from zoo.samplers.options import OptionValue, check_composition
from zoo.samplers.runs import Engine, StepFunction, Tick
from zoo.samplers.state import SamplerState, in_data_units
from zoo.samplers.stepping import StepSampler
from zoo_diffusion.graphs import StepModule

Preview = Callable[[int, Array], None]


class SteppedModel(GenerativeModel):
    """A model that samples by step tables: implement :meth:`step_module`, and set the attributes.

    Attributes:
        sampling: its program.
        state_shape: shape of one state.
    """

    drops_conditions = True
    maps_columns = True
    sampling: Iterate
    state_shape: tuple[int, ...]

    @abstractmethod
    def step_module(self) -> StepModule:
        """One row of a step table."""

    @property
    def null_class(self) -> int | None:
        """The number of the null class, or None if there is none."""
        c = self.condition
        return c.size if c is not None and c.kind == "classes" and not c.required else None

    @property
    def guides(self) -> bool:
        """Whether something stands for no condition: a null class, or a null of every part."""
        c = self.condition
        parts = () if c is None or c.plain else c.parts
        return self.null_class is not None or (bool(parts) and all(part.null is not None for part in parts))

    @property
    def sampler(self) -> StepSampler[Tensor]:
        """What draws the samples."""
        return StepSampler(TorchEngine(self))

    def table(
        self,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        *,
        strength: float | None = None,
        **options: OptionValue,
    ) -> StepTable:
        """The table of a sampler, with the model's defaults for what is None; see :func:`zoo.samplers.table_of`."""
        asked = SamplingOptions(sampler, steps, guidance, strength=strength, own=options)
        return table_of(self.sampling, asked, condition=self.condition)

    def begin(
        self,
        n: int,
        *,
        condition: TensorCondition = None,
        seed: int | None = None,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        negative: TensorCondition = None,
        compose: Sequence[tuple[TensorCondition, float]] | None = None,
        init: Tensor | ArrayLike | None = None,
        strength: float | None = None,
        mask: Tensor | ArrayLike | None = None,
        noise: Tensor | ArrayLike | None = None,
        **options: OptionValue,
    ) -> SamplerState:
        """The state before the first step; arguments as for :meth:`sample`."""
        seed, n = check_seed(seed), check_count(n)
        asked = SamplingOptions(
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            negative=negative if isinstance(negative, Mapping) else as_numpy(negative),
            compose=_detached(compose),
            init=as_numpy(init),
            strength=strength,
            mask=as_numpy(mask),
            noise=as_numpy(noise),
            own=options,
        )
        return self.sampler.begin(
            n, seed=seed, condition=self.state_condition(asked.first(condition), n), options=asked
        )

    def state_condition(
        self, condition: TensorCondition, n: int, lengths: Mapping[int | str, int] | None = None
    ) -> Any:
        """The condition of ``n`` samples as a state holds it: None, an array, or arrays by name, as encoded.

        Tokens and sequences are filled up to the given lengths, if any.
        """
        if not self.takes_parts:
            return self.condition_array(condition, n)
        own = {**self._lengths(condition, n), **(lengths or {})}
        with torch.no_grad():
            tensors = self.graph_condition(condition, n, own)
        arrays = {name: as_numpy(each) for name, each in tensors.items()}
        return Named(arrays, own, lambda longer: self.state_condition(condition, n, longer))

    def _lengths(self, condition: TensorCondition, n: int) -> dict[int | str, int]:
        described = self.condition
        if described is None or not any(part.mask for part in described.parts):
            return {}
        return described.lengths(self.condition_tensors(condition, n))

    def _common(self, n: int, condition: TensorCondition, negative: TensorCondition) -> dict[int | str, int]:
        """The lengths of a condition's tokens and sequences, and of those of what it is guided away from."""
        if not self.takes_parts:
            return {}
        own = self._lengths(condition, n)
        if negative is not None:
            other = self._lengths(negative, n)
        elif self.condition is not None and all(part.null is not None for part in self.condition.parts):
            other = self.condition.lengths(self.condition.nulls(own))
        else:
            other = {}
        return {name: max(length, other.get(name, 0)) for name, length in own.items()}

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

        def tell(done: int, _: int) -> None:
            if progress is not None:
                progress(state.row + done, len(state.table))

        def show(row: int, _: slice, x: Tensor) -> None:
            if preview is not None:
                preview(row, as_numpy(x))

        return self.sampler.advance(state, rows, progress=tell, preview=None if preview is None else show)

    def finish(
        self, state: SamplerState, *, progress: Progress | None = None, preview: Preview | None = None
    ) -> Tensor:
        """Take the rows that are left and return the samples ``[n, *event_shape]`` in data units."""
        return self.sampler.samples(self.advance(state, progress=progress, preview=preview))

    def sample(
        self,
        n: int,
        *,
        condition: TensorCondition = None,
        seed: int | None = None,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | Guidance | None = None,
        negative: TensorCondition = None,
        compose: Sequence[tuple[TensorCondition, float]] | None = None,
        init: Tensor | ArrayLike | None = None,
        strength: float | None = None,
        mask: Tensor | ArrayLike | None = None,
        noise: Tensor | ArrayLike | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
        **options: OptionValue,
    ) -> Tensor:
        """Draw ``n`` samples by a step table.

        Args:
            n: how many.
            condition: classes or vectors; None gives every class in turn.
            seed: key of the specified noise.
            sampler: a name or a finished table; None for the model's default, like what follows.
            steps: number of steps.
            guidance: weight of classifier-free guidance, or a :class:`~zoo.samplers.Guidance`.
            negative: what to guide away from, instead of the null; as ``condition``.
            compose: ``[(condition, weight), ...]`` instead of ``condition`` and ``guidance``: the conditions of a
                composition, see :class:`~zoo.samplers.SamplingOptions`.
            init: data ``[n, *event_shape]`` to start from.
            strength: in [0, 1]: the share of the trajectory from noise to data that is run.
            mask: 1 where to sample and 0 where to keep ``init``.
            noise: standard normal noise to start from, instead of that of ``seed``.
            progress: called with (steps done, steps in all).
            preview: called after each step with (step, the denoised samples so far).
            options: of the sampler.

        Returns:
            ``[n, *event_shape]`` in data units; with a gradient, through every step, if the condition is a tensor that
            wants one.
        """
        state = self.begin(
            n,
            condition=condition,
            seed=seed,
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            negative=negative,
            compose=compose,
            init=init,
            strength=strength,
            mask=mask,
            noise=noise,
            **options,
        )
        if not needs_gradient(condition):
            return self.finish(state, progress=progress, preview=preview)

        def show(row: int, denoised: Any) -> None:
            if preview is not None:
                preview(row, as_numpy(self._decoded(in_data_units(self.sampling, as_numpy(denoised)))))

        engine = TorchEngine(self, self.graph_condition(condition, n, self._common(n, condition, negative)))
        shown = None if preview is None else show
        return self._to_data(engine.run(state, None, ticker(progress, len(state.table)), shown)[0])

    def _to_data(self, x: Tensor) -> Tensor:
        """:func:`~zoo.samplers.state.to_data` and what follows it, for the last states ``[n, *state_shape]``."""
        data, program = self.sampling.shift + self.sampling.scale * x, self.sampling
        if program.data_min is not None and program.data_max is not None:
            data = data.clamp(program.data_min, program.data_max)
        return self._data(data)

    def _latents(self, x: Array) -> Array:
        """Data ``[n, *event_shape]`` as what is diffused."""
        return x

    @torch.no_grad()
    def _decoded(self, latents: Array) -> Tensor:
        """What is diffused, as data."""
        return self._data(torch.from_numpy(latents).to(self.device))

    def _data(self, latents: Tensor) -> Tensor:
        """The same of a tensor, with its gradient."""
        return latents


class Named(dict[str, Array]):
    """Arrays of a condition by name.

    Attributes:
        lengths: of the tokens and sequences that they were encoded from.
        longer: encodes them again, filled up to other lengths.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        lengths: Mapping[int | str, int],
        longer: Callable[[Mapping[int | str, int]], Named],
    ) -> None:
        super().__init__(arrays)
        self.lengths, self.longer = lengths, longer


def check_precision(dtype: torch.dtype, what: str) -> None:
    """Refuse a model of 16 bits, in which noise levels overflow and the sums of steps and densities have no digits.

    Raises:
        UsageError: with what to do instead.
    """
    if dtype not in (torch.float32, torch.float64):
        raise UsageError(
            f"a diffusion cannot {what} in {str(dtype).removeprefix('torch.')}: what its steps add up needs float32",
            hint="Keep the model in float32, and call it under torch.autocast, which computes the network in "
            "16 bits; or export it with `--dtype float16`.",
        )


class TorchEngine(Engine[Tensor, Tensor]):
    """A model's own step, in PyTorch.

    Args:
        model: the model.
        condition: a condition ``[n]`` or ``[n, d]`` with a gradient, or such tensors by name, which takes the place of
            the state's own; or None.
    """

    name = "this model"

    def __init__(self, model: SteppedModel, condition: Tensor | Mapping[str, Tensor] | None = None) -> None:
        check_precision(model.dtype, "sample")
        self._model = model
        self._condition, self._differentiable = condition, condition is not None
        self.program, self.described = model.sampling, model.condition
        self.event_shape, self.state_shape = model.event_shape, model.state_shape
        self.dtype = np.float64 if model.dtype == torch.float64 else np.float32

    @override
    def condition(self, condition: ConditionLike, n: int) -> RunCondition:
        own: RunCondition = self._model.state_condition(condition, n)
        return own

    @override
    def null(self, n: int, condition: RunCondition) -> RunCondition:
        described = self._model.condition
        if not isinstance(condition, Named) or described is None or described.plain:
            return None

        def filled(lengths: Mapping[int | str, int]) -> Named:
            with torch.no_grad():
                nulls = self._model.null_condition(n, lengths) or {}
            own = described.lengths(described.nulls(lengths))
            return Named({name: as_numpy(each) for name, each in nulls.items()}, own, filled)

        return filled(condition.lengths)

    @override
    def even(self, *conditions: RunCondition) -> tuple[RunCondition, ...]:
        lengths: dict[int | str, int] = {}
        for each in conditions:
            for name, length in each.lengths.items() if isinstance(each, Named) else ():
                lengths[name] = max(lengths.get(name, 0), length)
        return tuple(
            each.longer(lengths) if isinstance(each, Named) and each.lengths != lengths else each for each in conditions
        )

    @override
    def to_latent(self, x: Array) -> Array:
        return self._model._latents(x)

    @override
    def to_data(self, latent: Array) -> Tensor:
        return self._model._decoded(latent)

    @override
    def run(
        self, state: SamplerState, rows: int | None, tick: Tick, preview: Callable[[int, Array], None] | None
    ) -> Any:
        # a tensor comes back if the condition has a gradient
        with contextlib.nullcontext() if self._differentiable else torch.no_grad():
            return super().run(state, rows, tick, preview)

    @override
    def stepping(
        self, state: SamplerState, *, denoises: bool
    ) -> AbstractContextManager[tuple[Tensor, StepFunction[Tensor]]]:
        model, module = self._model, self._model.step_module()

        def step(slots: Tensor, row: Step, inputs: dict[str, Array]) -> tuple[Tensor, Tensor]:
            tensors = {name: tensor_of(array).to(model.device) for name, array in inputs.items()}
            # at guidance 0 the condition is not evaluated; else it is the first
            if self._condition is not None and row.guidance != 0:
                own = self._condition if isinstance(self._condition, Mapping) else {"condition": self._condition}
                tensors |= {name: torch.cat([each[None], tensors[name][1:]]) for name, each in own.items()}
            following, denoised = module(slots, *(tensors[name] for name in module.names))
            return following, denoised

        return contextlib.nullcontext((torch.from_numpy(state.slots).to(model.device, model.dtype), step))

    @override
    def fetch(self, values: Tensor) -> Any:
        return values if self._differentiable else as_numpy(values)


def tensor_of(array: Array) -> Tensor:
    """An array as a tensor, copied where it is somebody else's to write."""
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


def _detached(compose: Sequence[tuple[TensorCondition, float]] | None) -> Any:
    """A composition whose tensors are arrays, as far as they have no names."""
    if compose is None:
        return None
    check_composition(compose)
    if any(needs_gradient(each) for each, _ in compose):
        raise UsageError("a composition gives no gradient of its conditions: detach them")
    return [(each if isinstance(each, Mapping) else as_numpy(each), weight) for each, weight in compose]


@overload
def as_numpy(value: Tensor) -> Array: ...
@overload
def as_numpy(value: Tensor | None) -> Array | None: ...
@overload
def as_numpy(value: Tensor | ArrayLike | None) -> ArrayLike | None: ...
def as_numpy(value: Tensor | ArrayLike | None) -> ArrayLike | None:
    """A tensor as an array, of float32 where NumPy has no such numbers; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    plain = value.detach().cpu()
    # what autocast makes of a condition's encoder
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
