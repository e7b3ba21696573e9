"""A bundle as a model: :class:`BundledModel` samples and scores with ONNX Runtime and NumPy alone."""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bundle import Bundle, Manifest
from zoo.conditions import Condition
from zoo.errors import ConditionError, RuntimeFailure, UsageError
from zoo.noise import check_seed
from zoo.programs import Direct, Integrate, Iterate
from zoo.runtime import contract, data, direct, integrate, iterate
from zoo.runtime.session import Session, choose_provider
from zoo.samplers import BUILTIN, SamplerFunction, StepTable, table_for

Progress = Callable[[int, int], None]

#: numbers in one batch of states: networks hold some hundred times as many in between (100 MB or so at this size)
_BATCH_NUMBERS = {"cpu": 1 << 16, "cuda": 1 << 20}
_LARGEST_BATCH = 4096
_LARGEST_COUNT = 1 << 32  # the sample's index is one 32-bit word of the noise's counter


class BundledModel:
    """What :func:`zoo.runtime.load` returns. The same seed gives the same samples, whatever the batch size.

    Args:
        bundle: an opened bundle.
        provider: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where it works and the CPU elsewhere.
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
        provider: str = "auto",
        threads: int | None = None,
        *,
        samplers: Mapping[str, SamplerFunction] = BUILTIN,
    ) -> None:
        contract.check(bundle)
        choose_provider(provider)
        self.bundle = bundle
        self.samplers = samplers
        self._asked, self._threads = provider, threads
        self._sessions: dict[str, Session] = {}

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.manifest.model.get("name", self.bundle.folder.name))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.manifest.event_shape

    @property
    def condition(self) -> Condition | None:
        """What samples are conditioned on, or None."""
        return self.manifest.condition

    @property
    def levels(self) -> int | None:
        """Number of values of discrete data, or None."""
        return self.manifest.levels

    @property
    def provider(self) -> str:
        """The provider in use, ``"cpu"`` or ``"cuda"``."""
        return self._some_session().provider

    @property
    def fallback(self) -> str | None:
        """Why ``"auto"`` uses the CPU although ONNX Runtime was built with CUDA, or None."""
        return self._some_session().fallback

    def session(self, graph: str) -> Session:
        """One of the bundle's graphs, loaded when first asked for.

        Raises:
            UsageError: the bundle has no such graph.
            BundleError, RuntimeFailure: it cannot be loaded.
        """
        if graph not in self.manifest.graphs:
            raise UsageError(f"{self.name} has no graph {graph}", hint=f"There are: {', '.join(self.manifest.graphs)}.")
        if graph not in self._sessions:
            info = self.manifest.graphs[graph]
            self._sessions[graph] = Session(
                self.bundle.file(info.file), self._asked, self._threads, inputs=info.inputs, outputs=info.outputs
            )
        return self._sessions[graph]

    # -- sampling ---------------------------------------------------------------------------------------------------

    def table(
        self,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        **options: Any,
    ) -> StepTable | None:
        """The step table that these arguments of :meth:`sample` stand for; None for a model that samples in one call.

        Raises:
            UnknownNameError: no such sampler.
            UsageError: steps, guidance or options that the sampler or the model cannot take.
        """
        program = self.manifest.sample
        if isinstance(program, Iterate):
            return table_for(program, sampler, steps, guidance, samplers=self.samplers, **options)
        given = {"sampler": sampler, "steps": steps, "guidance": guidance, **options}
        if refused := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"{self.name} samples in one call and has no option {', '.join(refused)}")
        return None

    def sample(
        self,
        n: int,
        *,
        condition: Any = None,
        seed: int | None = None,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> NDArray[np.float32]:
        """Draw samples.

        Args:
            n: how many.
            condition: one class (number or label) or vector for all, or ``n`` of them; None gives every class in turn.
            seed: key of the specified noise; None draws one from the system.
            sampler: name of a sampler or a finished table; None is the model's own choice, as for what follows.
            steps: number of steps.
            guidance: weight of classifier-free guidance; 1 is none, 0 ignores the class.
            batch_size: samples in one call of a graph; None bounds the memory that a batch takes.
            progress: called with (graph calls done, graph calls in all).
            options: the sampler's own.

        Returns:
            float32 ``[n, *event_shape]`` in data units.

        Raises:
            UsageError: an argument that this model cannot take; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite, with the step at which that began.
        """
        n, seed = _count("samples", n, _LARGEST_COUNT), fresh_seed() if seed is None else check_seed(seed)
        program = self.manifest.sample
        table = self.table(sampler, steps, guidance, **options)
        conditions = self._condition(condition, n)
        samples = self._empty(n)
        session = self.session(program.graph)
        batches = self._batches(n, batch_size, session)
        tick = _ticker(progress, len(batches) * (1 if table is None else len(table)))
        for part in batches:
            first, size = part.start, part.stop - part.start
            given = None if conditions is None else conditions[part]
            if isinstance(program, Iterate) and table is not None:
                samples[part] = iterate.sample(
                    session,
                    program,
                    table,
                    event_shape=self.event_shape,
                    seed=seed,
                    first=first,
                    n=size,
                    condition=given,
                    tick=tick,
                )
            elif isinstance(program, Direct):
                samples[part] = direct.sample(session, program, seed=seed, first=first, n=size, condition=given)
                tick()
        finite = np.isfinite(samples).reshape(n, -1).all(1)
        if not finite.all():
            raise RuntimeFailure(
                f"{np.count_nonzero(~finite)} of {n} samples of {self.name} are not finite, "
                f"the first is sample {int(np.argmin(finite))}"
            )
        return samples

    # -- scoring ----------------------------------------------------------------------------------------------------

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
            probes: Rademacher probes averaged for a diffusion's trace; likewise.
            batch_size: data in one call of a graph.
            progress: called with (graph calls done, graph calls in all).

        Returns:
            float64 ``[n]``, nats in the units of the data. Data outside the support of the model has -∞.

        Raises:
            DataError: data of the wrong shape, dtype or content.
            UsageError: the bundle cannot score, or an argument makes no sense; nothing was run.
            RuntimeFailure: ONNX Runtime failed, or a value is not finite.
        """
        seed = check_seed(seed)
        program = self.manifest.log_prob
        if program is None:
            raise UsageError(f"{self.name} cannot score data: its bundle has no program for log_prob")
        values = data.events(x, self.event_shape, self.levels, seed=seed)
        conditions = self._scoring_condition(condition, len(values))
        calls = 1
        if isinstance(program, Integrate):
            steps = _count("steps", program.steps if steps is None else steps)
            probes = _count("probes", program.probes if probes is None else probes)
            calls = steps * probes * integrate.EVALUATIONS_PER_STEP
        elif refused := [name for name, value in {"steps": steps, "probes": probes}.items() if value is not None]:
            raise UsageError(f"{self.name} scores exactly, in one call, and has no option {', '.join(refused)}")
        session = self.session(program.graph)
        density = np.empty(len(values))
        batches = self._batches(len(values), batch_size, session)
        tick = _ticker(progress, len(batches) * calls)
        for part in batches:
            given = None if conditions is None else conditions[part]
            if isinstance(program, Integrate) and steps is not None and probes is not None:
                density[part] = integrate.log_prob(
                    session,
                    program,
                    values[part],
                    given,
                    seed=seed,
                    steps=steps,
                    probes=probes,
                    first=part.start,
                    tick=tick,
                )
            else:
                density[part] = direct.log_prob(session, values[part], given)
                tick()
        wrong = np.isnan(density) | (density == np.inf)
        if wrong.any():
            raise RuntimeFailure(
                f"{np.count_nonzero(wrong)} of {len(density)} log-densities of {self.name} are not numbers, "
                f"the first is that of datum {int(np.argmax(wrong))}"
            )
        return density

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _some_session(self) -> Session:
        return next(iter(self._sessions.values()), None) or self.session(self.manifest.sample.graph)

    def _condition(self, condition: Any, n: int) -> NDArray[Any] | None:
        if self.condition is None:
            if condition is not None:
                raise ConditionError(f"{self.name} takes no condition")
            return None
        return self.condition.array(condition, n)

    def _scoring_condition(self, condition: Any, n: int) -> NDArray[Any] | None:
        if self.condition is None or condition is not None:
            return self._condition(condition, n)
        null = getattr(self.manifest.log_prob, "null_class", None)
        if null is None:
            raise ConditionError(f"scoring with {self.name} needs the {self.condition.kind} of the data")
        return np.full(n, null, np.int32)

    def _empty(self, n: int) -> NDArray[np.float32]:
        try:
            return np.empty((n, *self.event_shape), np.float32)
        except (MemoryError, ValueError) as error:
            raise UsageError(
                f"{n} samples of shape {self.event_shape} do not fit into memory", hint="Draw fewer at a time."
            ) from error

    def _batches(self, n: int, batch_size: int | None, session: Session) -> list[slice]:
        """Slices of nearly equal size that cover ``n`` samples."""
        if batch_size is None:
            size = _BATCH_NUMBERS[session.provider] // max(math.prod(self.event_shape), 1)
            size = min(max(size, 1), _LARGEST_BATCH)
        else:
            size = _count("samples in a batch", batch_size)
        count = -(-n // size)
        edges = [n * i // count for i in range(count + 1)]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]


def fresh_seed() -> int:
    """A seed from the system, short enough to be written down."""
    return secrets.randbits(32)


def _count(what: str, value: Any, largest: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise UsageError(f"the number of {what} is a whole number from 1 up, not {value!r}")
    if largest is not None and value > largest:
        raise UsageError(f"the number of {what} is at most {largest}, not {value}")
    return int(value)


def _ticker(progress: Progress | None, total: int) -> Callable[[], None]:
    """A function that counts its calls and tells ``progress``."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return tick
