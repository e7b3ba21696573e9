"""The optimizers that recipes name: torch's, and others of the library pytorch_optimizer."""

from __future__ import annotations

import inspect
import math
from importlib import import_module
from typing import Any

import torch
from torch import nn

from zoo.errors import ConfigError, MissingDependencyError
from zoo.training.recipe import OPTIMIZERS, SCHEDULE_FREE, TrainingRecipe

#: where torch has optimizers that update all parameters in one pass
_FUSED = ("cpu", "cuda")


def optimizer_of(model: nn.Module, settings: TrainingRecipe) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, with those of its settings that it has.

    Raises:
        ConfigError: settings that the optimizer does not take.
        MissingDependencyError: it is of a library that is not installed.
    """
    cls = _class_of(settings.optimizer)
    accepted = inspect.signature(cls).parameters
    own: dict[str, Any] = {"betas": settings.betas} if "betas" in accepted else {}
    if settings.optimizer == "sgd":
        own["momentum"] = settings.betas[0]
    parameters: Any = list(model.parameters())
    # those of a model in parts have placements, which not every fused operator knows
    whole = not any(hasattr(each, "placements") for each in parameters)
    if "fused" in accepted and whole and all(each.device.type in _FUSED for each in parameters):
        # all parameters in one pass over the memory, whatever computes the gradients
        own["fused"] = True
    if settings.optimizer == "muon":
        parameters = _matrices_and_others(model, settings)
    try:
        optimizer: torch.optim.Optimizer = cls(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, **own
        )
    except ValueError as error:
        raise ConfigError(f"training.optimizer: {settings.optimizer} does not take these settings: {error}") from error
    return optimizer


def learning_rate_factor(settings: TrainingRecipe, step: int) -> float:
    """Warm-up, then the schedule; 1 at the peak."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _class_of(name: str) -> type[Any]:
    module, _, attribute = OPTIMIZERS[name].partition(":")
    try:
        kind: type[Any] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        package = module.replace("_", "-")
        raise MissingDependencyError(package, f"train with the optimizer {name}", extra="optimizers") from error
    return kind


def _matrices_and_others(model: nn.Module, settings: TrainingRecipe) -> list[dict[str, Any]]:
    """What Muon moves along orthogonal matrices, and what it leaves to AdamW: vectors, numbers and embeddings.

    Steps of matrices are as long as those of AdamW (Liu et al. 2025, arXiv:2502.16982, eq. 4), so that one learning
    rate is that of both.
    """
    tables = {each.weight for each in model.modules() if isinstance(each, nn.Embedding)}
    matrices = [each for each in model.parameters() if each.ndim >= 2 and each not in tables]
    chosen = set(matrices)
    others = [each for each in model.parameters() if each not in chosen]
    shared: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    muon = {"params": matrices, "use_muon": True, "use_adjusted_lr": True, "momentum": settings.betas[0], **shared}
    adamw = {"params": others, "use_muon": False, "betas": settings.betas, "eps": 1e-8, **shared}
    return [group for group in (muon, adamw) if group["params"]]


def averages(settings: TrainingRecipe) -> bool:
    """Whether the optimizer averages the weights itself."""
    return settings.optimizer == SCHEDULE_FREE


@torch.no_grad()
def average_of(optimizer: torch.optim.Optimizer, average: nn.Module, model: nn.Module) -> None:
    """Bring the average up to a schedule-free optimizer's (Defazio et al. 2024, arXiv:2405.15682, eqs. 5-7).

    The model is at y = (1 - β)·z + β·x, where gradients are taken; z is the optimizer's, and x is the average.
    """
    beta = optimizer.param_groups[0]["betas"][0]
    for a, y in zip(average.parameters(), model.parameters(), strict=True):
        z = optimizer.state.get(y, {}).get("z")
        a.copy_(y if z is None else torch.lerp(y, z, 1.0 - 1.0 / beta))
    for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)


def counters(optimizer: torch.optim.Optimizer) -> list[dict[str, float]]:
    """The numbers that an optimizer counts for a group of parameters rather than for each, such as its steps.

    The learning rate is none of them: it follows from the step. Empty for optimizers that count none.
    """
    counted = [
        {
            name: value
            for name, value in group.items()
            if isinstance(value, (bool, int, float)) and name != "lr" and _counts(optimizer, name, value)
        }
        for group in optimizer.param_groups
    ]
    return counted if any(counted) else []


#: what counts in a group without being among the defaults of the optimizer's class
_COUNTED = ("step",)


def _counts(optimizer: torch.optim.Optimizer, name: str, value: object) -> bool:
    return name in _COUNTED if name not in optimizer.defaults else value != optimizer.defaults[name]


def restore(optimizer: torch.optim.Optimizer, counted: list[dict[str, float]]) -> None:
    """Set what :func:`counters` gave."""
    for group, values in zip(optimizer.param_groups, counted, strict=False):
        group.update(values)
