"""normflows' flows as models of genzoo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from normflows.core import ClassCondFlow, ConditionalNormalizingFlow, MultiscaleFlow
from normflows.distributions.base import (
    ClassCondDiagGaussian,
    ConditionalDiagGaussian,
    DiagGaussian,
    Uniform,
    UniformGaussian,
)
from normflows.flows.base import Flow
from normflows.flows.normalization import ActNorm
from normflows.flows.planar import Planar
from normflows.flows.radial import Radial
from normflows.flows.residual import Residual, iResBlock
from torch import Tensor, nn

from zoo import Condition, ExportError, Wrapped
from zoo.models.contexts import ReceivedCondition
from zoo.models.interface import Noise
from zoo.overriding import override
from zoo_normflows import inverses, mends

#: turns of the search that inverts residual layers, and by how much the last may move, relative to 1 + \|x\|
_MOST_TURNS, _MOVES = 400, 1e-7
_BASES = (DiagGaussian, ConditionalDiagGaussian, ClassCondDiagGaussian, Uniform, UniformGaussian)


def wrapped(flow: Any, event_shape: Sequence[int] | None, context: int | Condition | None) -> Wrapped:
    """The adapter's entry.

    Raises:
        ExportError: a flow of several scales, or one that is not initialised.
    """
    if isinstance(flow, MultiscaleFlow):
        raise ExportError(
            "MultiscaleFlow of normflows draws its noise as a list of several shapes, which no adapter takes apart",
            hint="Build the same architecture here, as `glow`, or subclass zoo.Wrapped.",
        )
    return NormflowsFlow(flow, event_shape, context)


class NormflowsFlow(Wrapped):
    """z → x by the flows in the order of their list, x → z by their inverses backwards."""

    def __init__(self, flow: nn.Module, event_shape: Sequence[int] | None, context: int | Condition | None) -> None:
        for name, part in flow.named_modules():
            if isinstance(part, ActNorm) and not bool(part.data_dep_init_done):
                raise ExportError(
                    f"ActNorm ({name}) of {type(flow).__name__} was never initialised: it takes its scale from the "
                    "first batch that it sees",
                    hint="Train the flow, or call it once.",
                )
        super().__init__(flow, event_shape, context)
        self.base = flow.q0
        if not isinstance(self.base, _BASES):
            raise ExportError(
                f"the base {type(self.base).__name__} of {self.named} is none of "
                f"{', '.join(each.__name__ for each in _BASES)}",
                hint="Subclass zoo_normflows.wrapped.NormflowsFlow, with noises and from_noise of that base.",
            )
        if not all(_scores(each) for each in self.flow.flows):
            self.density = "none"
        # residual layers are inverted by a search until no sample of the batch moves much, so samples depend on others
        self.turns = self._needed_turns()
        if isinstance(self.base, Uniform):
            self.support = (float(self.base.low.min()), float(self.base.high.max()))

    @override
    def own_event_shape(self) -> tuple[int, ...] | None:
        base = self.flow.q0
        shape = (base.ndim,) if isinstance(base, UniformGaussian) else getattr(base, "shape", None)
        return None if shape is None else tuple(int(size) for size in shape)

    @override
    def own_context(self) -> Condition | None:
        base = self.flow.q0
        if isinstance(self.flow, ClassCondFlow) and isinstance(base, ClassCondDiagGaussian):
            return Condition.classes(base.num_classes)
        return None

    @property
    @override
    def noises(self) -> tuple[Noise, ...]:
        if isinstance(self.base, Uniform):
            return (Noise("z", self.event_shape, "uniform"),)
        if isinstance(self.base, UniformGaussian):
            uniforms, normals = len(self.base.ind), len(self.base.ind_)
            each = Noise("u", (uniforms,), "uniform"), Noise("z", (normals,))
            return tuple(noise for noise in each if noise.shape[0])
        return (Noise("z", self.event_shape),)

    @override
    def from_noise(self, noise: Mapping[str, Tensor], condition: ReceivedCondition = None) -> Tensor:
        base: Any = self.base
        if isinstance(base, UniformGaussian):
            parts = [noise[each.name] - 0.5 if each.name == "u" else noise[each.name] for each in self.noises]
            z = torch.cat(parts, -1)[..., base.inv_perm]
            return base.scale * z  # type: ignore[no-any-return]
        z = noise["z"]
        if isinstance(base, Uniform):
            return base.low.to(z) + (base.high - base.low).to(z) * z  # type: ignore[no-any-return]
        if isinstance(base, ConditionalDiagGaussian):
            encoded = base.context_encoder(self.context_of_flow(condition))
            half = encoded.shape[-1] // 2
            return encoded[..., :half] + torch.exp(encoded[..., half:]) * z  # type: ignore[no-any-return]
        log_scale, loc = base.log_scale, base.loc
        if isinstance(base, ClassCondDiagGaussian):
            assert isinstance(condition, Tensor)
            loc, log_scale = (each.movedim(-1, 0)[condition.long()] for each in (loc, log_scale))
        if base.temperature is not None:
            log_scale = log_scale + torch.log(torch.as_tensor(base.temperature)).to(z)
        return loc + torch.exp(log_scale) * z  # type: ignore[no-any-return]

    @torch.no_grad()
    def _needed_turns(self) -> int:
        """After how many turns the search of residual layers no longer moves; 0 without such layers."""
        blocks = [part for part in self.flow.modules() if isinstance(part, iResBlock)]
        if not blocks:
            return 0
        was_training = self.flow.training
        self.flow.eval()
        y = 3 * torch.randn(64, *self.event_shape, generator=torch.Generator().manual_seed(0)).to(self._like)
        most = 0
        for block in blocks:
            x, turns, moved = y, 0, True
            while moved and turns < _MOST_TURNS:
                after = y - block.nnet(x)
                moved = bool(((after - x).abs() > _MOVES * (1 + x.abs())).any())
                x, turns = after, turns + 1
            most = max(most, turns)
        self.flow.train(was_training)
        return min(2 * most, _MOST_TURNS)

    @override
    def inverse(self, z: Tensor, condition: ReceivedCondition = None) -> Tensor:
        more = self._more(condition)
        with mends.searched(self.turns):
            for each in self.flow.flows:
                if isinstance(each, Residual):  # without its estimate of a log-determinant
                    z = each.iresblock.inverse(z) if each.reverse else each.iresblock.forward(z)
                else:
                    z, _ = each(z, **more)
        return z

    @property
    @override
    def origin(self) -> Mapping[str, str]:
        how = {"how": f"residual layers are inverted by {self.turns} turns of their search"} if self.turns else {}
        return {**super().origin, **how}

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        with inverses.both_ways():
            if isinstance(self.flow, ClassCondFlow):
                classes = condition.long() if isinstance(condition, Tensor) else condition
                density: Tensor = self.flow.log_prob(x, classes)
            else:
                density = self.flow.log_prob(x, **self._more(condition))
        return density

    def _more(self, condition: ReceivedCondition) -> dict[str, Tensor | None]:
        return {"context": self.context_of_flow(condition)} if isinstance(self.flow, ConditionalNormalizingFlow) else {}

    @override
    def mended(self) -> AbstractContextManager[object]:
        return mends.mended()


def _scores(flow: nn.Module) -> bool:
    """Whether a flow can be scored: neither stochastic layers, nor by the random estimates of residual ones."""
    if isinstance(flow, Residual):
        return False
    if isinstance(flow, (Planar, Radial)):
        return True
    return getattr(type(flow), "inverse", Flow.inverse) is not Flow.inverse
