"""The samples of each step, read ahead by worker processes where they lie in files.

Which samples a step takes, and in which order, the seed of the run alone decides. So neither the number of workers nor
where a run was interrupted changes anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from zoo.arrays import Array
from zoo.data import Split
from zoo.data.lazy import Lazy
from zoo.errors import DataError
from zoo.training.processes import Processes
from zoo.training.recipe import Recipe, TrainingRecipe

#: worker processes, unless their number is stated, and batches that each of them is ahead
_MOST, _AHEAD = 4, 2


def workers_of(split: Split, stated: int | None = None) -> int:
    """How many worker processes read samples: the stated number; else as many as there are cores beside the first, at
    most four, for samples that lie in files, and none for samples in memory.
    """
    if stated is not None:
        return stated
    # of the cores that this process may use, where the system says so
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST, cores - 1) if _in_files(split) else 0


def _in_files(split: Split) -> bool:
    return isinstance(split.x, (Lazy, np.memmap))


class Feed(AbstractContextManager["Feed"]):
    """The samples of a run, in the order in which its steps take them.

    Args:
        split: where they are.
        plan: makes an iterator over the places of the samples of each batch, from the next step on.
        workers: processes that read them ahead; 0 reads each batch when it is taken. Samples in memory need none.
    """

    def __init__(self, split: Split, plan: Callable[[], Iterator[NDArray[np.int64]]], workers: int) -> None:
        self.split, self.plan = split, plan
        self.workers = workers if _in_files(split) else 0
        self._batches: Iterator[Any] | None = None

    def take(self, places: NDArray[np.int64]) -> Array:
        """The samples ``[len(places), *event]`` of the next batch of the plan.

        Raises:
            DataError: a file that cannot be read.
        """
        if not self.workers:
            return np.asarray(self.split.x[places])
        if self._batches is None:
            self._batches = iter(self._loader())
        at, samples, error = next(self._batches)
        if error is not None:
            raise DataError(error)
        assert np.array_equal(at, places), "batches are taken in the order of the plan"
        rows: Array = samples.numpy()
        return rows

    def _loader(self) -> DataLoader[Any]:
        return DataLoader(
            _Batches(self.split.x),
            sampler=_Plan(self.plan),  # each item is a whole batch
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=_AHEAD,
            worker_init_fn=_undisturbed,
            generator=torch.Generator(),  # the global one belongs to the model
        )

    def __exit__(self, *exc: object) -> None:
        """End the workers."""
        self._batches = None


def feed_of(split: Split, recipe: Recipe, first: int, processes: Processes, workers: int | None) -> Feed:
    """The samples that this process takes in the steps of a run from ``first`` on; see :func:`workers_of`."""
    return Feed(split, partial(plan, len(split), recipe, first, processes), workers_of(split, workers))


class _Plan:
    """The places of all batches, as a sampler of a loader."""

    def __init__(self, plan: Callable[[], Iterator[NDArray[np.int64]]]) -> None:
        self.plan = plan

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return self.plan()


class _Batches(Dataset[Any]):
    """Batches of samples by the places in them."""

    def __init__(self, x: Array) -> None:
        self.x = x

    def __getitem__(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], torch.Tensor, str | None]:
        """The places, the samples there, and what is wrong with them, which a worker cannot raise in plain words."""
        try:
            return places, torch.from_numpy(np.ascontiguousarray(self.x[places])), None
        except DataError as error:
            return places, torch.empty(0), str(error)


def _undisturbed(number: int) -> None:
    """Leave it to the process that trains to end a run that is interrupted, with all batches that it still needs."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # a system may lack some
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    torch.set_num_threads(1)


def indices_of(count: int, settings: TrainingRecipe, step: int) -> NDArray[np.int64]:
    """Indices of one batch: each epoch is a new permutation, and its incomplete last batch is dropped."""
    size = min(settings.batch_size, count)
    epoch, position = divmod(step, max(count // size, 1))
    order = _order(settings.seed, epoch, count)
    return order[position * size : (position + 1) * size]


def pieces(count: int, settings: TrainingRecipe, step: int) -> list[NDArray[np.int64]]:
    """The indices of one batch in the parts whose gradients are added up."""
    indices = indices_of(count, settings, step)
    return [each for each in np.array_split(indices, settings.accumulate) if len(each)]


def plan(count: int, recipe: Recipe, first: int, processes: Processes) -> Iterator[NDArray[np.int64]]:
    """The indices that this process takes in the steps from ``first`` on."""
    for step in range(first, recipe.training.steps):
        for piece in pieces(count, recipe.training.at(step), step):
            yield piece[processes.rows(len(piece))]


# workers that read ahead are in the next epoch already
@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of one epoch, kept for all of its steps: a permutation of a million samples outlasts a step."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    order.setflags(write=False)
    return order
