"""The common part of the configs of flows, and its checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from torch import nn

from zoo.conditions import Condition
from zoo.errors import ConfigError, UnknownNameError
from zoo.models.arguments import with_arguments_of
from zoo.models.encoders import ConditionEncoder
from zoo.models.encoding import EMBEDDING, Plan
from zoo_flows.bases import Base, DiagonalNormal, Mixture, StandardNormal
from zoo_flows.dequantisation import VariationalDequantisation
from zoo_flows.transforms import (
    ActNorm,
    BatchNorm,
    Bounded,
    Coupling,
    Householder,
    Logit,
    LULinear,
    Map,
    Marginals,
    Permutation,
    SplineMap,
    Standardize,
    Transform,
)
from zoo_flows.transforms.networks import ResidualMLP

#: largest slope of one affine map of an image, which passes many
IMAGE_SLOPE = 8.0

#: largest slope of one affine map of an autoregressive flow, whose slopes are not tempered by halves that stay the same
AUTOREGRESSIVE_SLOPE = 8.0

_Choice = TypeVar("_Choice")

_Init = Callable[..., None]

#: layers that mix components, from least to most
MIXING = ("none", "reverse", "permutation", "householder", "lu")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The common part of the configs of flows. Each architecture takes shape, condition, and others that it names.

    Attributes:
        event_shape: shape of one sample, flattened inside; architectures of images state their requirements.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        conditioning: how each named part of it is embedded, see :mod:`zoo.models.encoding`; or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
        bounds: of vectors, lowest and highest value by the place of a column, ``{"1": [0.0, 3.0]}``: these pass a
            logit, and no sample lies outside; None for none. See :class:`~zoo_flows.transforms.bounded.Bounded`.
        base: ``"normal"``, N(0, I); ``"learned"``, normals that see the condition; or ``"mixture"``, of normals.
        components: of a mixture.
        marginals: for tables: ``knots`` and ``categories`` of :class:`~zoo_flows.transforms.marginals.Marginals`, which
            then takes the place of standardisation; or None.
        dequantisation: of discrete data in training: ``"uniform"`` noise, or ``"variational"``, learned beside the flow
            (:class:`~zoo_flows.dequantisation.VariationalDequantisation`).
        temperature: of samples, unless another is asked for, see :class:`~zoo.models.interface.DirectModel`.

    Raises:
        ConfigError: an invalid shape or condition.
    """

    event_shape: Sequence[int]
    condition: Mapping[str, object] | None = None
    conditioning: Mapping[str, object] | None = None
    levels: int | None = None
    alpha: float = 0.01
    bounds: Mapping[str, Sequence[float]] | None = None
    base: str = "normal"
    components: int = 8
    marginals: Mapping[str, object] | None = None
    dequantisation: str = "uniform"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Check the fields that all flows share."""
        event_size(self.event_shape)
        _ = self.encoder

    @property
    def size(self) -> int:
        """How many numbers an event holds."""
        return math.prod(self.event_shape)

    @cached_property
    def described(self) -> Condition | None:
        """The condition."""
        return None if self.condition is None else Condition.from_description(self.condition)

    @cached_property
    def encoder(self) -> ConditionEncoder | None:
        """The encoder that computes the context from named parts, or None.

        Raises:
            ConfigError: parts that cannot be embedded so, or a ``conditioning`` without named parts.
        """
        if self.described is None or self.described.plain:
            if self.conditioning:
                raise ConfigError(
                    "conditioning describes how named parts are embedded, but this condition has no named parts"
                )
            return None
        return ConditionEncoder(Plan.of(self.described, self.conditioning, (EMBEDDING,)))

    @property
    def context(self) -> int:
        """Length of the context that transforms see of the condition; 0 for none."""
        if self.described is None:
            return 0
        return self.described.size if self.encoder is None else self.encoder.plan.embedding

    @property
    def bounded(self) -> Mapping[str, Sequence[float]]:
        """The bounds of columns, empty for none.

        Raises:
            ConfigError: bounds of what is no vector.
        """
        if self.bounds and len(self.event_shape) != 1:
            raise ConfigError(f"bounds are those of columns, and an event of shape {list(self.event_shape)} has none")
        return self.bounds or {}

    def parts(self, *, channels: int | None = None) -> dict[str, Any]:
        """The arguments of a :class:`~zoo_flows.flow.Flow`, except its transforms.

        Args:
            channels: each of which is standardised as a whole; None for each component by itself.

        Raises:
            ConfigError: levels, marginals and dequantisation that do not go together.
            UnknownNameError: an unknown base or dequantisation.
        """
        return {
            "event_shape": self.event_shape,
            "preprocessing": preprocessing(self.size, self.levels, self.alpha, self.marginals, self.bounded, channels),
            "base": base(self.base, self.size, components=self.components, context=self.context),
            "condition": self.described,
            "encoder": self.encoder,
            "dequantisation": dequantisation(self.dequantisation, self.event_shape, self.levels),
            "temperature": self.temperature,
        }


_SHAPE, _LOGIT = ("event_shape", "condition", "conditioning", "temperature"), ("levels", "alpha", "bounds")


def shared(*names: str) -> Callable[[_Init], _Init]:
    """Let an architecture take shape, condition, its embedding, temperature and these of :class:`Shared`, first of all.

    Args:
        names: ``"logit"`` stands for ``levels``, ``alpha`` and ``bounds``, ``"base"`` for ``base`` and ``components``.
    """
    groups = {"logit": _LOGIT, "base": ("base", "components")}
    taken = {*_SHAPE, *(each for name in names for each in groups.get(name, (name,)))}
    return with_arguments_of(Shared, make=Shared, leaving={f.name for f in fields(Shared)} - taken)


@dataclass(frozen=True, kw_only=True)
class Conditioner:
    """The residual networks that compute the parameters of couplings.

    Attributes:
        hidden: their width, or for images their channels.
        blocks: residual blocks of each.
        dropout: inside them.

    Raises:
        ConfigError: values out of range.
    """

    hidden: int = 64
    blocks: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least(hidden=(self.hidden, 1), blocks=(self.blocks, 0))
        share(dropout=self.dropout)

    def network(
        self, context: int, kind: Callable[..., nn.Module] = ResidualMLP, **options: Any
    ) -> Callable[[int, int], nn.Module]:
        """Makes a network from its numbers of inputs and outputs.

        Args:
            context: length of the context, which it sees beside its inputs.
            kind: class of the network.
            options: other arguments of that class.
        """
        return partial(kind, context=context, hidden=self.hidden, blocks=self.blocks, dropout=self.dropout, **options)


def conditioner(**defaults: Any) -> Callable[[_Init], _Init]:
    """Let an architecture take the arguments of :class:`Conditioner`, with these defaults, and get one."""
    return with_arguments_of(Conditioner, make=Conditioner, defaults=defaults)


@dataclass(frozen=True, kw_only=True)
class Splines:
    """Rational-quadratic splines.

    Attributes:
        bins: of each.
        bound: they act on [-bound, bound], in standard deviations; the tails are linear.

    Raises:
        ConfigError: values out of range.
    """

    bins: int = 8
    bound: float = 5.0

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least(bins=(self.bins, 2))
        positive(bound=self.bound)

    def map(self) -> SplineMap:
        """One for every component."""
        return SplineMap(self.bins, self.bound)

    def needed(self, *, maps: bool, marginals: bool) -> None:
        """Refuse other than default ``bins`` without splines as ``maps``, and ``bound`` without any, as ConfigError."""
        defaults = Splines()
        if self.bins != defaults.bins and not maps:
            raise ConfigError("bins are those of splines, and the maps of this flow are not splines")
        if self.bound != defaults.bound and not (maps or marginals):
            raise ConfigError("bound is that of splines, and this flow has none")

    def landmarks(self) -> list[float]:
        """Its knots, before they move."""
        knots: list[float] = np.linspace(-self.bound, self.bound, self.bins + 1).tolist()
        return knots


def splines() -> Callable[[_Init], _Init]:
    """Let an architecture take the arguments of :class:`Splines`, and get them."""
    return with_arguments_of(Splines, make=Splines)


def event_size(event_shape: Sequence[int]) -> int:
    """The number of elements of an event of this shape.

    Raises:
        ConfigError: it is not a shape.
    """
    if not event_shape or min(event_shape) < 1:
        raise ConfigError(f"event_shape must be sizes from 1 up, not {list(event_shape)}")
    return math.prod(event_shape)


def image_shape(event_shape: Sequence[int], scales: int, *, halvings: int | None = None) -> tuple[int, int, int]:
    """Channels, height and width of images that can be halved ``scales`` times, or as often as is stated.

    Raises:
        ConfigError: they cannot.
    """
    event_size(event_shape)
    factor = 2 ** (scales if halvings is None else halvings)
    if len(event_shape) != 3 or event_shape[1] % factor or event_shape[2] % factor:
        raise ConfigError(
            f"{scales} scales need an event_shape [channels, height, width] whose height and width are multiples of "
            f"{factor}, not {list(event_shape)}"
        )
    channels, height, width = event_shape
    return channels, height, width


def at_least(**limits: tuple[float, float]) -> None:
    """Refuse values below their limits, given as ``name=(value, least)``.

    Raises:
        ConfigError: with the first.
    """
    for name, (value, least) in limits.items():
        if value < least:
            raise ConfigError(f"{name} must be {least} or more, not {value}")


def positive(**values: float) -> None:
    """Refuse numbers that are not finite and above 0, given by name.

    Raises:
        ConfigError: with the first.
    """
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"{name} must be above 0, not {value}")


def share(**shares: float) -> None:
    """Refuse values outside [0, 1).

    Raises:
        ConfigError: with the first.
    """
    for name, value in shares.items():
        if not 0.0 <= value < 1.0:
            raise ConfigError(f"{name} must be in [0, 1), not {value}")


def preprocessing(
    size: int,
    levels: int | None,
    alpha: float,
    marginals: Mapping[str, object] | None = None,
    bounds: Mapping[str, Sequence[float]] | None = None,
    channels: int | None = None,
) -> list[Transform]:
    """The transform that brings data to about unit scale, fitted to them.

    Args:
        size: numbers in an event.
        levels: of discrete data, which pass a logit; None for others.
        alpha: of the logit.
        marginals: arguments of :class:`Marginals`, for tables; None for standardisation.
        bounds: low and high by the place of a column, which then passes a logit first.
        channels: each of which is standardised as a whole; None for each component by itself.

    Raises:
        ConfigError: levels and marginals or bounds, or unknown arguments.
    """
    if bounds and levels is not None:
        raise ConfigError("levels apply to data that are all whole numbers, which have bounds already")
    first: list[Transform] = [Bounded(size, bounds)] if bounds else []
    if marginals is not None:
        if levels is not None:
            raise ConfigError(
                "levels apply to data that are all whole numbers; categories of a table go into marginals"
            )
        return [*first, columns(size, marginals)]
    return [*first, *([Logit(levels, alpha)] if levels is not None else []), Standardize(size, channels)]


def columns(size: int, marginals: Mapping[str, Any], *, apart: bool = False) -> Marginals:
    """The transform that brings the columns of a table to one scale.

    Args:
        size: how many.
        marginals: ``knots`` and ``categories``, see :class:`Marginals`.
        apart: whether categories have room between them.

    Raises:
        ConfigError: other arguments.
    """
    if unknown := marginals.keys() - {"knots", "categories"}:
        raise ConfigError(f"marginals takes knots and categories, not {', '.join(sorted(unknown))}")
    return Marginals(size, **marginals, apart=apart)


def one_of(kind: str, name: str, choices: Mapping[str, _Choice]) -> _Choice:
    """The choice of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in choices:
        raise UnknownNameError(kind, name, choices)
    return choices[name]


