"""``zoo.denoiser``: a model of any network that somebody trained to denoise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.models.contexts import TensorCondition
from zoo.models.interface import GenerativeModel
from zoo.overriding import override
from zoo.paths import GaussianPath, path_from
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.foreign import conventions
from zoo_diffusion.foreign.calling import CONDITION, Arguments, call_of
from zoo_diffusion.foreign.conventions import CONVENTIONS, Convention, Time, timed
from zoo_diffusion.foreign.network import (
    Factor,
    ForeignNetwork,
    Manner,
    TimeShape,
    example_condition,
    path_velocity,
    time_shape_of,
)
from zoo_diffusion.prediction import Prediction

#: predictions beside :data:`zoo_diffusion.prediction.Prediction`
MINUS_EPSILON, PATH_VELOCITY = "minus-epsilon", "path-velocity"
PREDICTIONS = (*get_args(Prediction), MINUS_EPSILON, PATH_VELOCITY)
LABELS = ("index", "one-hot")
#: variance of a network whose second half of channels is of no use
DROPPED = "dropped"


def denoiser(
    net: nn.Module,
    *,
    event_shape: Sequence[int],
    convention: str | None = None,
    path: str | Mapping[str, object] | None = None,
    betas: ArrayLike | Tensor | None = None,
    prediction: str | None = None,
    time: Time | None = None,
    arguments: Arguments | None = None,
    time_shape: str | None = None,
    labels: str | None = None,
    condition: Condition | None = None,
    variance: str | None = None,
    sampling: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Diffusion:
    """A :class:`GenerativeModel` of a network that denoises, whoever trained it, and however it counts time.

    What cannot be seen in a network is stated: by the name of a convention (the table of
    :mod:`zoo_diffusion.foreign.conventions`), by ``path``, ``prediction`` and ``time``, or by both, and what is stated
    wins over the convention. The network is put into evaluation mode; its parameters are shared, not copied.

    Args:
        net: the network.
        event_shape: shape of one sample.
        convention: whose network it is like.
        path: the Gaussian path, by name or description (:mod:`zoo.paths`).
        betas: instead of a path the betas of a DDPM, ``[T]``.
        prediction: what it predicts (:mod:`zoo_diffusion.prediction`), ``"minus-epsilon"``, or ``"path-velocity"``:
            dx/ds, where s is its own time.
        time: what it is told of the time: ``"data-to-noise"`` from 0 to 1, ``"noise-to-data"`` from 0 to 1 the other
            way, ``"thousand"`` from 0 at data to 1000; the ``"timestep"`` of a discrete path, or the same as whole
            numbers (``"index"``; between timesteps the nearest); ``"sigma"``, ``"log-sigma"``, ``"log-sigma/4"`` or
            ``"log-half-sigma"``, of the noise level σ/α; or two numbers, the time at data and at noise.
        arguments: what it takes, in order, as ``("x", "time", "condition")``; the same by the names of its parameters;
            or ``"cat"`` for cat([x, time], 1). None looks at the names of its parameters.
        time_shape: ``"batch"`` [n], ``"column"`` [n, 1] or ``"scalar"`` []; None tries them in this order.
        labels: classes as numbers, ``"index"``, or ``"one-hot"``, where zeros stand for no class.
        condition: classes, a vector, or named parts, which are its arguments of these names; or None.
        variance: ``"fixed"``, ``"learned-range"``, or ``"dropped"`` for a network whose second half of channels is left
            out.
        sampling: defaults of ``sampler``, ``steps``, ``guidance`` and ``options``.
        settings: other keywords of :class:`zoo.Diffusion`, such as ``shift``, ``scale``, ``data_min`` or
            ``likelihood``.

    Raises:
        ConfigError: something is not stated, cannot be told from the names of arguments, or does not fit the network.
        UnknownNameError: no such convention, path or time.
    """
    row = _stated(convention, path, betas, prediction, time)
    shape = _checked(net, event_shape)
    chosen = timed(path_from(row.path or {}), row.time)
    labels, variance = labels or row.labels, variance or row.variance
    if labels not in LABELS:
        raise ConfigError(f"labels must be one of {', '.join(LABELS)}, not {labels!r}")
    kind, factor = _prediction(row.prediction, chosen)
    manner = _Manners(net, arguments, condition, row.time == "index", labels, variance == DROPPED)
    seen = manner.of(_time_shape(net, time_shape, manner, shape, chosen, condition))
    model = ForeignDiffusion(
        ForeignNetwork(net, seen, factor),
        shape,
        condition=condition,
        path=chosen.describe(),
        prediction=kind,
        variance="fixed" if variance == DROPPED else variance,
        sampling=_sampling({**row.sampling, **(sampling or {})}, chosen),
        **{**row.settings, **settings},
    )
    return model.eval()


class ForeignDiffusion(Diffusion):
    """A diffusion around a network of somebody else's."""

    network: ForeignNetwork

    @override
    def loss(self, x: Tensor, *, condition: TensorCondition = None, noise: Tensor | None = None) -> Tensor:
        if self.network.manner.time_shape == "scalar":
            raise ConfigError(
                "this network takes one time for all samples of a batch, and training draws one for each",
                hint="Train it by its own code.",
            )
        return super().loss(x, condition=condition, noise=noise)


