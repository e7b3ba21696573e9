"""The files that a run goes on from: its checkpoint, and the state of a finished run. Needs no torch.

Each is one safetensors file, or, of a model that is kept in parts (``training.shard``), a JSON file that names a folder
of them beside it, with the digest of each; see :mod:`zoo.training.sharded`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import weights
from zoo.errors import OutputError, WeightsError
from zoo.files import reason_of, write_text

CHECKPOINT_FILE, CHECKPOINT_IN_PARTS = "checkpoint.safetensors", "checkpoint.json"
#: the last checkpoint of a finished run, from which it can go on
STATE_FILE, STATE_IN_PARTS = "state.safetensors", "state.json"
_VERSION = 1


def checkpoint_in(folder: Path, *, shard: bool = False) -> Path:
    """The checkpoint in a folder; where there is none, the one to write of a model that is kept in parts, or whole."""
    whole, parts = folder / CHECKPOINT_FILE, folder / CHECKPOINT_IN_PARTS
    if whole.exists() or parts.exists():
        return whole if whole.exists() else parts
    return parts if shard else whole


def state_in(folder: Path) -> Path:
    """The state of a finished run."""
    parts = folder / STATE_IN_PARTS
    return parts if parts.exists() else folder / STATE_FILE


def in_parts(path: Path) -> bool:
    """Whether a file of this name stands for several parts."""
    return path.suffix == ".json"


def metadata(path: Path) -> dict[str, str]:
    """What a checkpoint says of itself: ``recipe`` and ``progress``, each JSON.

    Raises:
        WeightsError: it is damaged.
    """
    if not in_parts(path):
        return weights.metadata(path)
    stated: dict[str, str] = record(path)["metadata"]
    return stated


def step_of(path: Path) -> int:
    """How many steps were done at a checkpoint, or in a finished run.

    Raises:
        WeightsError: it is damaged.
    """
    try:
        return int(json.loads(metadata(path)["progress"])["step"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is not a checkpoint of a training run") from error


def begin_again(state: Path, checkpoint: Path, changes: Mapping[str, str]) -> None:
    """Write a checkpoint that is the state of a finished run but for some of its metadata."""
    stated = {**metadata(state), **changes}
    if in_parts(state):
        write_record(checkpoint, {**record(state), "metadata": stated})
    else:
        weights.write(checkpoint, weights.read(state), metadata=stated)


def keep_state(checkpoint: Path) -> None:
    """Keep the last checkpoint under the name that says that the run has finished.

    Raises:
        OutputError: it cannot be renamed.
    """
    state = checkpoint.with_name(STATE_IN_PARTS if in_parts(checkpoint) else STATE_FILE)
    before = parts_of(state)
    try:
        checkpoint.replace(state)
    except OSError as error:
        raise OutputError(f"cannot rename {checkpoint}: {reason_of(error)}") from error
    drop(before)


def remove(folder: Path) -> None:
    """Remove what a run would go on from."""
    for name in (CHECKPOINT_FILE, STATE_FILE, CHECKPOINT_IN_PARTS, STATE_IN_PARTS):
        before = parts_of(folder / name)
        (folder / name).unlink(missing_ok=True)
        drop(before)


def write_record(path: Path, values: Mapping[str, Any]) -> None:
    """Write the file that names the parts of a checkpoint, which makes them valid."""
    write_text(path, json.dumps({"version": _VERSION, **values}, indent=2) + "\n")


def record(path: Path) -> dict[str, Any]:
    """The file that names the parts of a checkpoint: ``folder``, ``shards`` with their digests, ``metadata``.

    Raises:
        WeightsError: it is damaged, of another version, or has names that lead elsewhere.
    """
    try:
        read = json.loads(path.read_text("utf-8"))
        names = [read["folder"], *read["shards"]]
        good = read["version"] == _VERSION and isinstance(read["metadata"], dict)
        good = good and all(isinstance(name, str) and name == Path(name).name and name != ".." for name in names)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is not a checkpoint of a training run") from error
    if not good:
        raise WeightsError(f"{path} is not a checkpoint of a training run")
    return dict(read)


def parts_of(path: Path) -> Path | None:
    """The folder of a checkpoint's parts; None if it has none, or is not there."""
    if not in_parts(path) or not path.exists():
        return None
    try:
        return path.with_name(record(path)["folder"])
    except WeightsError:
        return None


def drop(parts: Path | None) -> None:
    """Remove a folder of parts that neither checkpoint nor state names any more."""
    if parts is None:
        return
    named = [parts_of(parts.with_name(name)) for name in (CHECKPOINT_IN_PARTS, STATE_IN_PARTS)]
    if parts not in named:
        shutil.rmtree(parts, ignore_errors=True)
