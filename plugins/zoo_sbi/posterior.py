"""A posterior within the bounds of its prior: draws outside are repeated, and the density is that of those inside."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.quasirandom import SobolEngine

from zoo import Part, Wrapped
from zoo.arrays import Array
from zoo.errors import UsageError
from zoo.models.contexts import ReceivedCondition, TensorCondition
from zoo.models.interface import check_count, check_seed
from zoo.models.wrapped import EMBEDDING
from zoo.noise import normal
from zoo.overriding import override
from zoo.programs import Programs
from zoo.programs.ports import Port
from zoo_sbi.program import Within
from zoo_sbi.runner import none_within

#: the encoded share of draws that lie within the bounds, in nats
ACCEPTED = "log_accepted"
#: draws of a sample before it is given up, as of an observation whose posterior lies outside
ROUNDS = 1000
#: the points by which the share is found, of a flow and of a field that takes many steps
POINTS, POINTS_OF_STEPS, _LEAST_STEPS = 1024, 256, 4
#: deviations that typical observations stay within; uniform numbers reach 1.73
_TYPICAL = 1.5
#: width of the edge of a bound, relative to the distance of both, so that rounding changes the share smoothly
_EDGE = 1e-4


class SbiPosterior(Wrapped):
    """p(x | c) = q(x | c)·[x within the bounds] / P(within | c), as ``DirectPosterior`` defines it.

    sbi finds P(within | c) by 10,000 draws, anew for each observation. Here it is that of the same quasi-random points
    for every observation, found where the condition is encoded.

    Args:
        inner: the estimator.
        low: the smallest of each number, ``[d]``, or -∞.
        high: the largest.
    """

    low: Tensor
    high: Tensor
    points: Tensor

    def __init__(self, inner: Wrapped, low: Tensor, high: Tensor) -> None:
        super().__init__(inner, inner.event_shape, inner.condition)
        self.register_buffer("low", low.to(self._like), persistent=False)
        self.register_buffer("high", high.to(self._like), persistent=False)
        count = POINTS_OF_STEPS if hasattr(inner, "steps") else POINTS
        sobol: Any = SobolEngine
        u: Tensor = sobol(self.size, scramble=True, seed=0).draw(count).double()
        points = math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-1 + 1e-7, 1 - 1e-7))
        self.register_buffer("points", points.to(self._like), persistent=False)

    @property
    @override
    def named(self) -> str:
        return str(self.flow.of.__name__)

    @property
    @override
    def origin(self) -> Mapping[str, str]:
        origin: Mapping[str, str] = self.flow.origin
        return origin

    @override
    def typical_context(self, part: Part, standard: Array) -> NDArray[np.float32]:
        # less far from the mean than normals go: there the posterior may lie outside a bounded prior
        nearer = np.asarray(_TYPICAL * np.tanh(standard / _TYPICAL), np.float32)
        typical: NDArray[np.float32] = self.flow.typical_context(part, nearer)
        return typical

    @override
    def mended(self) -> AbstractContextManager[object]:
        mended: AbstractContextManager[object] = self.flow.mended()
        return mended

    @override
    def settle(self) -> None:
        self.flow.settle()

    @override
    def encoded_ports(self) -> tuple[Port, ...]:
        own = self.flow.encoded_ports() or (Port(EMBEDDING, "float32", ("rows", self._context_size)),)
        return (
            *own,
            Port(ACCEPTED, "float32", ("rows", 1), "log of the share of draws within the bounds of the prior"),
        )

    @property
    def _context_size(self) -> int:
        assert self.condition is not None
        return int(self.condition.parts[0].shape[0])

    @property
    @override
    def encodes(self) -> bool:
        return True

    @override
    def encode_condition(self, parts: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self.flow.encodes:
            embedding = self.flow.encode_condition(parts)[EMBEDDING]
        else:
            (embedding,) = parts.values()
        rows, points = embedding.shape[0], self.points.to(embedding)
        count = points.shape[0]
        each = embedding.unsqueeze(1).expand(rows, count, embedding.shape[1]).reshape(rows * count, embedding.shape[1])
        z = points.unsqueeze(0).expand(rows, count, self.size).reshape(rows * count, self.size)
        # a share of so few points needs fewer steps than a sample does
        more = {"steps": max(_LEAST_STEPS, self.flow.steps // 4)} if hasattr(self.flow, "steps") else {}
        inside = self._share(self._proposed(z, each, **more)).reshape(rows, count).mean(1, keepdim=True)
        return {EMBEDDING: embedding, ACCEPTED: inside.clamp(min=0.5 / count).log()}

    def _proposed(self, z: Tensor, embedding: Tensor, **more: int) -> Tensor:
        inner: Wrapped = self.flow
        condition: Any = {EMBEDDING: embedding} if inner.encodes else embedding
        return inner.inverse(inner.from_noise({"z": z}, condition), condition, **more)

    def _share(self, x: Tensor) -> Tensor:
        """1 of samples ``[n, d]`` within the bounds, 0 outside, and between on the edges."""
        distance = self.high - self.low
        width = _EDGE * torch.where(distance.isfinite(), distance, 1.0)
        inside = torch.sigmoid((x - self.low) / width) * torch.sigmoid((self.high - x) / width)
        return inside.prod(-1)

    @override
    def inverse(self, z: Tensor, condition: ReceivedCondition = None) -> Tensor:
        """A draw, which may lie outside."""
        assert isinstance(condition, Mapping)
        return self._proposed(z, condition[EMBEDDING])

    @override
    def from_noise(self, noise: Mapping[str, Tensor], condition: ReceivedCondition = None) -> Tensor:
        return noise["z"]

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        assert isinstance(condition, Mapping)
        inner, embedding = self.flow, condition[EMBEDDING]
        density: Tensor = inner.log_density(x, {EMBEDDING: embedding} if inner.encodes else embedding)
        within = ((x >= self.low) & (x <= self.high)).all(-1)
        return torch.where(within, density - condition[ACCEPTED].squeeze(-1), -math.inf)

    @override
    def drawn_samples(
        self, n: int, *, condition: TensorCondition = None, seed: int | None = None, temperature: float | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if temperature is not None:
            raise UsageError("a posterior is sampled as it is, so its samples have no temperature")
        seed, n = check_seed(seed), check_count(n)
        with torch.no_grad():
            received, program = self.received_condition(condition, n), self._within()
            x, kept = torch.zeros(n, self.size).to(self._like), np.zeros(n, bool)
            for turn in range(program.rounds):
                z = torch.from_numpy(normal(seed, n, self.event_shape, step=turn)).to(self._like)
                proposal = self.inverse(z, received)
                new = program.accepts(proposal.cpu().numpy()) & ~kept
                x[torch.from_numpy(new)] = proposal[torch.from_numpy(new)]
                kept |= new
                if kept.all():
                    return x, None
        raise none_within(int((~kept).sum()), program.rounds)

    def _within(self) -> Within:
        low, high = (" ".join(repr(float(each)) for each in side.tolist()) for side in (self.low, self.high))
        return Within("inverse", low, high, ROUNDS, condition_encoder="condition")

    @override
    def programs(self) -> Programs:
        programs = super().programs()
        assert programs.sample is not None
        program = dataclasses.replace(self._within(), condition_encoder=programs.sample.condition_encoder)
        # a draw is one of the estimator, whose graph takes the same noise and embedding
        ways = {graph.name: graph.written for graph in self.flow.programs().graphs}.get("inverse", {})
        graphs = (dataclasses.replace(g, written=ways) if g.name == "inverse" else g for g in programs.graphs)
        return dataclasses.replace(programs, sample=program, graphs=tuple(graphs))
