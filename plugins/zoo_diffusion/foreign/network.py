"""A foreign network with the interface of ours: ``(x [n, *event], time [n], condition) -> [n, *event]``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.errors import ConfigError, ZooError
from zoo.models.contexts import ReceivedCondition
from zoo.paths import GaussianPath, LinearBeta, RectifiedFlow, Retimed, Trigonometric
from zoo.printable import shortened
from zoo.registry.discovery import last_line
from zoo_diffusion.foreign.calling import CONDITION, STATE, TIME, Call
from zoo_diffusion.foreign.widened import Widened

#: the time as ``[n]``, as ``[n, 1]``, or as one number for all samples
TimeShape = Literal["batch", "column", "scalar"]
Factor = Callable[[Tensor], Tensor | float]


@dataclass(frozen=True)
class Manner:
    """How a network is called.

    Attributes:
        call: its arguments.
        whole_times: whether it takes times as int64.
        time_shape: their shape.
        classes: number of classes of a network that takes them as one-hot vectors; None for numbers.
        drops_variance: whether the second half of its channels is left out.
    """

    call: Call
    whole_times: bool
    time_shape: TimeShape
    classes: int | None
    drops_variance: bool


class ForeignNetwork(nn.Module):
    """A network with its manner, and the factor that makes its output one of our predictions.

    Attributes:
        net: the network, unchanged.
    """

    def __init__(self, net: nn.Module, manner: Manner, factor: Factor | None = None) -> None:
        super().__init__()
        self.net, self.manner, self._factor = net, manner, factor

    def forward(self, x: Tensor, time: Tensor, condition: ReceivedCondition = None) -> Any:
        """Our prediction ``[n, *event]``."""
        values = self.values(x, time, condition)
        with Widened() if x.dtype == torch.float64 else contextlib.nullcontext():
            output = tensor_in(self.manner.call(self.net, values))
        if not isinstance(output, Tensor):
            return output
        output = output.to(x.dtype)  # constants in float64 widen it
        if self.manner.drops_variance:
            output = output.chunk(2, dim=1)[0]
        if self._factor is None:
            return output
        factor = self._factor(time)
        return output * (factor.reshape(-1, *[1] * (x.ndim - 1)) if isinstance(factor, Tensor) else factor)

    def values(self, x: Tensor, time: Tensor, condition: ReceivedCondition) -> dict[str, Tensor]:
        """The network's inputs by role."""
        told = time.round().long() if self.manner.whole_times else time
        if self.manner.time_shape == "column":
            told = told[:, None]
        elif self.manner.time_shape == "scalar":
            told = told[0]
        values = {STATE: x, TIME: told}
        if isinstance(condition, Mapping):
            return {**values, **condition}
        if condition is not None:
            values[CONDITION] = condition if condition.is_floating_point() else self._classes(condition, x)
        return values

    def _classes(self, condition: Tensor, x: Tensor) -> Tensor:
        """Classes ``[n]`` as the network takes them; the null class is a row of zeros."""
        if self.manner.classes is None:
            return condition.long()
        numbers = torch.arange(self.manner.classes, device=x.device)
        return (condition[:, None] == numbers).to(x.dtype)


def tensor_in(output: Any) -> Any:
    """The tensor of an output that holds one as ``sample``, as those of diffusers do; else the output."""
    held = output.get("sample") if isinstance(output, Mapping) else getattr(output, "sample", None)
    return held if isinstance(held, Tensor) and not isinstance(output, Tensor) else output


@torch.no_grad()
def time_shape_of(net: nn.Module, manner: Callable[[TimeShape], Manner], example: tuple[Any, ...]) -> TimeShape:
    """The first shape of the time with which the network gives an output of the right shape.

    Args:
        net: the network, in evaluation mode.
        manner: its manner for a shape of the time.
        example: a state ``[n, *event]`` with n unlike any size of an event, times ``[n]``, and a condition or None.

    Raises:
        ConfigError: no shape works; the message says what happened with ``[n]``.
    """
    problems = []
    for shape in get_args(TimeShape):
        network = ForeignNetwork(net, manner(shape))
        x = example[0]
        told = manner(shape).call.told(network.values(*example))
        try:
            output = network(*example)
        except ZooError:
            raise
        except Exception as error:  # a network may raise anything for inputs that it does not accept
            problems.append(f"{told} fails: {shortened(last_line(error), 200)}")
            continue
        if isinstance(output, Tensor) and output.shape[:1] == x.shape[:1] and output.ndim == x.ndim:
            return shape  # type: ignore[no-any-return]
        returned = f"a tensor {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        problems.append(f"{told} gives {returned}, not one prediction for each of {len(x)} samples")
    raise ConfigError(
        f"the network {type(net).__name__} cannot be called: {problems[0]}",
        hint="State its arguments = (...), or time = 'index' for whole timesteps; else wrap it in a module.",
    )


def path_velocity(path: GaussianPath) -> tuple[str, Factor | None]:
    """The prediction that dx/ds of a path amounts to, and its factor; s is the network's time, scaled to [0, 1].

    With α = cos φ and σ = sin φ, dx/ds = φ'·(α·ε - σ·x₀), so v is dx/ds divided by φ'.

    Raises:
        ConfigError: a path whose velocity is not one of the predictions.
    """
    if isinstance(path, RectifiedFlow):
        return ("velocity-to-data" if path.data_at_one else "velocity"), None
    inner, clock = (path.path, path.clock) if isinstance(path, Retimed) else (path, (0.0, 1000.0))
    if isinstance(clock, tuple) and isinstance(inner, Trigonometric):
        sign = 1.0 if clock[1] > clock[0] else -1.0
        return "v", lambda time: sign * 2.0 / math.pi
    if isinstance(clock, tuple) and isinstance(inner, LinearBeta):
        return "v", _VPFactor(inner, *clock)
    raise ConfigError(
        f"the velocity of the path {path.name} is not one of genzoo's predictions",
        hint="It is for rectified-flow, trigonometric and vp-linear; any other field is a velocity-field.",
    )


class _VPFactor:
    """1/φ' on the VP path: with T = -2 ln α = ½u²(β₁ - β₀) + uβ₀ and σ/α = √(e^T - 1), φ' = T'·α/(2σ)."""

    def __init__(self, path: LinearBeta, at_data: float, at_noise: float) -> None:
        # the clock leaves out the path's start, see _linear in conventions.py
        self.at_clean = (at_data - path.start * at_noise) / (1.0 - path.start)
        self.at_noise = at_noise
        self.low, self.high = path.beta_min, path.beta_max

    def __call__(self, time: Tensor) -> Tensor:
        u = (time - self.at_clean) / (self.at_noise - self.at_clean)
        exponent = 0.5 * u * u * (self.high - self.low) + u * self.low
        sign = 1.0 if self.at_noise > self.at_clean else -1.0
        return sign * 2.0 * torch.expm1(exponent).sqrt() / (u * (self.high - self.low) + self.low)


def example_condition(condition: Condition | None, n: int, like: Tensor) -> Tensor | None:
    """A condition of one class or one vector for ``n`` samples; None without one."""
    if condition is None:
        return None
    if condition.kind == "classes":
        return torch.zeros(n, dtype=torch.int32, device=like.device)
    return torch.zeros(n, condition.size or 0, dtype=like.dtype, device=like.device)
