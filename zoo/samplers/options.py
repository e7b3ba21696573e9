""":class:`SamplingOptions`: the keyword arguments of ``sample`` as one value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from zoo.conditions import ConditionLike
from zoo.errors import UsageError
from zoo.samplers.guidance import Guidance
from zoo.samplers.table import StepTable

#: an option of a sampler, such as ``eta=0.5``, ``spacing="karras"`` or ``spacing=[1.0, 0.5]``
OptionValue: TypeAlias = bool | int | float | str | Sequence[float] | None
#: conditions and their weights
Composition: TypeAlias = Sequence[tuple[ConditionLike, float]]
#: any keyword argument of ``sample``: a condition or several, data, a table, a guidance, or an option of a sampler
SampleArgument: TypeAlias = ConditionLike | Composition | ArrayLike | StepTable | Guidance | OptionValue


@dataclass(frozen=True, eq=False)
class SamplingOptions:
    """How to draw samples, except for their number, condition and seed; None selects the model's default.

    Checks that need no model are made here. Those that need one (its samplers, its null class, the shapes of its
    samples) are made by :mod:`zoo.samplers.runs` and :mod:`zoo.samplers.stepping` when a run begins, before a
    network is evaluated.

    Attributes:
        sampler: name of a sampler, or a finished table.
        steps: number of steps.
        guidance: weight of classifier-free guidance, or a :class:`Guidance`.
        negative: class to guide away from, in any form of a condition.
        init: data ``[n, *event_shape]``, or one event for all, to start from.
        strength: in [0, 1], the share of the trajectory from noise to data that is run.
        mask: broadcastable to ``[n, *event_shape]``, 1 where to sample and 0 where to keep ``init``.
        noise: standard normal noise ``[n, *noise_shape]`` to start from, instead of that of the seed;
            of a model of several noises in one call, some of them by name.
        own: options of the sampler.
        compose: conditions and their weights, ``[(condition, weight), ...]``, to sample from their composition, see
            :func:`zoo.samplers.guidance.evaluations`; a negative weight leads away from its condition. One condition of
            weight w is guidance of w towards it, so this takes the place of the condition and of ``guidance``.

    Raises:
        UsageError: a strength outside [0, 1], guidance that is neither a finite weight nor a :class:`Guidance`, or
            a composition that is no such list or has guidance besides.
    """

    sampler: str | StepTable | None = None
    steps: int | None = None
    guidance: float | Guidance | None = None
    negative: ConditionLike = None
    init: ArrayLike | None = None
    strength: float | None = None
    mask: ArrayLike | None = None
    noise: ArrayLike | Mapping[str, ArrayLike] | None = None
    own: Mapping[str, OptionValue] = field(default_factory=dict)
    compose: Composition | None = None

    def __post_init__(self) -> None:
        """Refuse values that are invalid for any model."""
        if self.strength is not None:
            check_strength(self.strength)
        if self.guidance is not None:
            check_guidance(self.guidance)
        if self.compose is not None:
            check_composition(self.compose, self.guidance)

    def first(self, condition: Any) -> Any:
        """The condition, or the first of a composition.

        Raises:
            UsageError: there are both.
        """
        if self.compose is None:
            return condition
        if condition is not None:
            raise UsageError("compose lists the conditions with their weights, so there is no condition besides")
        return self.compose[0][0]

    @property
    def table_key(self) -> str | None:
        """The options that a step table depends on, told so that none is taken for another; None if not all can be.

        The conditions and data of a run are not among them.
        """
        values = (self.sampler, self.steps, self.strength, *self.own.values())
        guidance, compose = self.guidance, [weight for _, weight in self.compose or ()]
        listed = [each for value in values for each in (value if isinstance(value, (list, tuple)) else [value])]
        if not all(each is None or type(each) in (bool, int, float, str) for each in (*listed, *compose)):
            return None
        if not (guidance is None or type(guidance) in (int, float, Guidance)):
            return None
        return repr((values, list(self.own), guidance, compose))

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that are set."""
        named = [name for name in _NAMES if getattr(self, name) is not None]
        return (*named, *(name for name, value in self.own.items() if value is not None))


_NAMES = tuple(each.name for each in fields(SamplingOptions) if each.name != "own")


def check_strength(strength: float) -> float:
    """Return ``strength`` if it is a number in [0, 1], else raise UsageError."""
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise UsageError(f"strength lies in [0, 1], from the given data to pure noise, not {strength!r}")
    return strength


def check_composition(compose: object, guidance: object = None) -> None:
    """Refuse what is not a list of conditions with finite weights, or has guidance besides.

    Raises:
        UsageError: with what it is.
    """
    if guidance is not None:
        raise UsageError("compose states the weight of each condition, so it takes no guidance besides")
    if not isinstance(compose, Sequence) or isinstance(compose, str) or not compose:
        raise UsageError("compose is a list of pairs of a condition and its weight, one pair or more")
    for pair in compose:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise UsageError("compose is a list of pairs of a condition and its weight")
        weight = pair[1]
        if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
            raise UsageError(f"a weight of compose is a finite number, not {weight!r}")


def check_guidance(guidance: object) -> Guidance:
    """A :class:`Guidance`, made from its weight if necessary.

    Raises:
        UsageError: neither a finite number nor a :class:`Guidance`.
    """
    if isinstance(guidance, Guidance):
        return guidance
    if isinstance(guidance, bool) or not isinstance(guidance, Real):
        raise UsageError(f"guidance is a weight or a Guidance, not {guidance!r}")
    return Guidance(float(guidance))
