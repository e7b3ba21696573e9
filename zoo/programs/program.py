"""What a program is, and the kinds that go step by step: :class:`Iterate` and :class:`Integrate`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from zoo import records
from zoo.arrays import Array
from zoo.density import Density
from zoo.errors import UsageError
from zoo.noise import Noise
from zoo.overriding import override
from zoo.paths import is_gaussian, needed
from zoo.programs.graph import HasPorts, event_of

#: tables in every bundle of a Gaussian path, besides the model's default
USUAL_TABLES: tuple[tuple[str, int], ...] = (("ddim", 10), ("ddim", 20), ("ddim", 50), ("ddpm", 100))

#: output of a graph that draws symbols, of the shape of samples: by how much each was ahead of the second best
MARGIN = "margin"
#: name of the size of a step graph's input ``matrix`` that may be ``slots`` + 1 or ``slots`` + 2
WIDE_COLUMNS = "wide_columns"


class Program(ABC):
    """How a runtime turns graphs into ``sample`` or ``log_prob``: a frozen dataclass whose fields the manifest stores.

    A kind of program consists of one such class, which answers all questions about a program; one runner, which runs
    it in ONNX Runtime (:mod:`zoo.runtime.running`); and a line that registers both: in :data:`KINDS` and
    :data:`zoo.runtime.runners.BUILTIN`, or, in a plugin, by the hook ``zoo_programs``. The definitions here are
    defaults that kinds override.

    Attributes:
        kind: its name in the manifest.
        graph: name of the program's main graph.
        stepped: whether it samples with a step table, as :class:`Iterate` does.
        estimates: whether its log-densities are estimates from many evaluations, with ``steps``, ``probes`` and errors.
        fuses: whether a whole run of it can be written as one graph.
        golden: options of the calls that produce golden values.
        work: memory of a call relative to the numbers of a sample; a runtime's batches are smaller by this factor.
        encoder: name of the graph from data ``x`` to ``latent``, or None.
        decoder: name of the graph from ``latent`` to data ``x``, or None.
        shift: data (or latents) are shift + scale · state.
        scale: see ``shift``.
        null_class: the null class, or None.
        sampler: the default sampler, or None.
        steps: the default number of steps, or None.
        guidance: the default guidance weight, or None.
        condition_encoder: name of the graph that encodes conditions, each of whose outputs is by name an input of
            ``graph``; None for a graph that takes the parts of the condition themselves.
        temperature: what the normals of a seed are multiplied by, where :attr:`tempers`.
    """

    kind: ClassVar[str]
    stepped: ClassVar[bool] = False
    estimates: ClassVar[bool] = False
    fuses: ClassVar[bool] = False
    golden: ClassVar[Mapping[str, int]] = {}
    graph: str
    work: int = 1
    encoder: str | None = None
    decoder: str | None = None
    shift: float = 0.0
    scale: float = 1.0
    null_class: int | None = None
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    condition_encoder: str | None = None
    temperature: float = 1.0

    @property
    def coders(self) -> tuple[str, ...]:
        """The graphs between data and the states of the program's own graph."""
        return tuple(name for name in (self.encoder, self.decoder) if name is not None)

    @property
    def graphs(self) -> tuple[str, ...]:
        """The names of all graphs that it calls."""
        return (self.graph, *self.coders, *(() if self.condition_encoder is None else (self.condition_encoder,)))

    @property
    def path_description(self) -> Mapping[str, object] | None:
        """The path that it goes along, as manifests describe it; None for a program of one call."""
        return None

    @property
    def data_range(self) -> tuple[float, float] | None:
        """The smallest and the largest value of a sample, or None if unknown."""
        return None

    @property
    def noise_port(self) -> str | None:
        """The input of its graph that takes standard normals, if that is all that it draws; else None."""
        return None

    def noises(self, graphs: Mapping[str, HasPorts]) -> tuple[Noise, ...]:
        """The noises that its graph takes, in the order of their streams; see :func:`zoo.noise.drawn`."""
        return () if self.noise_port is None else (Noise(self.noise_port, self.noise_shape(graphs)),)

    @property
    def density_kind(self) -> Density:
        """What the log-densities of a program that scores are."""
        return "estimate" if self.estimates else "exact"

    @property
    def tempers(self) -> bool:
        """Whether samples have a temperature, which multiplies the normals that they are drawn from."""
        return False

    @property
    def scores(self) -> bool:
        """Whether the first output of its graph is the log-density of its input data."""
        return False

    @abstractmethod
    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """Shape of the noise of one sample."""

    @abstractmethod
    def summary(self) -> str:
        """What it does, in a few words without a full stop."""

    def explanation(self) -> str:
        """The same in a sentence of Markdown, for a model card."""
        return f"{self.summary()}."

    def unit(self, samples: Array) -> float:
        """The absolute size of a relative difference of 1 between two samples."""
        return max(float(np.std(samples)), 1.0)

    def graph_unit(self, graph: str, dimensions: int) -> float:
        """The same for a graph's outputs: the number of dimensions for log-densities."""
        return float(dimensions) if self.scores and graph == self.graph else 1.0

    def sampling_cases(self, n: int) -> list[dict[str, object]]:
        """Options of ``sample`` for the proof with ``n`` samples."""
        return [{}]

    def scoring_options(self, n: int) -> dict[str, object]:
        """Options of ``log_prob`` for the proof with ``n`` data."""
        return {}

    def row(self, time: float) -> dict[str, float] | None:
        """Scalar inputs of its graph at a time in [0, 1] of its path; None for a program without a path."""
        return None

    def tables(self) -> tuple[tuple[str, int], ...]:
        """Samplers and steps of the tables stored in a bundle, the default first."""
        return ()

    def stepping(self, name: str) -> Iterate:
        """The program, typed as one that samples with a step table.

        Raises:
            UsageError: it does not; the message has the model's ``name``.
        """
        raise UsageError(f"{name} samples in one call, not in steps")

    def integrating(self, name: str) -> Integrate:
        """The program, typed as one that integrates an ODE.

        Raises:
            UsageError: it does not; the message has the model's ``name``.
        """
        raise UsageError(f"{name} has no chain of steps, so it has no variational bound")


