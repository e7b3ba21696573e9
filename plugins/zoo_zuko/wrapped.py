"""zuko's flows and mixtures as models of genzoo."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from zuko import transforms
from zuko.distributions import BoxUniform, DiagNormal
from zuko.flows import Flow
from zuko.flows.continuous import FFJTransform
from zuko.mixtures import GMM
from zuko.utils import bisection

from zoo import Condition, ExportError, Wrapped
from zoo.models.blaming import line_of_call
from zoo.models.contexts import ReceivedCondition
from zoo.models.interface import DirectModel, Noise
from zoo.models.mending import replaced
from zoo.models.wrapped import any_condition
from zoo.overriding import override
from zoo.programs import Programs
from zoo_zuko import mends
from zoo_zuko.converted import converted

#: samples that are drawn to see how many a search misses
_DRAWN = 1024
#: the share of them that a proof can be expected to meet
_MISSED = 1e-3


def wrapped(flow: Any, event_shape: Sequence[int] | None, context: int | Condition | None) -> Wrapped:
    """The adapter's entry.

    Raises:
        ExportError: a distribution that is neither a flow nor a mixture.
    """
    if isinstance(flow, GMM):
        return ZukoMixture(flow, event_shape, context)
    if isinstance(flow, Flow):
        return ZukoFlow(flow, event_shape, context)
    raise ExportError(
        f"{type(flow).__name__} of zuko is neither a Flow nor a GMM, which are what can be wrapped",
        hint="Wrap the flow that it is a part of, or subclass zoo.Wrapped.",
    )


class _ZukoModel(Wrapped):
    """A lazy distribution of zuko, which scores by itself."""

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        with mends.settled():
            density: Tensor = self.flow(self.context_of_flow(condition)).log_prob(x)
        return density

    @override
    def mended(self) -> AbstractContextManager[object]:
        return mends.mended()


class ZukoFlow(_ZukoModel):
    """x → z by ``transform.call_and_ladj``, z → x by ``transform.inv``, and a base of normals or uniforms."""

    def __init__(self, flow: Flow, event_shape: Sequence[int] | None, context: int | Condition | None) -> None:
        super().__init__(flow, event_shape, context)
        base = flow.base(None)
        if isinstance(base, BoxUniform):
            low, high = base.base_dist.low, base.base_dist.high
            self.support = (float(low.min()), float(high.max()))
        elif not isinstance(base, DiagNormal):
            raise ExportError(
                f"the base {type(base).__name__} of {self.named} is neither DiagNormal nor BoxUniform",
                hint="Subclass zoo_zuko.wrapped.ZukoFlow, with noises and from_noise of that base.",
            )
        self.resolution = self._resolution()

    def _resolution(self) -> float:
        """The tolerance of the bisections that sampling takes, or 0 if it takes none."""
        widths = [0.0]

        def noted(f: Any, y: Tensor, a: Any, b: Any, n: int = 16, phi: Any = ()) -> Tensor:
            widths.append(float((torch.as_tensor(b) - torch.as_tensor(a)).abs().max()) / 2**n)
            return torch.as_tensor(bisection(f, y, a, b, n, phi))

        context = None
        if self.condition is not None:
            context = self._like.new_zeros(1, *(int(size) for size in self.condition.parts[0].shape))
        with replaced((transforms, "bisection", noted)), torch.no_grad(), contextlib.suppress(Exception):
            self.inverse(self._like.new_zeros(1, *self.event_shape), context)  # what fails is told when it is tried
        return max(widths)

    @override
    def doubt(self) -> tuple[str, str] | None:
        beyond: list[tuple[float, float]] = []

        def noted(f: Any, y: Tensor, a: Any, b: Any, n: int = 16, phi: Any = ()) -> Tensor:
            low, high = (torch.as_tensor(each).to(y).expand_as(y) for each in (a, b))
            outside = (f(low) > y) | (f(high) < y)
            beyond.append((float(outside.float().mean()), float(high.max())))
            return torch.as_tensor(bisection(f, y, a, b, n, phi))

        noise = self.drawn_noises(self.noises, 0, _DRAWN)
        with replaced((transforms, "bisection", noted)), torch.no_grad():
            self.draw(noise, any_condition(self, _DRAWN, torch.Generator().manual_seed(0)))
        share, bound = max(beyond, default=(0.0, 0.0))
        if share < _MISSED:
            return None
        line = line_of_call(transforms.MonotonicTransform._inverse, "bisection(")
        return (
            f"`MonotonicTransform._inverse` (`bisection`, {line}) looks within ±{bound:g} only, and {share:.1%} of the "
            "values of a layer lie beyond",
            "Train the flow, or give its transforms a larger `bound`.",
        )

    @override
    def own_event_shape(self) -> tuple[int, ...] | None:
        return tuple(self.flow.base(None).event_shape)

    @property
    @override
    def noises(self) -> tuple[Noise, ...]:
        return (Noise("z", self.event_shape, "normal" if self.support is None else "uniform"),)

    @override
    def from_noise(self, noise: Mapping[str, Tensor], condition: ReceivedCondition = None) -> Tensor:
        base = self.flow.base(None).base_dist
        z: Tensor = (
            base.loc + base.scale * noise["z"]
            if self.support is None
            else (base.low + (base.high - base.low) * noise["z"])
        )
        return z

    @override
    def inverse(self, z: Tensor, condition: ReceivedCondition = None) -> Tensor:
        with mends.settled():
            x: Tensor = self.flow.transform(self.context_of_flow(condition)).inv(z)
        return x

    def to_noise(self, x: Tensor, condition: ReceivedCondition = None) -> tuple[Tensor, Tensor]:
        """The base's standard noise of data ``[n, *event]``, and log |det ∂z/∂x| ``[n]``: without a search, so that the
        density of a sampler that searches is proven by it."""
        with mends.settled():
            y, volume = self.flow.transform(self.context_of_flow(condition)).call_and_ladj(x)
        base = self.flow.base(None).base_dist
        shift, scale = (base.loc, base.scale) if self.support is None else (base.low, base.high - base.low)
        return (y - shift) / scale, volume.reshape(len(y), -1).sum(1) - torch.log(scale).expand_as(y).flatten(1).sum(1)

    def _converted(self) -> DirectModel | None:
        """An equal flow of genzoo, where there is one."""
        condition = self.condition
        if (embedding := self.embedding()) is not None and condition is not None:
            condition = Condition.vector(embedding[1])
        if self.support is not None or (condition is not None and condition.kind != "vector"):
            return None
        return converted(self.flow, condition)

    @property
    @override
    def origin(self) -> Mapping[str, str]:
        how = {}
        if any(isinstance(part, FFJTransform) for part in self.flow.modules()):
            how = {"how": f"the ODE in {mends.STEPS} steps of Dormand-Prince"}
        elif _gaussianizes(self.flow):
            how = {"how": "Gaussianizations by the share beyond, which float32 has digits for"}
        elif self._converted() is not None:
            how = {"how": "sampling is written from its weights, not traced"}
        return {**super().origin, **how}

    @override
    def programs(self) -> Programs:
        programs, ours = super().programs(), self._converted()
        if ours is None:
            return programs
        written = {graph.name: graph.written for graph in ours.programs().graphs}
        graphs = (dataclasses.replace(graph, written=written.get(graph.name, {})) for graph in programs.graphs)
        return dataclasses.replace(programs, graphs=tuple(graphs))


def _gaussianizes(flow: Flow) -> bool:
    """Whether a flow has Gaussianizations, whose class is called with parameters that a network gives."""
    univariates = (getattr(part, "univariate", None) for part in flow.modules())
    return any(getattr(each, "func", each) is transforms.GaussianizationTransform for each in univariates)


class ZukoMixture(_ZukoModel):
    """A mixture of normals: Gumbel noise chooses the component, and normals a point of it."""

    @override
    def own_event_shape(self) -> tuple[int, ...] | None:
        return (int(self.flow.shapes[1][1]),)

    @property
    @override
    def noises(self) -> tuple[Noise, ...]:
        return (Noise("component", (self.flow.components,), "gumbel"), Noise("z", self.event_shape))

    @override
    def draw(self, noise: Mapping[str, Tensor], condition: ReceivedCondition = None) -> Tensor:
        mixture, z = self.flow(self.context_of_flow(condition)), noise["z"].unsqueeze(-2)
        best = (mixture.logits + noise["component"]).argmax(-1, keepdim=True)
        chosen = (torch.arange(self.flow.components) == best).to(z)
        if self.flow.covariance_type == "full":
            each = mixture.base.loc + (mixture.base.scale_tril * z.unsqueeze(-2)).sum(-1)
        else:
            each = mixture.base.base_dist.loc + mixture.base.base_dist.scale * z
        x: Tensor = (chosen.unsqueeze(-1) * each).sum(-2)
        return x
