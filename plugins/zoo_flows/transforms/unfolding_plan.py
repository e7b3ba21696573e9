"""The unfolded inverse without gradients: recorded once for a network, then run in place.

A unit's memory holds its constants, then its value: a layer is one matrix ``[units, n]`` in order of degree, and what
has been read of it is a run of its rows. So concatenating values means reading more rows, nothing is copied, and the
noise becomes the data in place. Which rows those are depends on the network's degrees alone, so the algorithm of
:mod:`~zoo_flows.transforms.unfolding` is run once with runs of rows as its values, and its operations are recorded;
sampling then replays them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from zoo_flows.transforms.made import MADE
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.unfolding import unfold

#: the places of the noise, and of the data as the network sees it; the places of layers are their indices
_DATA, _SEEN = -1, -2


class Run(NamedTuple):
    """Rows of a layer's units, or of the data."""

    place: int
    first: int
    units: int


@dataclass
class Step:
    """One of::

        target ← relu(target + weight·source)    with or without relu
        target ← map⁻¹(target; source)           without a weight
        target ← source within ±reach            to the place of the data as the network sees it

    Attributes:
        target: what changes.
        source: what is read; None where nothing is, and units only pass the activation.
        columns: first of the weight's columns that meet the source; None without a weight.
        relu: whether the activation follows.
    """

    target: Run
    source: Run | None
    columns: int | None = None
    relu: bool = False


class _Recording:
    """The algebra of :func:`unfold` whose values are runs, and whose operations are recorded."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def start(self, index: int, rows: slice) -> Run:
        return Run(index, rows.start, rows.stop - rows.start)

    def product(self, index: int, rows: slice, columns: slice, x: Run, start: Run) -> Run:
        self.steps.append(Step(start, x, columns.start))
        return start

    def activation(self, x: Run) -> Run:
        if self.steps and self.steps[-1].target == x:
            self.steps[-1].relu = True
        else:
            self.steps.append(Step(x, None, relu=True))
        return x

    def seen(self, x: Run) -> Run:
        target = x._replace(place=_SEEN)
        self.steps.append(Step(target, x))
        return target

    def add(self, a: Run, b: Run) -> Run:
        raise NotImplementedError("residual blocks need what memory held before")

    def cat(self, values: list[Run]) -> Run:
        return Run(values[0].place, values[0].first, sum(value.units for value in values))

    def split(self, value: Run, sizes: list[int]) -> list[Run]:
        runs, first = [], value.first
        for size in sizes:
            runs.append(Run(value.place, first, size))
            first += size
        return runs

    def inverse(self, z: Run, parameters: Run) -> Run:
        self.steps.append(Step(z, parameters))
        return z


class Plan:
    """The operations of :func:`unfold` for a network of ReLUs without residual blocks.

    Args:
        network: the network.
    """

    def __init__(self, network: MADE) -> None:
        recording = _Recording()
        unfold(network, recording, Run(_DATA, 0, network.size))
        self.steps, self.reach = recording.steps, network.reach
        self._places: list[tuple[int, torch.dtype]] = []
        self._parts: list[Tensor | None] = []

    def parts(self, weights: list[Tensor]) -> list[Tensor | None]:
        """The part of a weight that each step reads: views, kept while the weights stay where they are in memory."""
        # a parameter that is moved or converted is the same object at another address; views keep the old memory, so
        # that nothing else can be allocated there
        places = [(weight.data_ptr(), weight.dtype) for weight in weights]
        if places != self._places:
            self._parts = [_part(step, weights) for step in self.steps]
            self._places = places
        return self._parts

    def run(self, map: Map, weights: list[Tensor], places: list[Tensor]) -> None:
        """Turn noise into data.

        Args:
            map: of each component.
            weights: of the layers, masked or not: what is masked is not read.
            places: of each layer its units' constants ``[units, n]``, memory for what is seen of the data ``[d, n]``,
                and at the end the noise ``[d, n]``; all change.
        """
        for step, weight in zip(self.steps, self.parts(weights), strict=True):
            target = places[step.target.place].narrow(0, step.target.first, step.target.units)
            if step.source is not None:
                source = places[step.source.place].narrow(0, step.source.first, step.source.units)
                if step.target.place == _SEEN:
                    torch.clamp(source, -self.reach, self.reach, out=target)
                    continue
                if weight is None:
                    target.copy_(map.inverse(target, source))
                    continue
                target.addmm_(weight, source)
            if step.relu:
                target.relu_()


def _part(step: Step, weights: list[Tensor]) -> Tensor | None:
    if step.columns is None or step.source is None:
        return None
    rows = weights[step.target.place].detach().narrow(0, step.target.first, step.target.units)
    return rows.narrow(1, step.columns, step.source.units)


#: plans are cached for the lifetime of their networks; they are not part of the networks' state
_PLANS: WeakKeyDictionary[MADE, Plan] = WeakKeyDictionary()


@torch.no_grad()
def data(network: MADE, map: Map, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Noise ``[n, d]`` to data ``[d, n]`` and the maps' parameters ``[d·P, n]``.

    The network is one of ReLUs, without residual blocks.
    """
    if (plan := _PLANS.get(network)) is None:
        plan = _PLANS[network] = Plan(network)
    layers = [network.linear(index) for index in range(len(network.layers))]
    n = z.shape[0]
    places = [layer.bias.unsqueeze(1).expand(-1, n).clone(memory_format=torch.contiguous_format) for layer in layers]
    for index, module in () if context is None else network.of_context().items():
        places[index] += module(context).T
    transposed = z.T.clone(memory_format=torch.contiguous_format)
    places += [torch.empty_like(transposed), transposed]
    plan.run(map, [layer.weight for layer in layers], places)
    return places[_DATA], places[_SEEN - 1]
