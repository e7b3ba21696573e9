"""What shares shards between workers. An engine is a function ``(job, tasks, workers) -> Iterator[Shard]``.

It gives each task to some :class:`~zoo.bulk.job.Worker`, once more if that worker is lost, and yields shards as they
are finished, in any order. Tasks are made as they are asked for, and may hold data: an engine asks for no more of them
than its workers need. A worker's error ends the run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from zoo.bulk.job import Job, Task, Worker
from zoo.errors import RuntimeFailure
from zoo.render.shards import Shard

#: an engine; ``workers`` is how many to use, or None for as many as there are processors
EngineFunction = Callable[[Job, Iterable[Task], int | None], Iterator[Shard]]

#: signals that end a process; a system may lack some
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
#: whether signals can be blocked; a system may be unable to
_BLOCKS = hasattr(signal, "pthread_sigmask")
#: how often in a row workers may end before one of them finishes a shard
_MOST_LOSSES = 3
#: tasks that a worker has at hand, so that it need not wait
_AHEAD = 2


def local(job: Job, tasks: Iterable[Task], workers: int | None = None) -> Iterator[Shard]:
    """Processes of this machine. If one is killed, the shards that were being made are made again.

    Raises:
        RuntimeFailure: workers end without making anything.
    """
    workers = workers or processors()
    coming, again, losses = iter(tasks), deque[Task](), 0
    while True:
        running: dict[Future[Shard], Task] = {}
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (job,))
        try:
            while True:
                while len(running) < workers * _AHEAD and (task := _next(again, coming)) is not None:
                    with _undisturbed():
                        running[pool.submit(_make, task)] = task
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for each in done:
                    shard = each.result()
                    del running[each]
                    losses = 0
                    yield shard
        except BrokenProcessPool:
            again.extend(running.values())
            losses += 1
            if losses > _MOST_LOSSES:
                raise RuntimeFailure(
                    f"{_MOST_LOSSES + 1} times in a row a worker has ended before it made a shard",
                    hint="Is there enough memory? Try fewer --workers, or a smaller --batch-size.",
                ) from None
        finally:
            _end(pool)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A block that signals that end this process interrupt only when it is over, and in which workers are started.

    A worker that is interrupted while it is started is none of the pool's yet, so that nobody would end it. Workers
    begin with these signals blocked, as they would otherwise answer to Ctrl-C each for itself.
    """
    noted: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # a thread that does not block them may get them, for this one to handle
        for number in _ENDING:
            if callable(signal.getsignal(number)):
                handlers[number] = signal.signal(number, lambda number, frame: noted.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING) if _BLOCKS else None
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if noted:
            signal.raise_signal(noted[0])


def _next(again: deque[Task], coming: Iterator[Task]) -> Task | None:
    return again.popleft() if again else next(coming, None)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the workers of a pool, whatever they are doing: what they have not finished is not missed."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for each in processes:
        each.terminate()
    for each in processes:
        each.join()


#: of a worker's process
_worker: Worker | None = None


def _begin(job: Job) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that shares the work ends it, by SIGTERM
    if _BLOCKS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(job)


def _end_with_parent() -> None:
    """End this process when the one that shares the work is gone, even if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is a process that was started by another"
    parent.join()
    os._exit(1)


def _make(task: Task) -> Shard:
    assert _worker is not None, "a process begins with its worker"
    return _worker.make(task)
