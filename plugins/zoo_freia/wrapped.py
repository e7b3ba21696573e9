"""FrEIA's invertible networks as models of genzoo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from FrEIA.framework import GraphINN, SequenceINN
from FrEIA.modules import ActNorm
from torch import Tensor

from zoo import Condition, ConfigError, ExportError, Part, Wrapped
from zoo.models.contexts import ReceivedCondition
from zoo.overriding import override
from zoo_freia import mends

_LOG_2PI = math.log(2 * math.pi)


def wrapped(flow: Any, event_shape: Sequence[int] | None, context: int | Condition | None) -> Wrapped:
    """The adapter's entry; see :class:`FreiaFlow`."""
    return FreiaFlow(flow, event_shape, context)


class FreiaFlow(Wrapped):
    """x → z forward, z → x in reverse, from a base of standard normals.

    The library's networks have no base: its examples train them towards N(0, I), which is taken here.

    Args:
        flow: a ``SequenceINN``, or a ``GraphINN`` with one input and one output of the same shape.
        event_shape: shape of one sample, or None: the network tells it.
        context: length of the one condition, or a condition of several numbers in the order in which the network takes
            them.
    """

    def __init__(
        self, flow: SequenceINN | GraphINN, event_shape: Sequence[int] | None, context: int | Condition | None
    ) -> None:
        for name, part in flow.named_modules():
            if isinstance(part, ActNorm) and part.init_on_next_batch:
                raise ExportError(
                    f"ActNorm ({name}) of {type(flow).__name__} was never initialised: it takes its scale from the "
                    "first batch that it sees",
                    hint="Train the network, call it once, or load its weights by load_state_dict.",
                )
        if isinstance(flow, GraphINN) and (len(flow.in_nodes) != 1 or len(flow.out_nodes) != 1):
            raise ExportError(
                f"GraphINN has {len(flow.in_nodes)} inputs and {len(flow.out_nodes)} outputs, where one of each is "
                "taken",
                hint="Join them by FrEIA.modules.Concat or Split within the graph.",
            )
        super().__init__(flow, event_shape, context)
        ends = flow.shapes[-1] if isinstance(flow, SequenceINN) else flow.out_nodes[0].input_dims[0]
        self.noise_event = tuple(int(size) for size in ends)
        if math.prod(self.noise_event) != self.size:
            raise ConfigError(f"{self.named} maps events of shape {self.event_shape} to {self.noise_event}")

    @override
    def own_event_shape(self) -> tuple[int, ...] | None:
        flow = self.flow
        shape = flow.shapes[0] if isinstance(flow, SequenceINN) else flow.dims_in[0]
        return tuple(int(size) for size in shape)

    @override
    def own_context(self) -> Condition | None:
        if not isinstance(self.flow, GraphINN) or not self.flow.condition_nodes:
            return None
        shapes = [tuple(int(size) for size in node.output_dims[0]) for node in self.flow.condition_nodes]
        if len(shapes) == 1 and len(shapes[0]) == 1:
            return Condition.vector(shapes[0][0])
        if any(len(shape) != 1 for shape in shapes):
            raise ExportError(
                f"{self.named} has conditions of the shapes {shapes}, where vectors are taken",
                hint="Subclass zoo_freia.wrapped.FreiaFlow.",
            )
        return Condition(tuple(Part(f"c{i}", "numbers", shape) for i, shape in enumerate(shapes)))

    @property
    @override
    def noise_shape(self) -> tuple[int, ...]:
        return self.noise_event

    @override
    def inverse(self, z: Tensor, condition: ReceivedCondition = None) -> Tensor:
        x: Tensor = self.flow(z, **self._more(condition), rev=True, jac=False)[0]
        return x

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        z, volume = self.flow(x, **self._more(condition))
        z = z.flatten(1)
        # a network of permutations alone gives the number 0
        total = volume if isinstance(volume, Tensor) else torch.zeros_like(z[:, 0])
        base: Tensor = -0.5 * z.square().sum(1) - 0.5 * self.size * _LOG_2PI
        return base + total

    def _more(self, condition: ReceivedCondition) -> dict[str, Any]:
        if condition is None:
            return {}
        return {"c": list(condition.values()) if isinstance(condition, dict) else [condition]}

    @override
    def mended(self) -> AbstractContextManager[object]:
        return mends.mended()