def base(kind: str, size: int, *, components: int = 8, context: int = 0) -> Base:
    """The base distribution of a kind.

    Args:
        kind: ``"normal"``, N(0, I); ``"learned"``, normals whose means and deviations are learned, given the context;
            or ``"mixture"``.
        size: length d of z.
        components: of a mixture.
        context: length of the context; 0 for none.

    Raises:
        UnknownNameError: another kind.
    """
    bases: dict[str, Callable[[], Base]] = {
        "normal": lambda: StandardNormal(size),
        "learned": lambda: DiagonalNormal(size, context=context),
        "mixture": lambda: Mixture(size, components=components),
    }
    return one_of("base distribution", kind, bases)()


def dequantisation(kind: str, event_shape: Sequence[int], levels: int | None) -> VariationalDequantisation | None:
    """Learned noise for discrete data, or none: ``"variational"`` or ``"uniform"``.

    Raises:
        UnknownNameError: another kind.
        ConfigError: learned noise for continuous data.
    """
    if not one_of("dequantisation", kind, {"uniform": False, "variational": True}):
        return None
    if levels is None:
        raise ConfigError(
            "variational dequantisation is for whole numbers, and this model's data are continuous",
            hint="Say how many levels the data have, or leave the dequantisation out.",
        )
    return VariationalDequantisation(event_shape, levels)


def mixing(kind: str, size: int, kinds: Sequence[str] = MIXING) -> list[Transform]:
    """The layer of a kind, or no layer.

    Raises:
        UnknownNameError: another kind than ``kinds``.
    """
    if kind not in kinds:
        raise UnknownNameError("linear layer", kind, kinds)
    if kind == "none" or size == 1:
        return []
    layers: dict[str, Callable[[int], Transform]] = {
        "reverse": Permutation.reverse,
        "permutation": Permutation,
        "householder": Householder,
        "lu": LULinear,
    }
    return [layers[kind](size)]


def normalization(shape: Sequence[int], *, actnorm: bool, batchnorm: bool) -> list[Transform]:
    """The normalisation layer, or no layer; batch normalisation takes precedence."""
    if batchnorm:
        return [BatchNorm(shape)]
    return [ActNorm(shape)] if actnorm else []


def couplings(
    size: int, map: Map, network: Callable[[int, int], nn.Module], *, count: int, between: str
) -> list[Transform]:
    """Couplings with a layer that mixes components between each two."""
    layers: list[Transform] = []
    for index in range(count):
        layers += mixing(between, size) if index else []
        layers.append(Coupling(size, map, network))
    return layers
