"""How programs are run: a runner for each kind. A plugin with its own kind implements :class:`Runner`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zoo.bundle.manifest import Manifest
from zoo.errors import BundleError, RuntimeFailure, UsageError
from zoo.programs import Program
from zoo.runtime.conditioning import Conditions
from zoo.runtime.opened import OpenBundle
from zoo.samplers import SamplingOptions, StepTable
from zoo.samplers.runs import Preview, Tick

Samples = NDArray[np.float32]


def finite(samples: Samples, name: str) -> Samples:
    """Return ``samples`` if all of their numbers are finite.

    Raises:
        RuntimeFailure: with the first sample that has others, and the model's ``name``.
    """
    numbers = np.isfinite(samples)
    if not numbers.all():
        good = numbers.reshape(len(samples), -1).all(1)
        raise RuntimeFailure(
            f"{np.count_nonzero(~good)} of {len(samples)} samples of {name} are not finite, "
            f"the first is sample {int(np.argmin(good))}"
        )
    return samples


@dataclass(frozen=True)
class Drawing:
    """Draws samples, batch by batch.

    Attributes:
        draw: a slice of the samples, and what is to be called after each call of a graph, to those samples.
        calls: calls of a graph for each batch.
    """

    draw: Callable[[slice, Tick], Samples]
    calls: int = 1


@dataclass(frozen=True)
class Scores:
    """Scores data, batch by batch.

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
        n: number of samples.
        condition: ``[n]`` or ``[n, d]``, or rows of named parts, or None: :func:`~zoo.runtime.conditioning.feeds_of`.
        seed: key of the noise.
        options: all others; checks that need a model have not been made yet.
        preview: to be called after each step, or None.
    """

    n: int
    condition: Conditions
    seed: int
    options: SamplingOptions = field(default_factory=SamplingOptions)
    preview: Preview | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """What :meth:`zoo.runtime.BundledModel.log_prob` was asked for, with data, condition and seed settled.

    Attributes:
        x: data ``[n, *event]``.
        condition: ``[n]`` or ``[n, d]``, or rows of named parts, or None: :func:`~zoo.runtime.conditioning.feeds_of`.
        seed: key of whatever is random.
        steps: as given, unchecked, or None.
        probes: likewise.
        errors: whether errors are wanted too.
        first: number of the first datum: whatever is random is counted from it.
    """

    x: NDArray[np.float32]
    condition: Conditions
    seed: int
    steps: int | None = None
    probes: int | None = None
    errors: bool = False
    first: int = 0


def refuse(model: OpenBundle, options: SamplingOptions, *taken: str) -> None:
    """Refuse options of ``sample`` that a model does not take, which samples in one call.

    Raises:
        UsageError: options other than those ``taken``.
    """
    if refused := [name for name in options.given if name not in taken]:
        raise UsageError(f"{model.name} samples in one call and has no option {', '.join(refused)}")


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

    def table(self, model: OpenBundle, program: Program, options: SamplingOptions) -> StepTable | None:
        """The step table that options of ``sample`` stand for; None for a program without one.

        Raises:
            UsageError: options that it does not take: all except noise to start from.
        """
        refuse(model, options, "noise")
        return None

    def sampling(self, model: OpenBundle, program: Program, request: SampleRequest) -> Drawing:
        """A function that draws the samples of a request.

        Raises:
            UsageError, DataError: an argument that the program does not support; nothing was run.
        """
        raise NotImplementedError

    def scoring(self, model: OpenBundle, program: Program, request: ScoreRequest) -> Scores:
        """A function that scores the data of a request; errors as for :meth:`sampling`."""
        raise NotImplementedError
