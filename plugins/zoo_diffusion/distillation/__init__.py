"""What a diffusion learns from another one, so that a few steps suffice.

===========  ===================================================  =============================================
method       the student                                          source
===========  ===================================================  =============================================
consistency  says where the teacher's ODE ends, from anywhere     Song et al. 2023, arXiv:2303.01469
reflow       is trained on the teacher's (noise, sample) pairs,   Liu, Gong & Liu 2023, arXiv:2209.03003
             between which the ODE then runs straighter
===========  ===================================================  =============================================

The teacher's guidance goes into the student, which then needs one evaluation a step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zoo.errors import ConfigError, UnknownNameError
from zoo.training.distillation import Lesson
from zoo_diffusion.distillation.consistency import Consistency
from zoo_diffusion.distillation.reflow import Reflow

if TYPE_CHECKING:
    from zoo_diffusion.diffusion import Diffusion

METHODS: dict[str, Callable[..., Lesson]] = {"consistency": Consistency, "reflow": Reflow}


def lesson(student: Diffusion, teacher: Any, method: str, options: Mapping[str, Any]) -> Lesson:
    """A method's lesson; see :meth:`zoo.model.GenerativeModel.lesson`."""
    if method not in METHODS:
        raise UnknownNameError("distillation.method", method, METHODS)
    try:
        inspect.signature(METHODS[method]).bind(student, teacher, **options)
    except TypeError as error:
        raise ConfigError(f"distillation.options of {method}: {error}") from error
    return METHODS[method](student, teacher, **options)