def _stated(
    name: str | None,
    path: str | Mapping[str, object] | None,
    betas: ArrayLike | Tensor | None,
    prediction: str | None,
    time: Time | None,
) -> Convention:
    """The convention with what is stated in its place.

    Raises:
        ConfigError: it leaves something open.
        UnknownNameError: there is no such convention.
    """
    row = Convention(None, "", "") if name is None else conventions.convention(name)
    if betas is not None:
        if path is not None:
            raise ConfigError("path and betas both say what the noise schedule is: give one of them")
        path = {"name": "ddpm-table", "table": _table(betas)}
    stated: dict[str, Any] = {
        "path": {"name": path} if isinstance(path, str) else path,
        "prediction": prediction,
        "time": time,
    }
    row = dataclasses.replace(row, **{key: value for key, value in stated.items() if value is not None})
    if open_ := [key for key in stated if not getattr(row, key)]:
        whose = "a network" if name is None else f"the convention {name!r}"
        raise ConfigError(
            f"{whose} does not say its {' or '.join(open_)}, which zoo.denoiser does not guess: state "
            f"{' and '.join(open_)}{' (or betas)' if 'path' in open_ else ''}",
            hint=f"Or name a convention: {', '.join(CONVENTIONS)}.",
        )
    return row


def _table(betas: ArrayLike | Tensor) -> list[float]:
    array = np.asarray(betas.detach().cpu() if isinstance(betas, Tensor) else betas, np.float64)
    if array.ndim != 1:
        raise ConfigError(f"betas are a list of numbers, one for each timestep, not of shape {list(array.shape)}")
    return [float(beta) for beta in array]


def _checked(net: object, event_shape: Sequence[int]) -> tuple[int, ...]:
    """The event's shape, if a network was given.

    Raises:
        ConfigError: something else.
    """
    if isinstance(net, GenerativeModel):
        raise ConfigError(f"{type(net).__name__} is a GenerativeModel already, which exports as it is")
    if not isinstance(net, nn.Module):
        raise ConfigError(
            f"the network must be a torch.nn.Module, not {type(net).__name__}",
            hint="The weights of a function cannot be seen: call it from the forward of a module that has its network.",
        )
    if isinstance(event_shape, int):
        raise ConfigError(f"event_shape is the shape of one sample, such as ({event_shape},), not {event_shape}")
    return tuple(event_shape)


def _prediction(asked: str, path: GaussianPath) -> tuple[str, Factor | None]:
    """Our prediction, and the factor that the network's output takes to be it."""
    if asked not in PREDICTIONS:
        hint = "Of a score s, epsilon is -σ·s: wrap the network." if asked == "score" else None
        raise ConfigError(f"prediction must be one of {', '.join(PREDICTIONS)}, not {asked!r}", hint=hint)
    if asked == PATH_VELOCITY:
        return path_velocity(path)
    return ("epsilon", lambda time: -1.0) if asked == MINUS_EPSILON else (asked, None)


class _Manners:
    """The manner of a network but for the shape of the time."""

    def __init__(
        self,
        net: nn.Module,
        arguments: Arguments | None,
        condition: Condition | None,
        whole_times: bool,
        labels: str,
        drops_variance: bool,
    ) -> None:
        names = () if condition is None else (CONDITION,) if condition.plain else condition.names
        classes = condition.size if condition is not None and condition.kind == "classes" else None
        self._rest = {
            "call": call_of(net, arguments, names),
            "whole_times": whole_times,
            "classes": classes if labels == "one-hot" else None,
            "drops_variance": drops_variance,
        }

    def of(self, shape: TimeShape) -> Manner:
        """For a shape of the time."""
        return Manner(time_shape=shape, **self._rest)  # type: ignore[arg-type]


def _time_shape(
    net: nn.Module,
    asked: str | None,
    manner: _Manners,
    event_shape: tuple[int, ...],
    path: GaussianPath,
    condition: Condition | None,
) -> TimeShape:
    if asked is not None:
        if asked not in get_args(TimeShape):
            raise ConfigError(f"time_shape must be one of {', '.join(get_args(TimeShape))}, not {asked!r}")
        return asked  # type: ignore[return-value]
    if condition is not None and not condition.plain:
        return "batch"
    n = next(n for n in range(2, 12) if n not in event_shape)
    like = next(net.parameters(), torch.zeros(()))
    x = torch.linspace(-1.0, 1.0, n, dtype=like.dtype, device=like.device).reshape(-1, *[1] * len(event_shape))
    time = torch.full((n,), float(path.network_time(0.5)), dtype=like.dtype, device=like.device)
    net.eval()
    state = x.expand(n, *event_shape).contiguous()
    return time_shape_of(net, manner.of, (state, time, example_condition(condition, n, like)))


def _sampling(settings: Mapping[str, Any], path: GaussianPath) -> dict[str, Any]:
    """Defaults of sampling, with no more steps than the path has."""
    chosen = {"sampler": "ddim", "steps": 50, **settings}
    if path.timesteps is not None and "steps" not in settings:
        chosen["steps"] = min(50, path.timesteps)
    return chosen
