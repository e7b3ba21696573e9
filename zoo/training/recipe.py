"""A recipe: everything that a training run depends on, as a TOML file with a few tables.

.. code-block:: toml

    name = "moons-nsf"
    summary = "A neural spline flow on two moons"
    license = "Apache-2.0"           # of the weights

    [model]
    architecture = "nsf-coupling"
    config = { event_shape = [2], transforms = 5 }

    [data]
    name = "moons"                   # or path = "people.csv", then the config's event_shape and others are inferred

    [training]
    steps = 3000
    batch_size = 512

A run that diverged can continue from its last checkpoint with other settings, stated in ``[training]``::

    changes = [{ step = 2500, learning_rate = 1e-4 }]

A student that learns from another model also has a table ``[distillation]``, see :mod:`zoo.training.distillation`.

Every key is checked: an unknown or ill-typed one is an error, not a default.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo import records
from zoo.errors import ConfigError, UnknownNameError
from zoo.files import reason_of
from zoo.training.distillation import DistillationRecipe

PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("cosine", "constant")
KEEP = ("last", "best")
#: the optimizers, by the names of recipes: modules and classes
OPTIMIZERS = {
    "adamw": "torch.optim:AdamW",
    "adam": "torch.optim:Adam",
    "radam": "torch.optim:RAdam",
    "nadam": "torch.optim:NAdam",
    "adafactor": "torch.optim:Adafactor",
    "sgd": "torch.optim:SGD",
    "lion": "pytorch_optimizer:Lion",
    "muon": "pytorch_optimizer:Muon",
    "schedule-free": "pytorch_optimizer:ScheduleFreeAdamW",
}
#: the one that needs no schedule, and averages the weights itself
SCHEDULE_FREE = "schedule-free"


#: those that compute number by number, and so with parts of parameters (``training.shard``)
SHARDABLE = ("adamw", "adam", "radam", "nadam", "sgd")


@dataclass(frozen=True)
class ModelRecipe:
    """The architecture and its config.

    Attributes:
        architecture: its name.
        config: keywords that build it.
        parts: submodule names, such as ``"codec.autoencoder"``, mapped to the models (name or folder) whose weights
            they start with.
        weights: the model (name or folder) whose weights and constants, such as those that standardise the data, all
            of it starts with; empty for fresh ones.
    """

    architecture: str
    config: dict[str, object] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict, metadata=records.OMITTED)
    weights: str = field(default="", metadata=records.OMITTED)


@dataclass(frozen=True)
class DataRecipe:
    """The data set and its options.

    Attributes:
        name: of a registered data set; of data from a path, what messages and cards call them.
        options: of the data set, or of what reads the path: see :mod:`zoo.reading.options`.
        path: of a file or folder, or ``module:function``, which is code that runs; empty for a registered data set.
        sha256: digest of what is at the path, see :func:`zoo.reading.finding.digest`; empty for any.
    """

    name: str = ""
    options: dict[str, object] = field(default_factory=dict)
    path: str = field(default="", metadata=records.OMITTED)
    sha256: str = field(default="", metadata=records.OMITTED)

    def __post_init__(self) -> None:
        """Refuse neither a name nor a path, and name what has a path alone."""
        if not self.name and not self.path:
            raise ConfigError("data: name is missing: of a data set, or path of a file or folder")
        if not self.name:
            object.__setattr__(self, "name", Path(self.path).name or self.path)
        if self.sha256 and not self.path:
            raise ConfigError("data: sha256 is of what is at a path, and there is none")


@dataclass(frozen=True)
class TrainingChange:
    """A change of settings from a step on, such as a lower learning rate for a run that diverges later.

    Attributes:
        step: optimizer steps done before the change.
        learning_rate: as of :class:`TrainingRecipe`; None to keep it.
        gradient_clip: likewise.
    """

    step: int
    learning_rate: float | None = field(default=None, metadata=records.OMITTED)
    gradient_clip: float | None = field(default=None, metadata=records.OMITTED)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.step < 0:
            raise ConfigError(f"training.changes: step = {self.step} is out of range")
        if not self.settings():
            raise ConfigError(f"training.changes: nothing changes at step {self.step}")

    def settings(self) -> dict[str, float]:
        """The changed settings, by name."""
        values = {"learning_rate": self.learning_rate, "gradient_clip": self.gradient_clip}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class TrainingRecipe:
    """How to train.

    Attributes:
        seed: of the initial weights, the order of the data, and all noise.
        steps: optimizer steps.
        batch_size: samples per step, of all processes together.
        learning_rate: peak of the optimizer's learning rate.
        schedule: ``"cosine"`` to zero, or ``"constant"``.
        warmup: steps of linear warm-up.
        weight_decay: the optimizer's.
        betas: the optimizer's, if it has such; of ``"sgd"`` the first is its momentum.
        gradient_clip: bound on the gradient's global norm; 0 for none.
        ema: decay of the exponential moving average of the weights, which is then kept; 0 for none.
        precision: ``"bfloat16"`` computes the forward pass in mixed precision; weights stay float32.
        evaluate_every: steps between evaluations on the validation split; 0 for none.
        checkpoint_every: steps between checkpoints.
        optimizer: ``"adamw"``, or another of :data:`OPTIMIZERS`; ``"schedule-free"`` is AdamW with an average of the
            weights, which is kept, instead of a schedule.
        accumulate: parts of each batch whose gradients are added up, one after another, to save memory.
        patience: evaluations in a row without a lower validation loss after which the run ends; 0 for none.
        shard: whether each process of a run keeps a part of each parameter, as do checkpoints, or the whole model.
        compile: whether the loss is compiled by ``torch.compile``.
        ema_snapshots: steps between snapshots of two averages of the weights, of which one of any length can be made
            afterwards, see :mod:`zoo.training.averages`; 0 for none.
        ema_length: of the average of them that is kept, relative to the run; 0 to keep what ``ema`` says.
        log_every: steps between lines of ``log.jsonl``; evaluations and the last step have one too.
        keep: weights of the ``"last"`` step, or of the ``"best"`` evaluation.
        changes: changes of settings at later steps, in order. A checkpoint from before a change belongs to the same
            run.
    """

    seed: int = 0
    steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    gradient_clip: float = 0.0
    ema: float = 0.0
    precision: str = "float32"
    evaluate_every: int = 0
    checkpoint_every: int = 500
    keep: str = "last"
    changes: tuple[TrainingChange, ...] = field(default=(), metadata=records.OMITTED)
    optimizer: str = field(default="adamw", metadata=records.OMITTED)
    accumulate: int = field(default=1, metadata=records.OMITTED)
    patience: int = field(default=0, metadata=records.OMITTED)
    log_every: int = field(default=10, metadata=records.OMITTED)
    shard: bool = field(default=False, metadata=records.OMITTED)
    compile: bool = field(default=False, metadata=records.OMITTED)
    ema_snapshots: int = field(default=0, metadata=records.OMITTED)
    ema_length: float = field(default=0.0, metadata=records.OMITTED)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        checks = {
            "seed": self.seed >= 0,
            "steps": self.steps >= 1,
            "batch_size": self.batch_size >= 1,
            "learning_rate": self.learning_rate > 0,
            "warmup": self.warmup >= 0,
            "weight_decay": self.weight_decay >= 0,
            "gradient_clip": self.gradient_clip >= 0,
            "ema": 0 <= self.ema < 1,
            "evaluate_every": self.evaluate_every >= 0,
            "checkpoint_every": self.checkpoint_every >= 1,
            "log_every": self.log_every >= 1,
            "accumulate": self.accumulate >= 1,
            "patience": self.patience >= 0,
            "ema_snapshots": self.ema_snapshots >= 0,
            # beyond it the average is flatter than one over all steps alike
            "ema_length": 0 <= self.ema_length <= 0.28,
            "betas": len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
        }
        for name, good in checks.items():
            if not good:
                raise ConfigError(f"training.{name} = {getattr(self, name)!r} is out of range")
        names = (("precision", PRECISIONS), ("schedule", SCHEDULES), ("keep", KEEP), ("optimizer", tuple(OPTIMIZERS)))
        for name, known in names:
            if getattr(self, name) not in known:
                raise UnknownNameError(f"training.{name}", str(getattr(self, name)), known)
        self._check_together()
        steps = [change.step for change in self.changes]
        if steps != sorted(set(steps)):
            raise ConfigError(f"training.changes are at the steps {steps}, which must increase")
        for change in self.changes:
            dataclasses.replace(self, changes=(), **change.settings())  # type: ignore[arg-type]

    def _check_together(self) -> None:
        """Refuse settings that do not go together."""
        for conflict in self.conflicts():
            raise conflict

    def conflicts(self) -> Iterator[ConfigError]:
        """What is wrong with settings together that are right by themselves, one error each."""
        if self.accumulate > self.batch_size:
            yield ConfigError(f"training.accumulate = {self.accumulate} is more than training.batch_size")
        if self.keep == "best" and not self.evaluate_every:
            yield ConfigError('training.keep = "best" needs training.evaluate_every')
        if self.patience and not self.evaluate_every:
            yield ConfigError("training.patience needs training.evaluate_every")
        if self.optimizer == SCHEDULE_FREE and (self.schedule != "constant" or self.ema):
            yield ConfigError(
                f'training.optimizer = "{SCHEDULE_FREE}" averages the weights instead of a schedule',
                hint='Set training.schedule = "constant" and training.ema = 0.',
            )
        if self.ema_length and (not self.ema_snapshots or self.keep == "best"):
            yield ConfigError('training.ema_length needs training.ema_snapshots and training.keep = "last"')
        if self.shard and self.optimizer not in SHARDABLE:
            yield ConfigError(
                f'training.shard: the optimizer "{self.optimizer}" needs whole parameters',
                hint=f"Those that take parts are {', '.join(SHARDABLE)}.",
            )
        for name in ("compile", "ema_snapshots"):
            if self.shard and getattr(self, name):
                yield ConfigError(f"training.shard: training.{name} needs whole parameters")

    def at(self, step: int) -> TrainingRecipe:
        """The settings after ``step`` completed steps, with the changes up to there applied."""
        active = [change.settings() for change in self.changes if change.step <= step]
        changed = {name: value for settings in active for name, value in settings.items()}
        return dataclasses.replace(self, changes=(), **changed) if changed else self  # type: ignore[arg-type]


@dataclass(frozen=True)
class Recipe:
    """A whole training run."""

    name: str
    model: ModelRecipe
    data: DataRecipe
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    distillation: DistillationRecipe | None = field(default=None, metadata=records.OMITTED)
    summary: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        """Refuse tables that do not go together."""
        for name in ("shard", "compile", "ema_snapshots"):
            if getattr(self.training, name) and self.distillation is not None:
                raise ConfigError(f"training.{name}: not for a distillation")

    @classmethod
    def from_dict(cls, values: Mapping[str, object], *, source: str = "recipe") -> Recipe:
        """Build from nested tables, as parsed from TOML or JSON.

        Raises:
            ConfigError: unknown, missing or ill-typed keys.
        """
        return records.read(cls, values, source)

    @classmethod
    def from_file(cls, path: Path) -> Recipe:
        """Read a TOML recipe.

        Raises:
            ConfigError: not readable, not TOML, or not a recipe.
        """
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"cannot read the recipe {path}: {reason_of(error)}") from error
        return cls.from_dict(values, source=str(path))

    def describe(self) -> dict[str, object]:
        """As JSON values; :meth:`from_dict` reads them back."""
        described: dict[str, object] = records.write(self)
        return described
