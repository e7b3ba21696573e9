"""The processes that train one model together, such as those that ``torchrun`` starts.

All of them run the same code on the same recipe, and each computes its rows of every batch. Only the leader, of rank 0,
writes and speaks. A failure of one ends all: the first that fails says why, the others end in silence.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from zoo.errors import RuntimeFailure, UsageError
from zoo.models.sharing import Share

#: for one process to wait for another: at most as long as the leader takes to measure, or to draw samples
_PATIENCE = timedelta(hours=12)
_FAILED = "genzoo/failed"
#: seconds that the leader of a failed run waits for the others at most
_LINGERING = 10.0
#: what torch's errors say of a process that does not answer
_LOST = ("gloo", "nccl", "connection", "peer", "timed out", "store")


class Processes:
    """All processes of a run, as one of them sees them.

    Attributes:
        rank: of this one; 0 leads.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Which of ``count`` rows this process computes: all of them where there are fewer than processes."""
        if count < self.size:
            return slice(0, count)
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def weight(self, count: int) -> float:
        """The weight of the mean over :meth:`rows` in that over all; over all processes these are 1 in sum."""
        rows = self.rows(count)
        return 1.0 / self.size if count < self.size else (rows.stop - rows.start) / count

    def share(self, count: int) -> contextlib.AbstractContextManager[object]:
        """A block in which this process computes its rows of ``count``, see :class:`zoo.models.sharing.Share`."""
        rows = self.rows(count)
        return contextlib.nullcontext() if rows == slice(0, count) else Share(rows, count, self)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, without a gradient; every process has the same."""
        if self.size == 1:
            return values
        values = values.detach().to(self.device, copy=True)
        dist.all_reduce(values)
        return values

    def whole(self, values: Tensor, rows: slice, count: int) -> Tensor:
        """The values of all ``count`` rows of a batch, of which this process has ``rows``, without a gradient."""
        if self.size == 1 or rows == slice(0, count):
            return values.detach()
        all_rows = values.new_zeros((count, *values.shape[1:]))
        all_rows[rows] = values.detach()
        return self.total(all_rows).to(values.device)

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, with a gradient."""
        if self.size == 1:
            return values
        result: Tensor = _Sum.apply(values, self)  # type: ignore[no-untyped-call]
        return result

    def any(self, flag: bool) -> bool:
        """Whether the flag is raised in any process."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(float(flag))) > 0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.total(torch.zeros(()))

    @contextlib.contextmanager
    def leader_first(self) -> Iterator[None]:
        """A block that the leader ends before the others begin it, so that these find what it wrote."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    @cached_property
    def device(self) -> torch.device:
        """Where tensors lie that processes send to each other."""
        if self.size > 1 and dist.get_backend() == "nccl":
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, processes: Processes) -> Tensor:
        """The sum."""
        ctx.processes = processes
        return processes.total(values).to(values.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The sum of the gradients."""
        return ctx.processes.total(gradient).to(gradient.device), None


#: a process that trains alone
ALONE = Processes()


def local_device(device: str) -> str:
    """The device of this process: of ``cuda``, the one that has the number of the process on its machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and _started_together() else device


@contextlib.contextmanager
def joined(device: str = "cpu") -> Iterator[Processes]:
    """A block in which this process trains with the others that ``torchrun`` started; alone if it started none.

    Args:
        device: torch device that they compute on.

    Raises:
        UsageError: this torch cannot train with several processes.
        SystemExit: another process has failed, and said why.
    """
    if not _started_together():
        yield ALONE
        return
    if not dist.is_available():
        raise UsageError("this build of torch cannot train with several processes")
    own = not dist.is_initialized()
    if own:
        if device.startswith("cuda"):
            torch.cuda.set_device(local_device(device))
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_PATIENCE)
    processes = Processes(dist.get_rank(), dist.get_world_size())
    store = dist.distributed_c10d._get_default_store()
    try:
        yield processes
    except BaseException as error:
        first = _fails_first(store, lost=_is_lost(error))
        if own and processes.leads:
            _linger(store, processes.size)
        if not first:
            raise SystemExit(_code_of(error)) from None
        if _is_lost(error):
            raise RuntimeFailure(
                "another process of this run has ended without a word",
                hint="Run the same command again: it resumes from the last checkpoint.",
            ) from error
        raise
    finally:
        if own and sys.exc_info()[0] is None:
            dist.destroy_process_group()


def _started_together() -> bool:
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return all(name in os.environ for name in names) and os.environ["WORLD_SIZE"] != "1"


def _fails_first(store: Any, *, lost: bool) -> bool:
    """Whether no other process has failed before this one; ``lost``: this one failed because another is gone."""
    try:
        return bool(store.add(_FAILED, 1) == 1)
    except (RuntimeError, OSError):
        return lost  # the process that keeps the store was killed: it would have lingered otherwise


def _linger(store: Any, size: int) -> None:
    """Let the others learn that a process has failed before what this one may keep for them is gone."""
    with contextlib.suppress(RuntimeError, ValueError, OSError):
        if dist.get_backend() == "gloo":
            dist.destroy_process_group()  # which ends what they wait for
        deadline = time.monotonic() + _LINGERING
        while store.add(_FAILED, 0) < size and time.monotonic() < deadline:
            time.sleep(0.05)


def _code_of(error: BaseException) -> int:
    """The exit code of a process that leaves it to another to say what happened."""
    if isinstance(error, KeyboardInterrupt):
        return int(getattr(error, "code", 130))
    return int(getattr(error, "exit_code", 1))


def _is_lost(error: BaseException) -> bool:
    """Whether an error is that of torch when another process does not answer."""
    if isinstance(error, dist.DistError):
        return True
    return type(error) is RuntimeError and any(word in str(error).lower() for word in _LOST)