@dataclass(frozen=True)
class Iterate(Program):
    """A step table over ``graph``; see :mod:`zoo.samplers.table` for the loop.

    Attributes:
        graph: name of the step graph.
        path: the Gaussian path, as described by its ``describe()``.
        shift: data = shift + scale · state, the same for all components.
        scale: see ``shift``.
        data_min: samples are clipped to [data_min, data_max] at the end; None for unbounded data.
        data_max: see ``data_min``.
        clip: bound on the denoised sample in state units; None for no bound.
        null_class: the null class, which stands for "no class", or None if the model has none.
        sampler: the default sampler.
        steps: its number of steps.
        guidance: its guidance weight.
        options: options of that sampler.
        learned_variance: whether the network predicts the variance of a sampler's noise.
        encoder: name of the graph from data ``x`` to ``latent`` (before shift and scale), for a diffusion of latents;
            else None.
        decoder: name of the graph from ``latent`` to data ``x``, or None.
        condition_encoder: name of the graph that encodes conditions, or None; see :class:`Program`.
        unclipped_column: whether the graph takes matrices with a further column, for D before it is bounded, see
            :class:`~zoo.samplers.StepTable`. Graphs of bundles that do not say so do not.
    """

    graph: str
    path: Mapping[str, object]
    shift: float = 0.0
    scale: float = 1.0
    data_min: float | None = None
    data_max: float | None = None
    clip: float | None = None
    null_class: int | None = None
    sampler: str = "ddim"
    steps: int = 50
    guidance: float = 1.0
    options: Mapping[str, object] = field(default_factory=dict)
    learned_variance: bool = False
    encoder: str | None = None
    decoder: str | None = None
    condition_encoder: str | None = field(default=None, metadata=records.OMITTED)
    unclipped_column: bool = field(default=False, metadata=records.OMITTED)
    kind: ClassVar[str] = "iterate"
    stepped: ClassVar[bool] = True
    fuses: ClassVar[bool] = True
    golden: ClassVar[Mapping[str, int]] = {"steps": 4}

    @property
    @override
    def data_range(self) -> tuple[float, float] | None:
        return None if self.data_min is None or self.data_max is None else (self.data_min, self.data_max)

    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """Shape of one state, which sampling starts from as noise: that of a latent if there is a decoder."""
        return event_of(graphs, self.graph, "state", 2)

    @property
    def coupled(self) -> bool:
        """Whether noise must not be added on the way (:class:`~zoo.paths.RectifiedFlow`)."""
        return bool(self.path.get("coupled"))

    @property
    @override
    def path_description(self) -> Mapping[str, object]:
        return self.path

    @override
    def summary(self) -> str:
        guided = f", guidance {self.guidance:g}" if self.guidance not in (None, 1) else ""
        return f"calls of {self.graph}, one a step: {self.steps} of {self.sampler}{guided}, or any other"

    @override
    def explanation(self) -> str:
        guided = "" if self.guidance == 1 else f" and guidance {self.guidance:g}"
        return (
            f"a step table over `{self.graph}`; {self.sampler} with {self.steps} steps{guided} unless another is asked "
            "for."
        )

    @override
    def unit(self, samples: Array) -> float:
        """The scale of the data."""
        return self.scale

    def sampling_cases(self, n: int) -> list[dict[str, object]]:
        """The model's defaults once, and short runs with and without noise and guidance."""
        if not is_gaussian(self.path):
            return [{}, {"steps": 5}] if n == 2 else [{"steps": 5}, {"steps": 3}]
        short: dict[str, object] = {"sampler": "heun" if self.coupled else "ddpm", "steps": 5}
        if self.null_class is not None:
            short["guidance"] = 2.0
        # a run that reads every column of the graph
        plain = {"sampler": "ddim", "steps": 3, **({"epsilon": "unclipped"} if self.unclipped_column else {})}
        return [{}, short] if n == 2 else [plain, short]

    @override
    def row(self, time: float) -> dict[str, float] | None:
        """Inputs that a table decides are as in the middle of a run."""
        middle = {"noise_scale": 0.3, "noise_range": 0.5, "rescale": 0.7, "clip": self.clip or 3.0}
        return {**_at(self.path, time), **middle}

    @override
    def tables(self) -> tuple[tuple[str, int], ...]:
        usual = USUAL_TABLES if is_gaussian(self.path) else ()
        if self.coupled:
            usual = tuple((sampler, steps) for sampler, steps in usual if sampler != "ddpm")
        most = needed(self.path, "make step tables").timesteps
        if most is not None:
            usual = tuple((sampler, min(steps, most)) for sampler, steps in usual)
        return tuple(dict.fromkeys(((self.sampler, self.steps), *usual)))

    @override
    def stepping(self, name: str) -> Iterate:
        return self


