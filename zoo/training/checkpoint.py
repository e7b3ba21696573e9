"""Checkpoints: one safetensors file with the model, its average, the optimizer's state, and progress as JSON.

Written atomically, so that a process killed at any moment leaves the previous checkpoint. No pickle, and no state
of random generators: every step has its own seed (:func:`zoo.training.loop.step_seed`), so a resumed run
equals an uninterrupted one exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo import weights
from zoo.errors import ConfigError, WeightsError


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
    """

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    processor_seconds: float = 0.0
    machines: list[str] = field(default_factory=list)


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
) -> None:
    """Write a checkpoint atomically, unless it has values that are not finite, from which a run could not resume.

    Raises:
        ConfigError: the run diverged; the previous checkpoint is kept.
        OutputError: the file cannot be written.
    """
    arrays = {f"model.{k}": v for k, v in weights.state_arrays(model).items()}
    if average is not model:
        arrays |= {f"average.{k}": v for k, v in weights.state_arrays(average).items()}
    for i, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            arrays[f"optimizer.{i}.{key}"] = value.detach().cpu().numpy()
    if best is not None:
        arrays |= {f"best.{k}": v for k, v in best.items()}
    # including values that no step checks, such as an overflowed moment of the optimizer or a buffer
    broken = sorted(n for n, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all())
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        what = f"{broken[0]}{more} of the checkpoint at step {training_state.step} would not be finite"
        raise diverged(what, path, learning_rate)
    record = {**vars(training_state), "best": training_state.best if np.isfinite(training_state.best) else None}
    weights.write(
        path,
        arrays,
        metadata={"progress": weights.encode_json(record), "recipe": weights.encode_json(recipe)},
    )


def diverged(what: str, path: Path, learning_rate: float) -> ConfigError:
    """The error of a run that diverged, which says how to continue from its checkpoint."""
    kept = ""
    if path.exists():
        step = json.loads(weights.metadata(path)["progress"])["step"]
        kept = (
            f", and start over with --restart. Or continue from step {step}, saved in {path}: put, for example, "
            f"changes = [{{ step = {step}, learning_rate = {learning_rate / 10:g} }}] into [training], and run the "
            "same command again"
        )
    return ConfigError(
        f"the training diverges: {what}",
        hint=f"Lower training.learning_rate, or set training.gradient_clip{kept}.",
    )


def _differences(before: object, now: object, name: str = "") -> list[str]:
    """The differences between two recipes as JSON values, for a message."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [f"{name} was {_shown(before)} and is {_shown(now)}"]
    keys = sorted(before.keys() | now.keys())
    differences = [_differences(before.get(k), now.get(k), f"{name}.{k}" if name else k) for k in keys]
    return [text for texts in differences for text in texts]


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
) -> tuple[TrainingState, weights.Arrays | None]:
    """Restore a checkpoint into ``model``, ``average`` and ``optimizer``.

    Returns:
        the progress of the run, and the best weights so far if any were kept.

    Raises:
        WeightsError: damaged, or of another recipe.
    """
    arrays = weights.read(path)
    meta = weights.metadata(path)
    try:
        record = json.loads(meta["progress"])
        training_state = TrainingState(**{**record, "best": float("inf") if record["best"] is None else record["best"]})
        before = _until(json.loads(meta["recipe"]), training_state.step)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is not a checkpoint of a training run") from error
    now = json.loads(weights.encode_json(recipe))
    differences = _differences(before, _until(now, training_state.step))
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise WeightsError(
            f"{path} belongs to a run of another recipe: {', '.join(differences[:3])}{more}",
            hint="Choose another folder with -o, or pass --restart. Use training.changes for settings that change from "
            f"step {training_state.step} on.",
        )
    parts: dict[str, weights.Arrays] = {"model": {}, "average": {}, "optimizer": {}, "best": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        parts.get(part, {})[rest] = array
    weights.load_into(model, parts["model"], source=path)
    if average is not model:
        weights.load_into(average, parts["average"], source=path)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in parts["optimizer"].items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = torch.from_numpy(np.array(array))
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return training_state, parts["best"] or None
