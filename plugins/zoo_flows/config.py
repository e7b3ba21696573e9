"""What configs of flows have in common, and how it is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from zoo.conditions import Condition
from zoo.errors import ConfigError, UnknownNameError
from zoo_flows.bases import Base, DiagonalNormal, Mixture, StandardNormal
from zoo_flows.dequantisation import VariationalDequantisation
from zoo_flows.transforms import (
    ActNorm,
    BatchNorm,
    Coupling,
    Householder,
    Logit,
    LULinear,
    Map,
    Marginals,
    Permutation,
    Standardize,
    Transform,
)

#: largest slope of one affine map of an image, which passes many
IMAGE_SLOPE = 8.0

_Choice = TypeVar("_Choice")

#: layers that mix components, from least to most
MIXING = ("none", "reverse", "permutation", "householder", "lu")


def event_size(event_shape: Sequence[int]) -> int:
    """The number of elements of an event of this shape.

    Raises:
        ConfigError: it is not a shape.
    """
    if not event_shape or min(event_shape) < 1:
        raise ConfigError(f"event_shape must be sizes from 1 up, not {list(event_shape)}")
    return math.prod(event_shape)


def image_shape(event_shape: Sequence[int], scales: int, *, halvings: int | None = None) -> tuple[int, int, int]:
    """Channels, height and width of images that can be halved ``scales`` times, or as often as is said.

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


def described(condition: Mapping[str, Any] | None) -> tuple[Condition | None, int]:
    """The condition of a config, and the length of the context that transforms see of it (0 for none)."""
    description = None if condition is None else Condition.from_description(condition)
    return description, description.size if description else 0


def preprocessing(
    size: int, levels: int | None, alpha: float, marginals: Mapping[str, Any] | None = None
) -> list[Transform]:
    """The transform that brings data to about unit scale, fitted to them.

    Args:
        size: numbers in an event.
        levels: of discrete data, which pass a logit; None for others.
        alpha: of the logit.
        marginals: arguments of :class:`Marginals`, for tables; None for standardisation.

    Raises:
        ConfigError: both levels and marginals, or unknown arguments.
    """
    if marginals is not None:
        if levels is not None:
            raise ConfigError("levels are of data that are all whole numbers; categories of a table go into marginals")
        return [columns(size, marginals)]
    return [*([Logit(levels, alpha)] if levels is not None else []), Standardize(size)]


def columns(size: int, marginals: Mapping[str, Any]) -> Marginals:
    """The transform that brings the columns of a table to one scale.

    Args:
        size: how many.
        marginals: ``knots`` and ``categories``, see :class:`Marginals`.

    Raises:
        ConfigError: other arguments.
    """
    if unknown := marginals.keys() - {"knots", "categories"}:
        raise ConfigError(f"marginals takes knots and categories, not {', '.join(sorted(unknown))}")
    return Marginals(size, **marginals)


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
