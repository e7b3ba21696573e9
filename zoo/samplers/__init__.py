"""Samplers: functions ``(path, steps, **options) -> StepTable``. One algorithm a file, named as its paper names it."""

from __future__ import annotations

from collections.abc import Callable

from zoo.samplers.ddim import ddim
from zoo.samplers.ddpm import ddpm
from zoo.samplers.table import Step, StepTable

#: the samplers that need no plugin, by name
BUILTIN: dict[str, Callable[..., StepTable]] = {"ddim": ddim, "ddpm": ddpm}

__all__ = ["BUILTIN", "Step", "StepTable", "ddim", "ddpm"]
