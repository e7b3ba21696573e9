"""What configs of flows have in common, and how it is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError, UnknownNameError
from zoo_flows.transforms import Logit, LULinear, Permutation, Standardize, Transform

#: layers that mix components, from least to most
MIXING = ("none", "reverse", "permutation", "lu")


def event_size(event_shape: Sequence[int]) -> int:
    """How many numbers an event of this shape holds.

    Raises:
        ConfigError: it is no shape.
    """
    if not event_shape or min(event_shape) < 1:
        raise ConfigError(f"event_shape must be sizes from 1 up, not {list(event_shape)}")
    return math.prod(event_shape)


def at_least(**limits: tuple[float, float]) -> None:
    """Refuse values below their limits, given as ``name=(value, least)``.

    Raises:
        ConfigError: with the first.
    """
    for name, (value, least) in limits.items():
        if value < least:
            raise ConfigError(f"{name} must be {least} or more, not {value}")


def described(condition: Mapping[str, Any] | None) -> tuple[Condition | None, int]:
    """The condition of a config, and the length of the context that transforms see of it (0 for none)."""
    made = None if condition is None else Condition.from_description(condition)
    return made, made.size if made else 0


def preprocessing(size: int, levels: int | None, alpha: float) -> list[Transform]:
    """A logit, for discrete data, and standardisation."""
    return [*([Logit(levels, alpha)] if levels is not None else []), Standardize(size)]


def mixing(kind: str, size: int, kinds: Sequence[str] = MIXING) -> list[Transform]:
    """The layer of a kind, or no layer.

    Raises:
        UnknownNameError: another kind than ``kinds``.
    """
    if kind not in kinds:
        raise UnknownNameError("linear layer", kind, kinds)
    if kind == "none" or size == 1:
        return []
    made: dict[str, Callable[[int], Transform]] = {
        "reverse": Permutation.reverse,
        "permutation": Permutation,
        "lu": LULinear,
    }
    return [made[kind](size)]
