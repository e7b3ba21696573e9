"""nflows' flows as models of genzoo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from nflows.distributions.normal import ConditionalDiagonalNormal, DiagonalNormal, StandardNormal
from nflows.distributions.uniform import BoxUniform
from nflows.flows.base import Flow
from nflows.transforms.linear import Linear, NaiveLinear
from nflows.transforms.normalization import ActNorm
from torch import Tensor, nn

from zoo import Condition, ExportError, Wrapped
from zoo.models.contexts import ReceivedCondition
from zoo.models.interface import Noise
from zoo.overriding import override
from zoo.programs import Programs
from zoo.programs.graph_writing import Writer
from zoo_nflows import mends
from zoo_nflows.converted import written


def wrapped(
    flow: nn.Module,
    event_shape: Sequence[int] | None,
    context: int | Condition | None,
    *,
    embedding: int | None = None,
) -> Wrapped:
    """The adapter's entry.

    Raises:
        ExportError: a distribution that is not a flow, or a flow that is not initialised.
    """
    if not isinstance(flow, Flow):
        raise ExportError(
            f"{type(flow).__name__} of nflows is not a Flow, which is what can be wrapped",
            hint="Wrap nflows.flows.Flow(transform, distribution).",
        )
    return NflowsFlow(flow, event_shape, context, embedding=embedding)


class NflowsFlow(Wrapped):
    """x → z by ``_transform``, z → x by its ``inverse``, with a context that the embedding network has seen.

    Args:
        flow: the flow.
        event_shape: shape of one sample, or None: the base tells it.
        context: length of a context, before the embedding network.
        embedding: length of what the embedding network gives; None finds it by a call.
    """

    def __init__(
        self,
        flow: Flow,
        event_shape: Sequence[int] | None,
        context: int | Condition | None,
        *,
        embedding: int | None = None,
    ) -> None:
        for name, part in flow.named_modules():
            if isinstance(part, ActNorm) and not bool(part.initialized):
                raise ExportError(
                    f"ActNorm ({name}) of {type(flow).__name__} was never initialised: it takes its scale from the "
                    "first batch in training mode",
                    hint="Train the flow, or call it once in training mode.",
                )
        self._embedded: int | None = None
        super().__init__(flow, event_shape, context)
        network = flow._embedding_net
        if self.condition is not None and not isinstance(network, nn.Identity):
            shape = [int(size) for size in self.condition.parts[0].shape]
            with torch.no_grad():
                self._embedded = embedding or int(network(self._like.new_zeros(1, *shape)).shape[-1])
        # its inverse calls a function that torch no longer has
        self.samples = not any(isinstance(part, NaiveLinear) for part in flow.modules())
        self.base = flow._distribution
        if isinstance(self.base, BoxUniform):
            low, high = self.base.base_dist.low, self.base.base_dist.high
            self.support = (float(low.min()), float(high.max()))
        elif not isinstance(self.base, (StandardNormal, DiagonalNormal, ConditionalDiagonalNormal)):
            raise ExportError(
                f"the base {type(self.base).__name__} of {self.named} is none of StandardNormal, DiagonalNormal, "
                "ConditionalDiagonalNormal and BoxUniform",
                hint="Subclass zoo_nflows.wrapped.NflowsFlow, with noises and from_noise of that base.",
            )

    @override
    def own_event_shape(self) -> tuple[int, ...] | None:
        base = self.flow._distribution
        shape = base.event_shape if isinstance(base, BoxUniform) else getattr(base, "_shape", None)
        return None if shape is None else tuple(int(size) for size in shape)

    @override
    def embedding(self) -> tuple[nn.Module, int] | None:
        return None if self._embedded is None else (self.flow._embedding_net, self._embedded)

    @override
    def settle(self) -> None:
        for part in self.flow.modules():
            if isinstance(part, Linear):
                part.cache.invalidate()

    @property
    @override
    def noises(self) -> tuple[Noise, ...]:
        return (Noise("z", self.event_shape, "normal" if self.support is None else "uniform"),)

    @override
    def from_noise(self, noise: Mapping[str, Tensor], condition: ReceivedCondition = None) -> Tensor:
        base, z = self.base, noise["z"]
        if isinstance(base, BoxUniform):
            low, high = base.base_dist.low.to(z), base.base_dist.high.to(z)
            return low + (high - low) * z  # type: ignore[no-any-return]
        if isinstance(base, DiagonalNormal):
            means, log_stds = base.mean_, base.log_std_
        elif isinstance(base, ConditionalDiagonalNormal):
            means, log_stds = base._compute_params(self.context_of_flow(condition))
        else:
            return z
        return means + torch.exp(log_stds) * z  # type: ignore[no-any-return]

    @override
    def inverse(self, z: Tensor, condition: ReceivedCondition = None) -> Tensor:
        with mends.uncached(self.flow):
            x: Tensor = self.flow._transform.inverse(z, context=self.context_of_flow(condition))[0]
        return x

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        context = self.context_of_flow(condition)
        with mends.uncached(self.flow):
            z, volume = self.flow._transform(x, context=context)
        if isinstance(self.base, BoxUniform):
            # a distribution of torch, which knows no context
            density: Tensor = self.base.log_prob(z) + volume
            return density
        density = self.base.log_prob(z, context=context) + volume
        return density

    @override
    def mended(self) -> AbstractContextManager[object]:
        return mends.mended()

    def _written(self) -> dict[str, Writer]:
        """The ways to write the graph that samples, where it is not traced."""
        if self._embedded is not None:
            return written(self.flow, self.event_shape, self._embedded)
        if self.condition is None:
            return written(self.flow, self.event_shape, 0)
        return written(self.flow, self.event_shape, self.condition.size) if self.condition.kind == "vector" else {}

    @property
    @override
    def origin(self) -> Mapping[str, str]:
        how = {"how": "sampling is written from its weights, not traced"} if self._written() else {}
        return {**super().origin, **how}

    @override
    def programs(self) -> Programs:
        programs, ways = super().programs(), self._written()
        if not ways:
            return programs
        graphs = (dataclasses.replace(g, written=ways) if g.name == "inverse" else g for g in programs.graphs)
        return dataclasses.replace(programs, graphs=tuple(graphs))
