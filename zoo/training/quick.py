"""``zoo.train``: train a model on data in memory, or on a file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeGuard, Unpack

import numpy as np

from zoo.data import Dataset
from zoo.errors import MissingDependencyError, UsageError
from zoo.models import building as building_models
from zoo.reading import building, objects, options
from zoo.registry import installed
from zoo.registry.cards import DataSource
from zoo.training.data import MEMORY
from zoo.training.locking import locked
from zoo.training.recipe import DataRecipe, Recipe
from zoo.training.run import completed, train_recipe

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel

_ROWS = 65_536


class TrainingOptions(TypedDict, total=False):
    """The settings of a recipe's ``[training]``, see :class:`zoo.training.recipe.TrainingRecipe`."""

    seed: int
    steps: int
    batch_size: int
    learning_rate: float
    schedule: str
    warmup: int
    weight_decay: float
    betas: tuple[float, float]
    gradient_clip: float
    ema: float
    precision: str
    evaluate_every: int
    checkpoint_every: int
    keep: str
    optimizer: str
    accumulate: int
    patience: int
    log_every: int
    changes: Sequence[Mapping[str, object]]
    shard: bool
    compile: bool
    ema_snapshots: int
    ema_length: float


def train(
    architecture: str,
    data: object,
    *,
    given: object = None,
    config: Mapping[str, object] | None = None,
    output: str | os.PathLike[str] | None = None,
    name: str = "",
    device: str = "cpu",
    say: Callable[[str], None] = lambda text: None,
    data_options: Mapping[str, object] | None = None,
    **training: Unpack[TrainingOptions],
) -> GenerativeModel:
    """Train a model on data in memory, or on a file or folder.

    Args:
        architecture: its name, such as ``"nsf-coupling"``.
        data: an array ``[n, ...]``, a table of pandas, polars or pyarrow, arrays by name, a torch data set, a
            :class:`zoo.Dataset`, or the path of a file or folder.
        given: what samples are conditioned on: names of columns of a table, an array of classes ``[n]`` or of numbers
            ``[n, d]``, or values by the names of parts, as :class:`zoo.data.Split` takes them. ``condition`` in the
            config describes parts; classes and numbers need no description.
        config: of the model; the data determine the rest.
        output: model folder to write, such as for ``zoo export``; None writes none.
        name: of the model; empty for the name of the folder.
        device: torch device.
        say: called with each line that a user should read, of several processes in each.
        data_options: as of a recipe's ``[data] options``: ``missing``, ``bounds``, ``circular``, ``kinds``, ...
        training: as of a recipe's ``[training]``: ``steps``, ``batch_size``, ``seed``, ...

    Returns:
        the trained model in evaluation mode; the same data and settings give the same weights.

    Raises:
        DataError: data that cannot be trained on.
        ConfigError: invalid settings.
        UsageError: an output that already holds a model, or arguments that contradict each other.
        MissingDependencyError: torch is not installed.

    >>> model = zoo.train("nsf-coupling", data=frame, given=["x_0", "x_1"], steps=2000)  # doctest: +SKIP
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise MissingDependencyError("torch", "train a model", extra="torch")
    registry = installed()
    chosen: dict[str, object] = dict(data_options or {})
    condition = None if _names_columns(given) else given
    if _names_columns(given):
        chosen["given"] = [given] if isinstance(given, str) else list(given)
    folder = None if output is None else Path(output)
    called = name or (folder.name if folder else "model")
    settings: dict[str, object] = {
        "name": called,
        "model": {"architecture": architecture, "config": dict(config or {})},
        "data": {"name": "data at hand"},
        "training": training,
    }
    recipe = Recipe.from_dict(settings, source="zoo.train")
    if isinstance(data, (str, os.PathLike)) and not isinstance(data, Dataset):
        if condition is not None:
            raise UsageError("with the path of a file or folder, given names columns: it cannot be an array")
        recipe = replace(recipe, data=DataRecipe(path=os.fspath(data), options=chosen))
        loaded = None
    else:
        built = _built(data, condition, chosen, say)
        described = DataRecipe("data at hand", chosen, f"{MEMORY}{type(data).__name__}", _digest(built))
        recipe = completed(replace(recipe, data=described), built, registry, say)
        if condition is not None and "condition" not in recipe.model.config:
            raise UsageError(
                "nothing describes the parts that samples are conditioned on",
                hint='State them in config, as {"condition": {"parts": [{"name": ..., "modality": ..., ...}]}}.',
            )
        loaded = (
            DataSource(name="data at hand", entry="zoo.training.quick:train", source="handed over in Python"),
            built,
        )
    if folder is not None and (folder / "card.json").exists():
        raise UsageError(f"{folder} contains a finished model", hint="Choose another output.")
    from zoo.training.processes import joined, local_device

    with tempfile.TemporaryDirectory(prefix="zoo-train-") as temporary, joined(device) as processes:
        place, device = _place(folder, Path(temporary) / called, processes.size), local_device(device)
        with locked(place) if processes.leads else nullcontext():
            train_recipe(recipe, place, registry, loaded=loaded, device=device, say=say, processes=processes)
            processes.wait()  # until it is written
        return building_models.load(registry, place).to(device)


def _place(folder: Path | None, temporary: Path, processes: int) -> Path:
    """The folder to train into: a temporary one where none is named, of a process that is alone."""
    if folder is None and processes > 1:
        raise UsageError("several processes train into a folder that all of them can read: name an output")
    return folder or temporary


def _names_columns(value: object) -> TypeGuard[str | Sequence[str]]:
    """Whether ``given`` holds headings rather than an array of conditions."""
    if isinstance(value, str):
        return True
    return isinstance(value, Sequence) and len(value) > 0 and all(isinstance(each, str) for each in value)


def _built(data: object, condition: object, chosen: Mapping[str, object], say: Callable[[str], None]) -> Dataset:
    if isinstance(data, Dataset):
        if condition is not None or chosen:
            raise UsageError("a zoo.Dataset already has its conditions and splits: leave given and data_options out")
        return data
    shared, others = options.read(chosen, "data_options")
    if others:
        raise UsageError(f"data in memory have no option {', '.join(others)}")
    built = building.build("data at hand", objects.content_of(data, condition=condition), shared)
    for note in built.notes:
        say(note)
    return built.data


def _digest(data: Dataset) -> str:
    """The SHA-256 of the training samples and their conditions, by which a resumed run recognises its data."""
    checksum = hashlib.sha256()
    for start in range(0, len(data.train), _ROWS):
        rows = slice(start, start + _ROWS)
        condition = data.train.condition_at(rows)
        parts = condition.values() if isinstance(condition, Mapping) else () if condition is None else (condition,)
        for array in (data.train.x[rows], *parts):
            checksum.update(np.ascontiguousarray(array).tobytes())
    return checksum.hexdigest()
