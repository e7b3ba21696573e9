"""Distillation: a student that learns from a finished model, its teacher, as a recipe's table says.

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
from typing import TYPE_CHECKING, Any

from zoo.errors import ConfigError, UnknownNameError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.data import Dataset
    from zoo.models.interface import GenerativeModel

STARTS = ("teacher", "fresh")


@dataclass(frozen=True)
class DistillationRecipe:
    """Whom a student learns from, and how.

    Attributes:
        teacher: name of a model, or path of its folder or bundle, or of what an importer reads.
        method: name of a registered one.
        start: ``"teacher"``: the student begins with the teacher's weights; ``"fresh"``: with its own.
        options: of the method.
    """

    teacher: str
    method: str
    start: str = "teacher"
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a start that is neither."""
        if self.start not in STARTS:
            raise UnknownNameError("distillation.start", self.start, STARTS)


class Distillation(ABC):
    """The objective by which one student learns from one teacher.

    Subclasses are built as ``(student, teacher, **options)``, with the options of the recipe's table as keywords. They
    raise :class:`~zoo.errors.ConfigError` for options out of range, and for a student or a teacher that does not fit.

    Attributes:
        teacher: in evaluation mode; it is not changed.
        measures: what :meth:`loss` is, for a card.
    """

    teacher: GenerativeModel
    measures: str = "the distillation's objective"

    def prepare(  # noqa: B027 - most methods need no preparation
        self, data: Dataset, *, seed: int, folder: Path, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """Whatever takes long and is done once, such as the teacher's samples; nothing, unless overridden.

        Args:
            data: what the student is trained on.
            seed: of the run. The same seed prepares the same.
            folder: of the run, where files may be kept that an interrupted run finds again.
            say: told what is going on.
        """

    def finish(self, folder: Path) -> None:  # noqa: B027 - as above
        """Remove from ``folder`` what only an interrupted run needs; called when the run is done."""

    def start(self, student: GenerativeModel) -> None:
        """Give a student the teacher's weights, name by name.

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
            student: who learns; in evaluation mode when it is only measured.
            x: data ``[n, *event]``.
            condition: theirs, or None.
            done: share of the run that is over, 0 to 1.
        """
