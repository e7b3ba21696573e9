"""The volumes that sampling makes of small ones, by differences in float64: the determinants of its Jacobian."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.models.interface import GenerativeModel
from zoo_onnx.mass import log_normals

#: allowed difference of the densities, in nats per number and relative to the value
TOLERANCE = 1e-4
#: evaluations of all Jacobians together, two for each number of each point
ROWS = 256
#: step of central differences in float64, and another that tells how far to trust them, as they may cross knots of
#: splines
_STEP, _OTHER_STEP = 1e-7, 1e-6
_DOUBT = 0.01  # nats per number, the most that is allowed for that
#: steps of the differences of a sampler that searches, in units of its resolution; a point takes what suits it best
_LADDER = (1e1, 1e2, 1e3, 1e4, 1e5)
#: resolutions by which a result may be off that several searches find, one in what another found
_OFF = 10.0

#: conditions of samples by the ports that graphs take them by; none for a model without any
Conditions = Mapping[str, Tensor]
Call = Callable[[Tensor, Conditions], Tensor]


class Volumes(NamedTuple):
    """The volumes that sampling makes of small ones around some noises, ``[n]`` each.

    Attributes:
        signs: of det ∂T/∂z.
        logs: log |det ∂T/∂z|.
        doubt: how far the logarithms, or the noise, may be from the exact ones, in nats.
    """

    signs: Tensor
    logs: Tensor
    doubt: Tensor


def stepped(draw: Call, z: Tensor, conditions: Conditions, scored: Tensor) -> Volumes:
    """The volumes of a sampler that computes its result; in doubt by what steps of another length change, where
    ``scored`` differs, since steps may cross knots of splines."""
    signs, logs = _log_dets(draw, z, conditions, _STEP)
    doubt = torch.zeros_like(scored)
    if bool(((scored - log_normal(z) + logs).abs() > TOLERANCE).any()):
        _, others = _log_dets(draw, z, conditions, _OTHER_STEP)
        doubt = (2 * (logs - others).abs()).clamp(max=_DOUBT * z[0].numel())
    return Volumes(signs, logs, doubt)


def searched(
    model: GenerativeModel, draw: Call, z: Tensor, x: Tensor, conditions: Conditions
) -> tuple[Tensor, Volumes]:
    """The volumes of a sampler that searches for its result: which noises they are of, and what they are.

    Where ``to_noise`` leads back to the noise, as near as the search came, they are those of ``to_noise``, which does
    not search. Elsewhere they are found by differences of samples.
    """
    size = z[0].numel()
    known, volume = _led_back(model, z, x, conditions)
    others = torch.nonzero(~known).flatten()[: max(1, ROWS // (2 * size * len(_LADDER)))]
    if len(others):
        differences = _by_ladder(draw, z[others], some_of(conditions, others), model.resolution)
        for every, there in zip(volume, differences, strict=True):
            every[others] = there
    kept = torch.cat([torch.nonzero(known).flatten(), others])
    signs, logs, doubt = (each[kept] for each in volume)
    return kept, Volumes(signs, logs, doubt.clamp(max=_DOUBT * size))


def _led_back(model: GenerativeModel, z: Tensor, x: Tensor, conditions: Conditions) -> tuple[Tensor, Volumes]:
    """Where ``to_noise`` leads from samples to their noise, and the volumes there; nowhere for a model without it."""
    to_noise, nothing = getattr(model, "to_noise", None), torch.zeros_like(z.flatten(1)[:, 0])
    if to_noise is None:
        return nothing.bool(), Volumes(nothing.clone(), nothing.clone(), nothing.clone())

    def back(value: Tensor, conditions: Conditions) -> Tensor:
        noise: Tensor = to_noise(value, received(model, conditions))[0]
        return noise

    jacobians = _jacobians(back, x, conditions, _STEP)
    # as far as a sample that is off by what the search leaves comes back from its noise
    reach = _OFF * model.resolution * jacobians.abs().sum(1)
    restored = back(x, conditions)
    known = ((restored - z).abs().flatten(1) <= reach + TOLERANCE * (1 + z.abs().flatten(1))).all(1)
    signs, logs = torch.linalg.slogdet(jacobians)
    return known, Volumes(signs, -logs, (log_normal(restored) - log_normal(z)).abs())


def _by_ladder(draw: Call, z: Tensor, conditions: Conditions, resolution: float) -> Volumes:
    """Volumes by differences over steps of several lengths.

    A search makes stairs of what it finds: short steps see their edges, and over long ones the slope changes. Each
    noise takes the step whose volume is nearest to those of the next shorter and the next longer one.
    """
    each = [_log_dets(draw, z, conditions, factor * resolution) for factor in _LADDER]
    signs, logs = (torch.stack(parts) for parts in zip(*each, strict=True))
    apart = (logs[1:] - logs[:-1]).abs().nan_to_num(math.inf)
    doubt, best = torch.maximum(apart[1:], apart[:-1]).min(0)
    place = (best + 1).unsqueeze(0)
    return Volumes(signs.gather(0, place)[0], logs.gather(0, place)[0], 2 * doubt)


def _log_dets(draw: Call, z: Tensor, condition: Conditions, step: float) -> tuple[Tensor, Tensor]:
    """Signs of det ∂T/∂z and log |det ∂T/∂z| ``[n]``, by central differences."""
    signs, volumes = torch.linalg.slogdet(_jacobians(draw, z, condition, step))
    return signs, volumes


def _jacobians(draw: Call, z: Tensor, condition: Conditions, step: float) -> Tensor:
    """∂T/∂z ``[n, size of z, size of T]``, by central differences along every axis of all points at once."""
    n, size = len(z), z[0].numel()
    steps = step * torch.eye(size, dtype=z.dtype).reshape(size, *z.shape[1:])
    moved = torch.stack([z.unsqueeze(1) + steps, z.unsqueeze(1) - steps], 1).flatten(0, 2)
    conditions = {name: each.repeat_interleave(2 * size, 0) for name, each in condition.items()}
    x = draw(moved, conditions).reshape(n, 2, size, -1)
    return (x[:, 0] - x[:, 1]) / (2 * step)


def received(model: GenerativeModel, conditions: Conditions) -> Any:
    """What a model gets of conditions that graphs take."""
    return next(iter(model.received_by_graph(tuple(conditions.values()))), None)


def some_of(conditions: Conditions, samples: slice | Tensor) -> Conditions:
    """Those of some samples."""
    return {name: each[samples] for name, each in conditions.items()}


def log_normal(z: Tensor) -> Tensor:
    """Log-densities ``[n]`` of standard normal noise ``[n, ...]``."""
    return log_normals(z.flatten(1))
