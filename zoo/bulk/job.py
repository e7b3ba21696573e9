"""What workers do: open a bundle once, then draw or score shards, and write each to a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.conditions import ConditionLike
from zoo.files import atomic_file, sha256
from zoo.registry import Registry
from zoo.registry.discovery import allowed_plugins
from zoo.render.files import Extras, write
from zoo.render.shards import PREFIX, Shard
from zoo.runtime import BundledModel, Device, load


@dataclass(frozen=True)
class Task:
    """A shard to be made.

    Attributes:
        number: of the shard, counted from 0.
        part: its rows among all.
        data: what is needed besides the job: the data ``[rows, *event]`` and conditions of a shard to be scored.
    """

    number: int
    part: slice
    data: tuple[Array, ConditionLike] | None = None


@dataclass(frozen=True)
class Job(ABC):
    """What is the same of all shards, to be sent to each worker once.

    Attributes:
        bundle: folder of the bundle, as workers see it.
        folder: where shards go, likewise.
        device: where a worker runs the bundle.
        suffix: of the files: ``".parquet"``, ``".safetensors"`` or another format of samples.
        n: how many rows there are in all.
        keywords: of :meth:`~zoo.runtime.BundledModel.sample` or ``log_prob``.
        extras: what files of samples hold besides.
        plugins: which plugins a worker loads, as ``Registry.discover`` takes it; for samplers and formats.
    """

    bundle: Path
    folder: Path
    device: Device
    suffix: str
    n: int
    keywords: Mapping[str, Any] = field(default_factory=dict)
    extras: Extras = field(default_factory=Extras)
    plugins: Mapping[str, Any] = field(default_factory=dict)

    @abstractmethod
    def make(self, model: BundledModel, task: Task, path: Path) -> None:
        """Write the file of a shard."""

    def open(self) -> BundledModel:
        """The model, opened once by each worker."""
        chosen = {"allowed": allowed_plugins(), **self.plugins}
        return load(self.bundle, self.device, samplers=Registry.discover(**chosen).samplers())

    def name(self, task: Task) -> str:
        """The name of a shard's file."""
        return f"{PREFIX}{task.number:06d}{self.suffix}"


@dataclass(frozen=True)
class Sampling(Job):
    """Draws samples."""

    def make(self, model: BundledModel, task: Task, path: Path) -> None:
        """The samples of the part, which are those of one call for all of them."""
        samples = model.sample(self.n, part=task.part, **self.keywords)
        about = {**self.extras.about, "first": task.part.start}
        condition = _rows(self.extras.condition, self.n, task.part)
        write(samples, path, replace(self.extras, condition=condition, about=about), replace=True)


@dataclass(frozen=True)
class Scoring(Job):
    """Scores data.

    Attributes:
        errors: whether errors are estimated too.
    """

    errors: bool = False

    def make(self, model: BundledModel, task: Task, path: Path) -> None:
        """The log-densities of the part, and their errors."""
        assert task.data is not None, "a shard to be scored comes with its data"
        x, condition = task.data
        score = model.log_prob_with_errors if self.errors else model.log_prob
        scored: Any = score(x, condition=condition, first=task.part.start, **self.keywords)
        if self.errors:
            columns = {"log_prob": scored.value, "numerical_error": scored.numerical_error}
            columns |= {"standard_error": scored.standard_error, "error": scored.error}
        else:
            columns = {"log_prob": scored}
        write_columns(columns, path, {**self.extras.about, "first": task.part.start})


class Worker:
    """One process of an engine: it opens the model once, and makes one shard after another."""

    def __init__(self, job: Job) -> None:
        self.job, self.model = job, job.open()

    def make(self, task: Task) -> Shard:
        """Make a shard, whose file appears complete or not at all."""
        path = self.job.folder / self.job.name(task)
        self.job.make(self.model, task, path)
        return Shard(path.name, task.part.start, task.part.stop - task.part.start, sha256(path))


def write_columns(columns: Mapping[str, Array], path: Path, about: Mapping[str, object]) -> None:
    """Write numbers ``[rows]`` by name, as tensors of a safetensors file or columns of a Parquet one."""
    from zoo.render import columnar
    from zoo.render.writers import tensors

    content = columnar.encoded(columns, about) if path.suffix == ".parquet" else tensors(columns, about)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def _rows(condition: Any, n: int, part: slice) -> Any:
    """The conditions of some samples; one value of a part for all of them stays one."""
    if isinstance(condition, Mapping):
        return {name: each if len(each) == 1 != n else each[part] for name, each in condition.items()}
    return None if condition is None else np.asarray(condition)[part]
