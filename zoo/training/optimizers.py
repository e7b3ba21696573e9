"""The optimizers that recipes name, all of torch."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from zoo.training.recipe import OPTIMIZERS, TrainingRecipe


def optimizer_of(model: torch.nn.Module, settings: TrainingRecipe) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, with those of its settings that it has."""
    cls = getattr(torch.optim, OPTIMIZERS[settings.optimizer])
    accepted = inspect.signature(cls).parameters
    own: dict[str, Any] = {"betas": settings.betas} if "betas" in accepted else {}
    if settings.optimizer == "sgd":
        own["momentum"] = settings.betas[0]
    if "fused" in accepted:
        # all parameters in one pass over the memory, which has nothing to do with how the forward pass computes
        own["fused"] = True
    optimizer: torch.optim.Optimizer = cls(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, **own
    )
    return optimizer
