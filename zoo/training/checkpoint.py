"""Checkpoints: one safetensors file with the model, its average, the optimizer's state, and progress as JSON.

Of a model that is kept in parts, each process writes its own (:mod:`zoo.training.sharded`). Written atomically, so that
a process killed at any moment leaves the previous checkpoint. No pickle, and no state of random generators: every step
has its own seed (:func:`zoo.training.loop.step_seed`), so a resumed run equals an uninterrupted one exactly.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo import weights
from zoo.errors import ConfigError, WeightsError
from zoo.training import kept, optimizers
from zoo.training.averages import PowerAverages
from zoo.training.processes import ALONE, Processes
from zoo.training.recipe import TrainingChange


@dataclass
class TrainingState:
    """The progress of a run.

    Attributes:
        step: optimizer steps done.
        best: the best validation loss so far.
        best_step: its step.
        history: one ``{"step", "loss", "validation"}`` per evaluation.
        seconds: time spent training, in all sittings.
        processor_seconds: time that processors spent on it, of all threads together.
        machines: where, each once.
        resumed_at: steps that were done when this process began, which no checkpoint holds.
        learning_rate: of the last step, which none holds either: it follows from the step.
    """

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    processor_seconds: float = 0.0
    machines: list[str] = field(default_factory=list)
    resumed_at: int = 0
    learning_rate: float = 0.0


def save(
    path: Path,
    *,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: weights.Arrays | None,
    training_state: TrainingState,
    recipe: dict[str, object],
    learning_rate: float,
    averages: PowerAverages | None = None,
    processes: Processes = ALONE,
) -> None:
    """Write a checkpoint atomically, unless it has values that are not finite, from which a run could not resume.

    All processes of a run call this at once.

    Raises:
        ConfigError: the run diverged; the previous checkpoint is kept.
        OutputError: the file cannot be written.
    """
    tensors = _tensors(model, average)
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{key}": value.detach() for key, value in state.items()}
    if averages is not None:
        tensors |= {f"averages.{name}": each for name, each in averages.tensors().items()}
    tensors |= {f"best.{name}": torch.from_numpy(array) for name, array in (best or {}).items()}
    # including values that no step checks, such as an overflowed moment of the optimizer or a buffer
    broken = sorted(name for name, each in tensors.items() if not bool(_own(each).isfinite().all()))
    if processes.any(bool(broken)):
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        named = f"{broken[0]}{more}" if broken else "a value"
        what = f"{named} of the checkpoint at step {training_state.step} would not be finite"
        raise diverged(what, path, learning_rate)
    metadata = {"progress": weights.encode_json(_record(training_state)), "recipe": weights.encode_json(recipe)}
    if counted := optimizers.counters(optimizer):
        metadata["optimizer"] = weights.encode_json(counted)
    if kept.in_parts(path):
        from zoo.training import sharded

        sharded.write(path, tensors, metadata, processes, training_state.step)
    elif processes.leads:
        weights.write(path, {name: each.cpu().numpy() for name, each in tensors.items()}, metadata=metadata)


def _tensors(model: nn.Module, average: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a model and its average, by their names in a checkpoint."""
    tensors = {f"model.{name}": each.detach() for name, each in model.state_dict().items()}
    if average is not model:
        tensors |= {f"average.{name}": each.detach() for name, each in average.state_dict().items()}
    return tensors


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor that may be kept in parts."""
    own: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return own


def _record(training_state: TrainingState) -> dict[str, object]:
    """The progress of a run as a checkpoint holds it."""
    record = {**vars(training_state), "best": training_state.best if np.isfinite(training_state.best) else None}
    del record["resumed_at"], record["learning_rate"]
    return record


def diverged(what: str, path: Path, learning_rate: float) -> ConfigError:
    """The error of a run that diverged, which says how to continue from its checkpoint."""
    saved = ""
    if path.exists():
        step = kept.step_of(path)
        saved = (
            f", and start over with --restart. Or continue from step {step}, saved in {path}: put, for example, "
            f"changes = [{{ step = {step}, learning_rate = {learning_rate / 10:g} }}] into [training], and run the "
            "same command again"
        )
    return ConfigError(
        f"the training diverges: {what}",
        hint=f"Lower training.learning_rate, or set training.gradient_clip{saved}.",
    )


def _differences(before: object, now: object, name: str = "") -> list[str]:
    """The differences between two recipes as JSON values, for a message."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [f"{name} was {_shown(before)} and is {_shown(now)}"]
    keys = sorted(before.keys() | now.keys())
    differences = [_differences(before.get(k), now.get(k), f"{name}.{k}" if name else k) for k in keys]
    return [text for texts in differences for text in texts]


