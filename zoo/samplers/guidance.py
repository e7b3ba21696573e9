"""Classifier-free guidance (Ho & Salimans 2022), and composition, as weighted sums of evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import UsageError

#: the condition of n samples: one array, or arrays by the names of graphs' inputs; or None
Conditions: TypeAlias = Array | Mapping[str, Array] | None


@dataclass(frozen=True)
class Guidance:
    """The strength and the interval of guidance towards the condition.

    With F the network's output, and so with D, which is linear in it::

        F_w = F_other + w·(F_class - F_other)
        F   = F_w·(φ·std(F_class)/std(F_w) + 1 - φ)

    F_other is that of the null class, or of a class to avoid. The second line (Lin et al. 2024, "Common diffusion
    noise schedules and sample steps are flawed", eqs. 15-16) reduces the excess contrast of a large w; std is
    taken over each sample. Guidance at high noise levels costs diversity, and at low ones it has little effect,
    so it can be limited to an interval of noise levels (Kynkäänniemi et al. 2024, "Applying guidance in a limited
    interval").

    Attributes:
        weight: w; 1 means no guidance, 0 ignores the condition.
        interval: (lowest, highest) noise level σ/α of the rows that are guided.
        rescale: φ in [0, 1].

    Raises:
        UsageError: a weight that is not finite, an invalid interval, or φ outside [0, 1].
    """

    weight: float = 1.0
    interval: tuple[float, float] = (0.0, math.inf)
    rescale: float = 0.0

    def __post_init__(self) -> None:
        """Validate the fields."""
        if not math.isfinite(self.weight):
            raise UsageError(f"guidance must be a finite number, not {self.weight}")
        if len(self.interval) != 2 or not 0 <= self.interval[0] < self.interval[1]:
            raise UsageError(
                "a guidance interval is two noise levels, the lower first, not "
                f"{', '.join(map(str, self.interval)) or 'nothing'}"
            )
        if not 0 <= self.rescale <= 1:
            raise UsageError(f"guidance rescale lies in [0, 1], not {self.rescale}")

    def applies(self, noise_level: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether noise levels lie in the interval."""
        low, high = self.interval
        return (noise_level >= low) & (noise_level <= high)


@dataclass(frozen=True, eq=False)
class Weighted:
    """A condition of a composition beside its first, and its weight."""

    condition: Conditions
    weight: float


def rest(guidance: float, further: Sequence[Weighted] = ()) -> float:
    """The weight of what a composition is guided away from: 1 minus all weights."""
    return 1.0 - math.fsum((guidance, *(each.weight for each in further)))


def evaluations(
    condition: Conditions, guidance: float, other: Conditions, further: Sequence[Weighted] = ()
) -> tuple[Conditions, NDArray[np.float32]]:
    """The conditions that one guided step evaluates, and their weights.

    With F_i the output for condition i of k, composition (Liu et al. 2022, "Compositional visual generation with
    composable diffusion models", eq. 11) is F = F_other + Σ w_i·(F_i - F_other). So (conditions, other) have weights
    (w_1, ..., w_k, 1 - Σ w_i), and what has weight 0 is not evaluated. Guidance is composition of one condition.

    Args:
        condition: the first: int ``[n]`` or float ``[n, d]``, or these by name, or None for an unconditional model.
        guidance: its weight w_1.
        other: what to guide away from, of the same shape: the null class or another, or None.
        further: the other conditions of a composition and their weights.

    Returns:
        conditions ``[evaluations, n]`` or ``[evaluations, n, d]``, likewise (None for an unconditional model), and
        float32 weights ``[evaluations]`` that sum to 1. The first is the class unless w = 0.

    Raises:
        UsageError: guidance other than 1 without anything to guide away from.
    """
    left = rest(guidance, further)
    if condition is None and not further and left == 0.0:
        return None, np.ones(1, np.float32)
    if condition is None or (left != 0.0 and other is None):
        raise UsageError("guidance needs a model with a null class, which this one does not have")
    every = (Weighted(condition, guidance), *further, Weighted(other, left))
    evaluated = [each for each in every if each.weight != 0.0]
    weights = np.array([each.weight for each in evaluated], np.float32)
    return each_of(_stacked, *(each.condition for each in evaluated)), weights


def _stacked(*arrays: Array) -> Array:
    if len({array.shape for array in arrays}) > 1:
        shapes = " and ".join(str(list(array.shape)) for array in arrays)
        raise UsageError(f"a condition and what it is guided away from must have the same length, not shapes {shapes}")
    return np.stack(arrays)


def each_of(change: Callable[..., Array], *conditions: Conditions) -> Conditions:
    """A function of conditions' arrays: of the one array of each, or of those of each name; None of None."""
    first = conditions[0]
    if first is None:
        return None
    if not isinstance(first, Mapping):
        return change(*conditions)
    named = [condition for condition in conditions if isinstance(condition, Mapping)]
    return {name: change(*(condition[name] for condition in named)) for name in first}
