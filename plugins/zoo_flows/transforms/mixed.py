"""Couplings of columns some of which are angles: circular splines for these, splines of the line for the others.

The product of circles and lines of Rezende et al. 2020, Normalizing flows on tori and spheres, arXiv:2002.02428, whose
section 2.1 has the circular splines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.affine import Standardize
from zoo_flows.transforms.angles import Angles
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.bounded import Bounded
from zoo_flows.transforms.circular import CircularMap
from zoo_flows.transforms.maps import Map, SplineMap
from zoo_flows.transforms.precision import conditioned


class Domains(Transform):
    """Columns brought to where couplings act: circular ones to angles, bounded ones to the line, these standardised.

    Args:
        size: number d of columns.
        circular: begin and end of the period by the place of a column.
        bounds: low and high by the place of a column; they and the circular ones do not overlap.
    """

    def __init__(
        self, size: int, circular: Mapping[int, tuple[float, float]], bounds: Mapping[str, Sequence[float]]
    ) -> None:
        super().__init__()
        self.size, self.places = size, sorted(circular)
        self.angles = nn.ModuleList(Angles(low, high - low) for low, high in (circular[i] for i in self.places))
        self.bounded = Bounded(size, bounds)
        self.lines = [i for i in range(size) if i not in circular]
        self.standardize = Standardize(len(self.lines))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, log_det = self.bounded(x)
        return self._each(y, log_det, inverse=False)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, log_det = self._each(z, torch.zeros_like(z[:, 0]), inverse=True)
        x, more = self.bounded.inverse(y)
        return x, log_det + more

    @override
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        self.bounded.prepare(x)
        if self.lines:
            self.standardize.prepare(self.bounded(x)[0][:, self.lines])

    def _each(self, value: Tensor, log_det: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        """Angles one by one, and all lines at once, put together again in the order of the columns."""
        columns: list[Tensor] = list(torch.split(value, 1, dim=1))
        for place, transform in zip(self.places, self.angles, strict=True):
            assert isinstance(transform, Angles)
            columns[place], more = (transform.inverse if inverse else transform.forward)(columns[place])
            log_det = log_det + more
        if self.lines:
            line = torch.cat([columns[i] for i in self.lines], dim=1)
            line, more = (self.standardize.inverse if inverse else self.standardize.forward)(line)
            log_det = log_det + more
            for place, column in zip(self.lines, torch.split(line, 1, dim=1), strict=True):
                columns[place] = column
        return torch.cat(columns, dim=1), log_det


class MixedCoupling(Transform):
    """Some columns choose the maps of the others, each by its kind, and stay as they are.

    Args:
        circular: of each column whether it is an angle.
        read: places of the columns that choose.
        bins: of each spline.
        bound: splines of the line act on [-bound, bound].
        network: makes the conditioner from its numbers of inputs and outputs.
    """

    def __init__(
        self,
        circular: Sequence[bool],
        read: Sequence[int],
        *,
        bins: int,
        bound: float,
        network: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        self.size = len(circular)
        others = [i for i in range(self.size) if i not in read]
        self.read_angles = [i for i in read if circular[i]]
        self.read_lines = [i for i in read if not circular[i]]
        self.groups: list[tuple[Map, list[int]]] = [
            (each, places)
            for each, kind in ((CircularMap(bins), True), (SplineMap(bins, bound), False))
            if (places := [i for i in others if circular[i] is kind])
        ]
        self.counts = [each.count * len(places) for each, places in self.groups]
        self.network = network(2 * len(self.read_angles) + len(self.read_lines), sum(self.counts))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._mapped(x, context, inverse=False)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._mapped(z, context, inverse=True)

    def _mapped(self, value: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        columns: list[Tensor] = list(torch.split(value, 1, dim=1))
        parameters = conditioned(self.network, self._seen(columns), context)
        log_det = torch.zeros_like(value[:, 0])
        for (each, places), part in zip(self.groups, torch.split(parameters, self.counts, dim=1), strict=True):
            group = torch.cat([columns[i] for i in places], dim=1).unsqueeze(0)
            chosen = torch.unflatten(part, 1, (-1, each.count)).movedim(2, 0)
            out, log_slope = (each.inverse_with_slope if inverse else each.forward)(group, chosen)
            log_det = log_det + log_slope.squeeze(0).sum(1)
            for place, column in zip(places, torch.split(out.squeeze(0), 1, dim=1), strict=True):
                columns[place] = column
        return torch.cat(columns, dim=1), log_det

    def _seen(self, columns: Sequence[Tensor]) -> Tensor:
        """Cosines and sines of angles, which are the same for -π and π, and the other columns as they are."""
        angles = [f(columns[i]) for f in (torch.cos, torch.sin) for i in self.read_angles]
        return torch.cat([*angles, *(columns[i] for i in self.read_lines)], dim=1)


def partitions(size: int, count: int) -> list[list[int]]:
    """The columns that choose, coupling by coupling: halves in turn, then every other column, so that all pairs meet.

    >>> partitions(4, 4)
    [[0, 1], [2, 3], [0, 2], [1, 3]]
    """
    every = range(size)
    halves = [[i for i in every if i < size // 2], [i for i in every if i >= size // 2]]
    kinds = [*halves, [i for i in every if i % 2 == 0], [i for i in every if i % 2 == 1]]
    return [kinds[turn % 4] for turn in range(count)]