def _as_change(before: Any, now: Any, step: int) -> str:
    """How to go on with settings that may change on the way, if such ones differ."""
    old, new = before.get("training", {}), now.get("training", {})
    settings = (f.name for f in dataclasses.fields(TrainingChange) if f.name != "step")
    changed = [f"{name} = {json.dumps(new[name])}" for name in settings if old.get(name) != new.get(name)]
    if not changed:
        return ""
    table = f"changes = [{{ step = {step}, {', '.join(changed)} }}]"
    return f" Or go on from here: {table} in [training], and the rest as it was."


def _shown(value: object) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _until(recipe: Any, step: int) -> Any:
    """A recipe without the changes after ``step``: everything that the steps so far depend on."""
    if not isinstance(recipe, dict) or not recipe.get("training", {}).get("changes"):
        return recipe
    changes = [change for change in recipe["training"]["changes"] if change["step"] < step]
    training = {k: v for k, v in recipe["training"].items() if k != "changes"}
    return {**recipe, "training": {**training, **({"changes": changes} if changes else {})}}


def load(
    path: Path,
    *,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: dict[str, object],
    averages: PowerAverages | None = None,
    processes: Processes = ALONE,
) -> tuple[TrainingState, weights.Arrays | None]:
    """Restore a checkpoint into ``model``, ``average`` and ``optimizer``.

    Returns:
        the progress of the run, and the best weights so far if any were kept.

    Raises:
        WeightsError: damaged, or of another recipe.
    """
    meta = kept.metadata(path)
    try:
        record = json.loads(meta["progress"])
        training_state = TrainingState(**{**record, "best": float("inf") if record["best"] is None else record["best"]})
        training_state.resumed_at = training_state.step
        before = _until(json.loads(meta["recipe"]), training_state.step)
        counted = json.loads(meta.get("optimizer", "[]"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is not a checkpoint of a training run") from error
    now = json.loads(weights.encode_json(recipe))
    differences = _differences(before, _until(now, training_state.step))
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise WeightsError(
            f"{path} belongs to a run of another recipe: {', '.join(differences[:3])}{more}",
            hint="Choose another folder with -o, or pass --restart." + _as_change(before, now, training_state.step),
        )
    parts: dict[str, dict[str, torch.Tensor]] = {
        part: {} for part in ("model", "average", "averages", "optimizer", "best")
    }
    for name, tensor in _read(path, model, average, optimizer, processes).items():
        part, _, rest = name.partition(".")
        parts.get(part, {})[rest] = tensor
    weights.load_tensors(model, parts["model"], source=path)
    if average is not model:
        weights.load_tensors(average, parts["average"], source=path)
    if averages is not None:
        averages.load(parts["averages"], path)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    optimizers.restore(optimizer, counted)
    return training_state, {name: each.numpy() for name, each in parts["best"].items()} or None


def _read(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, processes: Processes
) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, of a model that is kept in parts those of this process."""
    if not kept.in_parts(path):
        return {name: torch.from_numpy(np.array(array)) for name, array in weights.read(path).items()}
    from zoo.training import sharded

    parameters = [each for group in optimizer.param_groups for each in group["params"]]

    def like(name: str, shape: torch.Size) -> torch.Tensor | None:
        part, _, rest = name.partition(".")
        number = int(rest.partition(".")[0]) if part == "optimizer" else len(parameters)
        of_optimizer = parameters[number] if number < len(parameters) else None
        # the optimizer's moments are kept as their parameters are, its counters whole
        return of_optimizer if of_optimizer is not None and of_optimizer.shape == shape else known.get(name)

    known = _tensors(model, average)
    return sharded.read(path, like, processes)
