"""How programs are run: a runner for each kind. What a plugin implements for a kind of its own is :class:`Runner`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zoo.bundle.manifest import Manifest
from zoo.errors import BundleError, UsageError
from zoo.programs import Integrate, Program
from zoo.runtime.session import Session
from zoo.samplers import SamplerFunction, StepTable
from zoo.samplers.state import SamplerState

Samples = NDArray[np.float32]
Tick = Callable[[], None]
#: (row, slice of the samples, the denoised samples [n, *event] of that slice in data units)
Preview = Callable[[int, slice, NDArray[Any]], None]


@dataclass(frozen=True)
class Drawing:
    """What draws samples, batch by batch.

    Attributes:
        draw: a slice of the samples, and what is to be called after each call of a graph, to those samples.
        calls: calls of a graph for each batch.
    """

    draw: Callable[[slice, Tick], Samples]
    calls: int = 1


@dataclass(frozen=True)
class Scores:
    """What scores data, batch by batch.

    Attributes:
        score: a slice of the data, and what is to be called after each call of a graph, to log-densities ``[n]`` in
            float64, or ``[4, n]`` with their errors.
        calls: calls of a graph for each batch.
    """

    score: Callable[[slice, Tick], NDArray[np.float64]]
    calls: int = 1


@dataclass(frozen=True)
class SampleRequest:
    """What :meth:`zoo.runtime.BundledModel.sample` was asked for, with condition and seed settled.

    Attributes:
        n: how many samples.
        condition: ``[n]`` or ``[n, d]``, or None.
        seed: key of the noise.
        noise: noise to start from, unchecked, or None.
        preview: to be called after each step, or None.
        options: the rest, unchecked.
    """

    n: int
    condition: NDArray[Any] | None
    seed: int
    noise: Any = None
    preview: Preview | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreRequest:
    """What :meth:`zoo.runtime.BundledModel.log_prob` was asked for, with data, condition and seed settled.

    Attributes:
        x: data ``[n, *event]``.
        condition: ``[n]`` or ``[n, d]``, or None.
        seed: key of whatever is random.
        steps: as given, unchecked, or None.
        probes: likewise.
        errors: whether errors are wanted too.
    """

    x: NDArray[np.float32]
    condition: NDArray[Any] | None
    seed: int
    steps: int | None = None
    probes: int | None = None
    errors: bool = False


class Host(Protocol):
    """The opened bundle for which a runner runs: :class:`zoo.runtime.BundledModel`."""

    samplers: Mapping[str, SamplerFunction]

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        ...

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one sample is made from."""
        ...

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one sample before a decoder, if there is one."""
        ...

    def session(self, graph: str) -> Session:
        """A graph, loaded."""
        ...

    def filled(self, array: Any) -> Any:
        """A batch filled up to the one size that the graphs take, if there is one; to be cut off again afterwards."""
        ...

    def to_data(self, latent: NDArray[Any]) -> NDArray[Any]:
        """Through the decoder, if there is one."""
        ...

    def to_latent_with_volume(self, program: Integrate, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Through the encoder, if there is one, with the log-determinant ``[n]``."""
        ...

    def starting(
        self, n: int, *, condition: Any, seed: int, noise: Any, **options: Any
    ) -> tuple[StepTable, Callable[[slice], SamplerState]]:
        """The table of a sampler, and what begins some of the samples."""
        ...

    def advanced(
        self, state: SamplerState, rows: int | None, part: slice, tick: Tick, preview: Preview | None
    ) -> SamplerState:
        """The state of one batch after its next rows."""
        ...


class Runner:
    """Runs programs of one kind; without state, so that one serves all models."""

    def check_sample(self, manifest: Manifest, program: Program) -> None:
        """Refuse a manifest whose graphs are not what the program ``sample`` needs.

        Raises:
            BundleError: with what does not fit.
        """
        raise BundleError(f"a program of kind {program.kind} cannot sample")

    def check_log_prob(self, manifest: Manifest, program: Program) -> None:
        """The same for ``log_prob``."""
        raise BundleError(f"a program of kind {program.kind} cannot score")

    def table(self, model: Host, program: Program, options: Mapping[str, Any]) -> StepTable | None:
        """The step table that options of ``sample`` stand for; None for a program without one.

        Raises:
            UsageError: options that it does not take.
        """
        if refused := [name for name, value in options.items() if value is not None]:
            raise UsageError(f"{model.name} samples in one call and has no option {', '.join(refused)}")
        return None

    def sampling(self, model: Host, program: Program, request: SampleRequest) -> Drawing:
        """What draws the samples of a request.

        Raises:
            UsageError, DataError: an argument that the program does not take; nothing was run.
        """
        raise NotImplementedError

    def scoring(self, model: Host, program: Program, request: ScoreRequest) -> Scores:
        """What scores the data of a request; errors as for :meth:`sampling`."""
        raise NotImplementedError
