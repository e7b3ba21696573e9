"""Workers of Ray: of the cluster that ``RAY_ADDRESS`` names, or of a Ray that is started on this machine.

All machines must see the bundle and the folder of the shards by the same paths, and have genzoo installed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from zoo.bulk.engines import processors
from zoo.bulk.job import Job, Task, Worker
from zoo.errors import RuntimeFailure, ZooError
from zoo.render.shards import Shard

_AHEAD = 2


def run(job: Job, tasks: Iterable[Task], workers: int | None = None) -> Iterator[Shard]:
    """An actor a worker. Ray starts a lost one again, on another machine if need be, and repeats its shard.

    Raises:
        RuntimeFailure: Ray cannot go on.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = importlib.import_module("ray")
    own = not ray.is_initialized()
    if own:
        address = os.environ.get("RAY_ADDRESS")
        size: dict[str, Any] = {} if address else {"num_cpus": workers or processors(), "include_dashboard": False}
        ray.init(address=address, log_to_driver=False, logging_level="error", **size)
    try:
        count = workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        yield from _shared(ray, job, tasks, count)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, ZooError):
            raise cause from None
        raise RuntimeFailure(f"a worker of Ray failed: {type(cause).__name__}: {cause}") from error
    except ray.exceptions.RayError as error:
        raise RuntimeFailure(f"Ray cannot go on: {str(error).strip().splitlines()[0]}") from error
    finally:
        if own:
            ray.shutdown()


def _shared(ray: Any, job: Job, tasks: Iterable[Task], count: int) -> Iterator[Shard]:
    needs: dict[str, Any] = {"num_cpus": job.device.threads or 1, "max_restarts": -1, "max_task_retries": -1}
    if job.device.provider not in ("auto", "cpu"):
        needs["num_gpus"] = 1
    actors = [ray.remote(**needs)(Worker).remote(job) for _ in range(count)]
    coming, running = iter(tasks), dict[Any, Any]()
    for actor in actors * _AHEAD:
        _give(actor, coming, running)
    while running:
        done, _ = ray.wait(list(running), num_returns=1)
        for each in done:
            actor = running.pop(each)
            shard: Shard = ray.get(each)
            _give(actor, coming, running)
            yield shard


def _give(actor: Any, coming: Iterator[Task], running: dict[Any, Any]) -> None:
    """Give a worker the next task, if there is one."""
    task = next(coming, None)
    if task is not None:
        running[actor.make.remote(task)] = actor
