"""What shares shards between workers. An engine is a function ``(job, tasks, workers) -> Iterator[Shard]``.

It gives each task to some :class:`~zoo.bulk.job.Worker`, once more if that worker is lost, and yields shards as they
are finished, in any order. Tasks are made as they are asked for, and may hold data: an engine asks for no more of them
than its workers need. A worker's error ends the run.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from zoo.bulk.job import Job, Shard, Task, Worker
from zoo.errors import RuntimeFailure

#: an engine; ``workers`` is how many to use, or None for as many as there are processors
EngineFunction = Callable[[Job, Iterable[Task], int | None], Iterator[Shard]]

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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that shares the work ends it
    _worker = Worker(job)


def _make(task: Task) -> Shard:
    assert _worker is not None, "a process begins with its worker"
    return _worker.make(task)
