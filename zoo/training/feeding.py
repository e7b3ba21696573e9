"""The samples of each step, read ahead by worker processes where they lie in files.

Which samples a step takes, and in which order, the seed of the run alone decides. So neither the number of workers nor
where a run was interrupted changes anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from zoo.arrays import Array
from zoo.data import Split
from zoo.data.lazy import Lazy
from zoo.errors import DataError

#: worker processes, unless their number is stated, and batches that each of them is ahead
_MOST, _AHEAD = 4, 2


def workers_of(split: Split, stated: int | None = None) -> int:
    """How many worker processes read samples: the stated number; else as many as there are cores beside the first, at
    most four, for samples that lie in files, and none for samples in memory.
    """
    if stated is not None:
        return stated
    return min(_MOST, (os.cpu_count() or 1) - 1) if _in_files(split) else 0


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
        found, samples, error = next(self._batches)
        if error is not None:
            raise DataError(error)
        assert np.array_equal(found, places), "batches are taken in the order of the plan"
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
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    torch.set_num_threads(1)
