"""Named parts of a condition in the networks of diffusions: which input they become when a network is called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.models.encoders import ConditionEncoder, CrossAttention
from zoo.models.encoding import Plan


class Embedded(NamedTuple):
    """The parts of a condition that a network embeds.

    Attributes:
        classes: number of classes including the null class, if classes are not required; or None.
        vector: length of the condition vector, or None.
    """

    classes: int | None = None
    vector: int | None = None

    @classmethod
    def of(cls, condition: Condition | None) -> Embedded:
        """For a condition of one class or one vector, or for None.

        Raises:
            ConfigError: a condition of named parts.
        """
        if condition is None:
            return cls()
        if not condition.plain:
            raise ConfigError(
                f"this architecture takes one class or one vector, not the parts {', '.join(condition.names)}"
            )
        if condition.kind == "classes":
            return cls(classes=condition.size + (not condition.required))
        return cls(vector=condition.size)


def conditioned_network(
    make: Callable[..., nn.Module],
    condition: Condition | None,
    conditioning: Mapping[str, object] | None,
    ways: Collection[str],
    *,
    size: Sequence[int] = (),
    channels_last: bool = False,
) -> tuple[nn.Module, ConditionEncoder | None]:
    """A network for a condition, and the encoder of its named parts, if it has such.

    Args:
        make: builds the network from ``beside``, the channels of the condition that stand beside those of the data;
            ``classes`` and ``vector``; and of ``cross_attention``, if parts go in by it.
        condition: what it is conditioned on, or None.
        conditioning: how parts go in, see :mod:`zoo.models.encoding`; or None.
        ways: those that the network supports.
        size: positions of the data, see :class:`~zoo.models.encoding.Plan`.
        channels_last: see there.

    Raises:
        ConfigError: parts that cannot enter the network like that.
    """
    if condition is None or condition.plain:
        if conditioning:
            raise ConfigError(
                "conditioning describes how named parts enter the network, but this condition has no named parts"
            )
        return make(beside=0, **Embedded.of(condition)._asdict()), None
    plan = Plan.of(condition, conditioning, ways, size=size, channels_last=channels_last)
    attends = {} if plan.attention is None else {"cross_attention": plan.attention}
    network = make(beside=plan.beside, **Embedded(vector=plan.embedding or None)._asdict(), **attends)
    layers = sum(isinstance(module, CrossAttention) for module in network.modules())
    return network, ConditionEncoder(plan, layers)


def evaluated(
    network: nn.Module, encoder: ConditionEncoder, x: Tensor, time: Tensor, encoded: Mapping[str, Tensor]
) -> Tensor:
    """A network's output for a condition of named parts.

    Args:
        network: called with channels beside those of x, the time, the embedding, and ``attended``, if parts are
            attended to. A network of vectors gets them, and what stands beside them, as ``[n, numbers]``.
        encoder: of the condition.
        x: the network's input, ``[n, *event]``.
        time: ``[n]``.
        encoded: the encoder's outputs, ``[n, ...]``.
    """
    attended = encoder.attended(encoded)
    others = {} if attended is None else {"attended": attended}
    embedding, beside = encoded.get("embedding"), encoded.get("beside")
    if beside is None:
        output: Tensor = network(x, time, embedding, **others)
        return output
    if not encoder.plan.size:
        output = network(torch.cat([x.flatten(1), beside], 1), time, embedding)
        return torch.unflatten(output, 1, x.shape[1:])
    shown = torch.cat([x, beside], -1 if encoder.plan.channels_last else 1)
    output = network(shown, time, embedding, **others)
    return output


class ChannelsLast(nn.Module):
    """A network of signals whose channels are the last axis, such as actions over a horizon.

    Args:
        network: of signals whose channels are the first axis.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, time: Tensor, condition: Any = None, **others: Any) -> Tensor:
        """``[n, length, channels]`` to ``[n, length, outputs]``; other arguments are the network's."""
        # contiguous: the derivative of a group norm wants its input in order
        output: Tensor = self.network(x.transpose(1, 2).contiguous(), time, condition, **others)
        return output.transpose(1, 2)