@dataclass(frozen=True)
class Integrate(Program):
    """The probability-flow ODE in the log noise level, over ``graph``; see :mod:`zoo.likelihood`.

    Attributes:
        graph: name of the graph that gives the denoised sample and an estimate of the trace of its Jacobian.
        path: the Gaussian path.
        shift: data = shift + scale · state.
        scale: see ``shift``.
        null_class: the null class, which stands for "no class", or None.
        steps: default number of Runge-Kutta steps.
        probes: default number of Rademacher probes averaged for the trace; 0 for the exact trace.
        encoder: name of the graph from data ``x`` to ``latent``, as in :class:`Iterate`, and to
            ``log_det``, the logarithm of the determinant of its Jacobian; None if the data itself is diffused.
        condition_encoder: name of the graph that encodes conditions, or None; see :class:`Program`.
    """

    graph: str
    path: Mapping[str, object]
    shift: float = 0.0
    scale: float = 1.0
    null_class: int | None = None
    steps: int = 32
    probes: int = 1
    encoder: str | None = None
    condition_encoder: str | None = field(default=None, metadata=records.OMITTED)
    kind: ClassVar[str] = "integrate"
    estimates: ClassVar[bool] = True
    golden: ClassVar[Mapping[str, int]] = {"steps": 4}

    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """Shape of the noise that the ODE maps data to: that of the graph's state."""
        return event_of(graphs, self.graph, "x", 1)

    @property
    @override
    def path_description(self) -> Mapping[str, object]:
        return self.path

    @override
    def summary(self) -> str:
        return f"the probability-flow ODE: {self.steps} steps of {self.graph}"

    @override
    def explanation(self) -> str:
        ode = f"the probability-flow ODE over `{self.graph}`, {self.steps} Runge-Kutta steps"
        if self.probes == 0:
            return f"{ode} and the exact trace unless others are asked for: exact up to the error of the steps."
        return f"{ode} and {self.probes} probe vector(s) unless more are asked for: an estimate, not the exact density."

    def scoring_options(self, n: int) -> dict[str, object]:
        """Few Runge-Kutta steps, and more of them for the smaller batches."""
        return {"steps": 2 if n > 2 else 8}

    @override
    def row(self, time: float) -> dict[str, float] | None:
        return _at(self.path, time)

    @override
    def integrating(self, name: str) -> Integrate:
        return self


def _at(path: Mapping[str, object], time: float) -> dict[str, float]:
    gaussian = needed(path, "make inputs of its graphs")
    alpha, sigma = gaussian.alpha_sigma(time)
    return {"time": float(gaussian.network_time(time)), "alpha": float(alpha), "sigma": float(sigma)}
