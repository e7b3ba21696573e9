"""A trained diffusion as a teacher: its guided denoiser, and steps along its probability-flow ODE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.conditions import Condition
from zoo.errors import ConfigError, UsageError
from zoo.models.contexts import ReceivedCondition
from zoo.paths import GaussianPath
from zoo_diffusion.diffusion import Diffusion


class Levels(NamedTuple):
    """The positions of samples on the path.

    Attributes:
        time: the network's, ``[n]``.
        alpha: α, which broadcasts against ``[n, *event]``.
        sigma: σ, likewise.
    """

    time: Tensor
    alpha: Tensor
    sigma: Tensor

    @property
    def place(self) -> Tensor:
        """r = σ/(α + σ), in which the ODE of z = x/(α + σ) has the velocity ε̂ - D; see :mod:`zoo.samplers.flow`."""
        return self.sigma / (self.alpha + self.sigma)

    @classmethod
    def at(cls, path: GaussianPath, t: NDArray[np.float64], like: Tensor) -> Levels:
        """The levels of samples ``like`` at their times ``t``, ``[n]``."""
        shape = (len(t), *[1] * (like.ndim - 1))
        alpha, sigma = (torch.from_numpy(np.asarray(a)).to(like).reshape(shape) for a in path.alpha_sigma(t))
        return cls(torch.from_numpy(path.network_time(t)).to(like), alpha, sigma)


def check_teacher(student: Any, teacher: Any, *, guidance: float) -> None:
    """Refuse a teacher that a student cannot learn from.

    Raises:
        ConfigError: a student or teacher that is not a diffusion, other events or conditions, or guidance that the
            teacher cannot give.
    """
    if not isinstance(student, Diffusion):
        raise ConfigError(f"this distillation is for diffusions of numbers, and {type(student).__name__} is not one")
    if not isinstance(teacher, Diffusion):
        raise ConfigError(f"the teacher of a diffusion must be a diffusion, not a {type(teacher).__name__}")
    if teacher.event_shape != student.event_shape:
        raise ConfigError(f"the teacher has events of shape {teacher.event_shape}, the student {student.event_shape}")
    if teacher.state_shape != student.state_shape:
        raise ConfigError(f"the teacher has states of shape {teacher.state_shape}, the student {student.state_shape}")
    mine, theirs = (_taken(model.condition) for model in (student, teacher))
    if mine != theirs:
        raise ConfigError(f"teacher and student take different conditions: {_told(theirs)} and {_told(mine)}")
    if teacher.consistency:
        raise ConfigError("the teacher is a consistency model: it has no ODE to learn from")
    if guidance != 1.0:
        _check_guided(teacher)


def _taken(condition: Condition | None) -> Condition | tuple[str, int] | None:
    """What must be the same in two models' conditions; labels and ``required`` of plain ones may differ."""
    return (condition.kind, condition.size) if condition is not None and condition.plain else condition


def _told(taken: object) -> str:
    return taken.told if isinstance(taken, Condition) else str(taken)


def _check_guided(teacher: Diffusion) -> None:
    """Refuse guidance of a teacher that has no null."""
    if teacher.condition is not None and not teacher.condition.plain:
        try:
            teacher.condition.nulls()
        except UsageError as error:
            raise ConfigError(f"distillation.options: guidance needs a null of each part: {error}") from error
    elif teacher.null_class is None:
        raise ConfigError(
            "distillation.options: guidance needs a teacher with a null class, which this one does not have"
        )


class Conditions(NamedTuple):
    """What a model gets for conditions, and for no condition: tensors, mappings of tensors, or None."""

    condition: ReceivedCondition
    null: ReceivedCondition


class Teacher:
    """A trained, frozen diffusion.

    Args:
        model: the diffusion.
        guidance: weight of classifier-free guidance (Ho & Salimans 2022), applied in its denoiser.
    """

    def __init__(self, model: Diffusion, guidance: float) -> None:
        self.model = model
        self.guidance = guidance

    @torch.no_grad()
    def conditions(self, condition: Any) -> Conditions:
        """What the model gets for the conditions of samples, and for none, as guidance needs.

        Args:
            condition: a tensor, or the parts ``[n, ...]`` and masks of what a student was given; None for none.
        """
        described = self.model.condition
        if described is None or condition is None or not self.model.takes_parts:
            null = None if condition is None else torch.full_like(condition, self.model.null_class or 0)
            return Conditions(condition, null)
        n = len(next(iter(condition.values())))
        own = self.model.encoded_parts(condition)
        if self.guidance == 1.0:
            return Conditions(own, None)
        nulls = self.model.encoded_parts(described.nulls(described.lengths(condition)))
        return Conditions(own, {name: each.expand(n, *each.shape[1:]) for name, each in nulls.items()})

    @torch.no_grad()
    def denoise(self, x: Tensor, at: Levels, conditions: Conditions) -> Tensor:
        """The guided D, bounded as sampling bounds it, ``[n, *event]``."""
        if self.guidance == 1.0 or conditions.condition is None:
            return bounded(self.model, self.model.denoise(x, *at, conditions.condition))
        twice, time, alpha, sigma = (torch.cat([each, each]) for each in (x, *at))
        both = _joined(conditions.condition, conditions.null)
        of_class, of_null = self.model.denoise(twice, time, alpha, sigma, both).chunk(2)
        return bounded(self.model, of_null + self.guidance * (of_class - of_null))

    def step(self, x: Tensor, here: Levels, there: Levels, conditions: Conditions, *, order: int) -> Tensor:
        """x at ``there``, by a step of Euler's method (which is DDIM) or of Heun's."""
        slope = self._velocity(x, here, conditions)
        change = there.place - here.place
        z = x / (here.alpha + here.sigma)
        moved = (there.alpha + there.sigma) * (z + change * slope)
        if order == 1:
            return moved
        slope = (slope + self._velocity(moved, there, conditions)) / 2
        return (there.alpha + there.sigma) * (z + change * slope)

    def _velocity(self, x: Tensor, at: Levels, conditions: Conditions) -> Tensor:
        d = self.denoise(x, at, conditions)
        return (x - at.alpha * d) / at.sigma - d


def _joined(condition: Any, null: Any) -> Any:
    """Conditions ``[n, ...]`` and nulls ``[n, ...]``, one after the other."""
    if isinstance(condition, Mapping):
        return {name: torch.cat([each, null[name]]) for name, each in condition.items()}
    return torch.cat([condition, null])


def bounded(model: Diffusion, d: Tensor) -> Tensor:
    """D within the bound that the model's sampling has."""
    return d if model.state_clip is None else d.clamp(-model.state_clip, model.state_clip)
