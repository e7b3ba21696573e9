"""A run: the shards that are missing are made, and the manifest is kept up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.bulk.engines import EngineFunction
from zoo.bulk.job import Job, Task
from zoo.bulk.manifest import going_on
from zoo.errors import OutputError
from zoo.files import reason_of
from zoo.render.shards import Manifest, Shard, read, sound

#: seconds between manifests at least, so that many small shards do not wait for it
_BETWEEN = 1.0


def run(
    job: Job,
    origin: Mapping[str, Any],
    engine: EngineFunction,
    *,
    size: int,
    workers: int | None = None,
    task_of: Callable[[int, slice], Task] = Task,
    command: str = "",
    progress: Callable[[int, int, int], None] = lambda done, total, before: None,
    anew: bool = False,
) -> tuple[Manifest, int]:
    """Make all shards of a job that are missing, or do not have the digest that the manifest states.

    Args:
        job: what is to be made; its folder is created.
        origin: everything that the content of the shards depends on, as JSON values.
        engine: what shares the work.
        size: rows of a shard; the last may have fewer.
        workers: how many; None leaves it to the engine.
        task_of: number and rows of a shard to what is to be done.
        command: the command line, for the manifest.
        progress: called with (rows made, rows in all, rows that an earlier run made).
        anew: whether what is in the folder is not kept.

    Returns:
        the manifest, which is written, and how many rows were there before.

    Raises:
        OutputError: the folder cannot be written, or holds shards of something else.
        DataError: its manifest is damaged.
    """
    folder = job.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {reason_of(error)}") from error
    before = None if anew else read(folder)
    if before is not None:
        going_on(before, origin, folder)
    there = {} if before is None else {each.first: each for each in before.shards if sound(each, folder)}
    kept = sum(each.rows for each in there.values())
    described = Manifest(dict(origin), command=before.command if before is not None else command)
    _write(described, there, folder, complete=False)
    done, written = kept, time.monotonic()
    progress(done, job.n, kept)
    try:
        for shard in engine(job, _missing(job, size, there, task_of), workers):
            there[shard.first] = shard
            done += shard.rows
            progress(done, job.n, kept)
            if time.monotonic() - written > _BETWEEN:
                _write(described, there, folder, complete=False)
                written = time.monotonic()
    finally:
        result = _write(described, there, folder, complete=done == job.n)
    return result, kept


def _missing(job: Job, size: int, there: Mapping[int, Shard], task_of: Callable[[int, slice], Task]) -> Iterator[Task]:
    for number, first in enumerate(range(0, job.n, size)):
        if first not in there:
            yield task_of(number, slice(first, min(first + size, job.n)))


def _write(described: Manifest, there: Mapping[int, Shard], folder: Path, *, complete: bool) -> Manifest:
    shards = tuple(there[first] for first in sorted(there))
    result = replace(described, shards=shards, complete=complete)
    result.write(folder)
    return result
