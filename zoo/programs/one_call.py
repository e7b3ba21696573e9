"""Programs of one call: :class:`Direct`, with noise or data as an input, and :class:`Fused`, a whole run of others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import ClassVar, Literal

from zoo import records
from zoo.density import Density
from zoo.errors import UsageError
from zoo.noise import DISTRIBUTIONS, Distribution, Noise
from zoo.overriding import override
from zoo.programs.graph import HasPorts, event_of
from zoo.programs.program import Program

#: what one call can compute, see :data:`zoo.density.Density`
OneCallDensity = Literal["exact", "bound", "ratio"]
_TOLD = {
    "bound": ": a lower bound of the log-density, not the log-density itself",
    "ratio": ": the logarithm of the ratio to another density, such as a prior, up to a constant for each condition",
}


@dataclass(frozen=True)
class NoiseInput:
    """An input of a graph that takes noise.

    Attributes:
        name: of the input.
        distribution: ``"normal"``, ``"uniform"`` in (0, 1), or ``"gumbel"``.
    """

    name: str
    distribution: Distribution = "normal"

    def __post_init__(self) -> None:
        """Refuse a distribution that no runtime draws."""
        if not isinstance(self.name, str) or self.distribution not in DISTRIBUTIONS:
            raise ValueError(f"noise {self.name!r} of {self.distribution!r}")


@dataclass(frozen=True)
class Direct(Program):
    """One call.

    Attributes:
        graph: name of the graph.
        noise: sampling: the input that takes standard normals, or several such inputs or other noises than normals, in
            the order of their streams; None for scoring. The shape of a noise is that of its input.
        work: memory of a call relative to the numbers of a sample; a runtime's batches are smaller by this factor.
        density: of a program that scores: ``"exact"``, ``"bound"`` for a lower bound of the log-density, up to the
            noise of an estimate, or ``"ratio"`` for a log-ratio to another density. The manifest states it unless it is
            exact.
        condition_encoder: name of the graph that encodes conditions, or None; see :class:`Program`.
        temperature: sampling: what the normals of a seed are multiplied by in float32, unless a caller asks for
            another. At 1 samples follow the model's density; below, they are nearer to its typical data, and fewer.
    """

    graph: str
    noise: str | tuple[NoiseInput, ...] | None = None
    work: int = 1
    density: OneCallDensity = field(default="exact", metadata=records.OMITTED)
    condition_encoder: str | None = field(default=None, metadata=records.OMITTED)
    temperature: float = field(default=1.0, metadata=records.OMITTED)
    kind: ClassVar[str] = "direct"
    fuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Take the noises of a manifest; a single one of normals is named alone."""
        check_temperature(self.temperature)
        if self.noise is None or isinstance(self.noise, str):
            if self.temperature != 1 and self.noise is None:
                raise ValueError("scoring has no temperature")
            return
        noises = tuple(each if isinstance(each, NoiseInput) else NoiseInput(**each) for each in self.noise)
        names = [each.name for each in noises]
        if not names or len(set(names)) != len(names):
            raise ValueError("noises must have different names")
        alone = len(noises) == 1 and noises[0].distribution == "normal"
        object.__setattr__(self, "noise", names[0] if alone else noises)
        if self.temperature != 1 and not self.tempers:
            raise ValueError("a temperature is of normal noise alone")

    @property
    @override
    def tempers(self) -> bool:
        noise = self.noise
        return noise is not None and (isinstance(noise, str) or all(e.distribution == "normal" for e in noise))

    @property
    @override
    def noise_port(self) -> str | None:
        return self.noise if isinstance(self.noise, str) else None

    @override
    def noises(self, graphs: Mapping[str, HasPorts]) -> tuple[Noise, ...]:
        inputs = (NoiseInput(self.noise),) if isinstance(self.noise, str) else self.noise or ()
        return tuple(Noise(each.name, event_of(graphs, self.graph, each.name, 1), each.distribution) for each in inputs)

    @property
    @override
    def density_kind(self) -> Density:
        return self.density

    @property
    def scores(self) -> bool:
        """True without noise."""
        return self.noise is None

    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """Shape of the normals of one sample, which may differ from the shape of a sample.

        Raises:
            UsageError: it draws several noises, or others than normals.
        """
        if self.noise_port is None and (noises := self.noises(graphs)):
            told = ", ".join(f"{each.name} ({each.distribution})" for each in noises)
            raise UsageError(f"graph {self.graph} draws {told}, not from normals alone")
        return event_of(graphs, self.graph, self.noise_port, 1)

    @override
    def summary(self) -> str:
        told = {"bound": ", a lower bound", "ratio": ", a log-ratio"}
        tempered = "" if self.temperature == 1 else f", at temperature {self.temperature:g}"
        return f"one call of {self.graph}{told.get(self.density, '')}{tempered}"

    @override
    def explanation(self) -> str:
        noise = f" with {_told_noise(self.noise)}" if self.noise else ""
        tempered = "" if self.temperature == 1 else f", times {self.temperature:g} unless another is asked for"
        return f"one call of `{self.graph}`{noise}{tempered}{_TOLD.get(self.density, '')}."


@dataclass(frozen=True)
class Fused(Program):
    """A whole sampling run in one call, including noise: takes seed, first and n, and gives samples in data units.

    Attributes:
        graph: name of the graph.
        sampler: its sampler; None for a model that samples in one call, like the following.
        steps: its number of steps.
        guidance: its guidance weight.
        options: its options.
        condition_encoder: name of the graph that encodes conditions, or None; see :class:`Program`.
    """

    graph: str
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    condition_encoder: str | None = field(default=None, metadata=records.OMITTED)
    kind: ClassVar[str] = "fused"

    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """The graph draws its noise itself."""
        return ()

    @override
    def summary(self) -> str:
        built_in = f": {self.steps} steps of {self.sampler}" if self.sampler else ""
        return f"one call of {self.graph}, noise included{built_in}"


def check_temperature(value: object) -> float:
    """Return a temperature if it is a finite number, 0 or more.

    Raises:
        UsageError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise UsageError(f"a temperature is a finite number, 0 or more, not {value!r}")
    return float(value)


def _told_noise(noise: str | tuple[NoiseInput, ...]) -> str:
    """Noises in Markdown."""
    if isinstance(noise, str):
        return f"standard normal `{noise}`"
    words = {"normal": "standard normal", "uniform": "uniform", "gumbel": "Gumbel"}
    return ", ".join(f"{words[each.distribution]} `{each.name}`" for each in noise)
