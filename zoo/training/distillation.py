"""Distillation: training a student from a finished model, its teacher, as configured in a recipe.

.. code-block:: toml

    [distillation]
    teacher = "mnist-unet"           # a model's name or folder
    method = "consistency"           # a name from `zoo list --distillations`
    options = { guidance = 1.5 }     # of the method

The host reads the table, loads the teacher and gives the student its weights; how the student learns from it is a
:class:`Distillation`, a class that a plugin describes by the hook ``zoo_distillations``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import ConfigError, UnknownNameError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.data import Dataset
    from zoo.models.interface import GenerativeModel

STARTS = ("teacher", "fresh")


@dataclass(frozen=True)
class DistillationRecipe:
    """The teacher and the method of a distillation.

    Attributes:
        teacher: name of a model, or path of its folder or bundle, or of a model that an importer reads.
        method: name of a registered method.
        start: ``"teacher"``: the student begins with the teacher's weights; ``"fresh"``: with its own. Neither where
            the recipe names weights that it starts with.
        options: of the method.
    """

    teacher: str
    method: str
    start: str = "teacher"
    options: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse other values of start."""
        if self.start not in STARTS:
            raise UnknownNameError("distillation.start", self.start, STARTS)


class Distillation(ABC):
    """The objective by which one student learns from one teacher.

    Subclasses are built as ``(student, teacher, **options)``, with the options of the recipe's table as keywords. They
    raise :class:`~zoo.errors.ConfigError` for options out of range, and for an unsuitable student or teacher.

    Attributes:
        teacher: in evaluation mode, left unchanged.
        measures: the name of :meth:`loss`, for a card.
    """

    teacher: GenerativeModel
    measures: str = "the distillation's objective"

    def prepare(  # noqa: B027 - most methods need no preparation
        self, data: Dataset, *, seed: int, folder: Path, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """Expensive work that is done once, such as drawing the teacher's samples; does nothing by default.

        Args:
            data: the student's training data.
            seed: of the run; the same seed gives the same result.
            folder: of the run, for files that an interrupted run can reuse.
            say: receives progress messages.
        """

    def finish(self, folder: Path) -> None:  # noqa: B027 - as above
        """Remove files from ``folder`` that only an interrupted run needs; called at the end of the run."""

    def start(self, student: GenerativeModel) -> None:
        """Copy the teacher's weights to a student, by name.

        Raises:
            ConfigError: they do not fit.
        """
        from zoo import weights

        try:
            weights.load_into(student, weights.state_arrays(self.teacher), source="the teacher")
        except WeightsError as error:
            raise ConfigError(
                f"the student cannot start with the teacher's weights: {error}",
                hint='Give it the teacher\'s architecture and config, or set distillation.start = "fresh".',
            ) from error

    @abstractmethod
    def loss(self, student: GenerativeModel, x: Tensor, condition: Tensor | None, *, done: float) -> Tensor:
        """The objective, a scalar with a gradient. Noise comes from torch's global generator.

        Args:
            student: the student; in evaluation mode when it is only measured.
            x: data ``[n, *event]``.
            condition: of the data, or None.
            done: completed share of the run, 0 to 1.
        """
