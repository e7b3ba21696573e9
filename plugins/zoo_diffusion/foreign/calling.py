"""Which argument of somebody's network is the state, which the time and which the condition.

The names of its parameters say so, or its author does. Nothing is guessed from their order, which differs between
projects: ``net(x, t)`` here, ``net(t, x)`` there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError

STATE, TIME, CONDITION = "x", "time", "condition"
#: the argument ``cat`` of networks that take state and time as one vector
JOINED = "cat"
_WORDS = {
    STATE: (
        "x xt x_t xs x_s z z_t zt sample samples input inputs hidden_states noisy noisy_x x_noisy noised noised_input "
        "state img image images latent latents"
    ),
    TIME: (
        "t ts time times timestep timesteps time_step time_steps step steps sigma sigmas noise_label noise_labels "
        "noise_level noise_levels c_noise log_snr logsnr tau"
    ),
    CONDITION: "y c cond condition conditions conditioning context class_label class_labels label labels classes cls",
}
_NAMES = {role: frozenset(words.split()) for role, words in _WORDS.items()}
_HINT = (
    'Say what it takes, in its order: arguments = ("x", "time"), ("time", "x", "condition"), or "cat" for cat([x, t]).'
)

Arguments = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """How a network is called.

    Attributes:
        positions: what it takes by position, in order.
        keywords: what it takes by name: parameter to ``"x"``, ``"time"``, ``"condition"`` or a part of the condition.
        joined: whether it takes ``cat([x, time], 1)`` alone.
    """

    positions: tuple[str, ...] = ()
    keywords: Mapping[str, str] = field(default_factory=dict)
    joined: bool = False

    def __call__(self, net: nn.Module, values: Mapping[str, Tensor]) -> Any:
        """The output of the network for these values."""
        if self.joined:
            time = values[TIME]
            x = values[STATE]
            column = time.expand(x.shape[0])[:, None] if time.ndim < 2 else time
            return net(torch.cat([x, column.to(x.dtype)], dim=1))
        named = {parameter: values[role] for parameter, role in self.keywords.items()}
        return net(*(values[role] for role in self.positions), **named)

    def told(self, values: Mapping[str, Tensor]) -> str:
        """The call in words, with shapes."""
        if self.joined:
            return f"net(cat([x, time])), x {list(values[STATE].shape)}"
        given = [*zip(self.positions, self.positions, strict=True), *self.keywords.items()]
        return f"net({', '.join(f'{name} {list(values[role].shape)}' for name, role in given)})"


def call_of(net: nn.Module, arguments: Arguments | None, condition: Sequence[str]) -> Call:
    """How a network is to be called.

    Args:
        net: the network.
        arguments: its arguments in order, as ``"x"``, ``"time"`` and ``"condition"`` or the names of parts; or these by
            the names of parameters; or ``"cat"``; None looks at the names of its parameters.
        condition: what it is conditioned on: nothing, ``("condition",)``, or the names of parts.

    Raises:
        ConfigError: it cannot be told, or the condition has no place.
    """
    roles = (STATE, TIME, *condition)
    if arguments is None:
        return _looked_at(net, roles)
    if arguments == JOINED:
        if condition:
            raise ConfigError('arguments = "cat" has no place for a condition')
        return Call(joined=True)
    if isinstance(arguments, str):
        raise ConfigError(f"arguments = {arguments!r} is not understood", hint=_HINT)
    given = tuple(arguments.values()) if isinstance(arguments, Mapping) else tuple(arguments)
    if sorted(given) != sorted(roles):
        raise ConfigError(f"arguments must name {', '.join(roles)}, each once, not {', '.join(map(str, given))}")
    return Call(keywords=dict(arguments)) if isinstance(arguments, Mapping) else Call(positions=given)


def _looked_at(net: nn.Module, roles: Sequence[str]) -> Call:
    what = f"{type(net).__name__}.forward"
    try:
        parameters = list(inspect.signature(net.forward).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} does not say what it takes", hint=_HINT) from error
    listed = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    shown = f"{what}({', '.join(str(p) for p in parameters)})"
    found: dict[str, inspect.Parameter] = {}
    for role in roles:
        names = _NAMES.get(role, frozenset()) | {role}
        fits = [p for p in listed if p.name.lower() in names]
        if len(fits) > 1:
            several = " and ".join(p.name for p in fits)
            raise ConfigError(
                f"{shown} has more than one argument that may be the {_told(role)}: {several}", hint=_HINT
            )
        if not fits:
            raise ConfigError(f"none of the arguments of {shown} is called like the {_told(role)}", hint=_HINT)
        found[role] = fits[0]
    taken = {p.name for p in found.values()}
    if rest := [p.name for p in listed if p.default is p.empty and p.name not in taken]:
        conditional = "" if len(roles) > 2 else ", and the model has no condition"
        raise ConfigError(
            f"{shown} also needs {' and '.join(rest)}{conditional}",
            hint="Give a condition that it may be, or wrap the network in a module that passes it.",
        )
    return _call(found, listed)


def _call(found: Mapping[str, inspect.Parameter], listed: Sequence[inspect.Parameter]) -> Call:
    """By name, but for arguments that are taken by position alone, which come first."""
    roles = {p.name: role for role, p in found.items()}
    first = [p for p in listed if p.kind is p.POSITIONAL_ONLY and p.name in roles]
    return Call(
        tuple(roles[p.name] for p in first),
        {name: role for name, role in roles.items() if name not in {p.name for p in first}},
    )


def _told(role: str) -> str:
    return {STATE: "state", TIME: "time"}.get(role, role)
