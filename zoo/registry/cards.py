"""Descriptions of what plugins provide, without importing it. No torch.

Hooks return these frozen dataclasses. ``entry`` is always a ``"module:attribute"`` string that is imported only on
use, so listing everything that is installed imports no model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from zoo import records, schema
from zoo.conditions import Condition
from zoo.density import Density
from zoo.effort import Effort
from zoo.errors import ConfigError
from zoo.jsonfile import finite, strict
from zoo.lengths import Length
from zoo.printable import shortened

CARD_FILE = "card.json"
CARD_FORMAT = 1
_MAX_CARD_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Description:
    """The common fields of descriptions.

    Attributes:
        name: lower-case words joined by hyphens; unique among its kind.
        summary: one line.
        requires: modules that must be importable to use it, e.g. ``("torch",)``.
    """

    name: str
    summary: str = ""
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Architecture(Description):
    """A class of model.

    Attributes:
        entry: ``"module:Class"`` of a :class:`~zoo.GenerativeModel` built from a config's keywords.
        family: ``"flow"``, ``"diffusion"``, or another.
        paper: where it was published.
        example: a config of a small model, which ``zoo check-plugin`` builds; may be empty if no keyword is required.
    """

    entry: str
    family: str
    paper: str = ""
    example: Mapping[str, object] = field(default_factory=dict)
    requires: tuple[str, ...] = ("torch",)


@dataclass(frozen=True, kw_only=True)
class Family(Description):
    """A family of models, with the class that makes a model from your own parts, such as a network or transforms.

    Attributes:
        entry: ``"module:Class"`` of a :class:`~zoo.GenerativeModel`.
        foreign: ``"module:function"``, a function ``(part, **settings) -> GenerativeModel`` that makes one of a part of
            another project's, such as a trained network; empty if there is none.
    """

    entry: str
    foreign: str = ""
    requires: tuple[str, ...] = ("torch",)


@dataclass(frozen=True, kw_only=True)
class Sampler(Description):
    """A function that computes step tables.

    Attributes:
        entry: ``"module:function"``, a function ``(path, steps, **options) -> StepTable``.
        stochastic: whether it adds fresh noise.
        denoises: whether D is the mean of the data; False for a sampler that takes it for a sample (consistency).
        paper: where it was published.
    """

    entry: str
    stochastic: bool = False
    denoises: bool = True
    paper: str = ""


@dataclass(frozen=True, kw_only=True)
class DataSource(Description):
    """A data set.

    Attributes:
        entry: ``"module:function"``, a function ``(**options) -> Dataset``.
        license: SPDX identifier of the data's licence.
        source: who made it.
    """

    entry: str
    license: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Exporter(Description):
    """A target of export: written from a model, or packed around a bundle.

    Attributes:
        entry: ``"module:function"``, a function ``(model, card, folder, *, progress, **options) -> None`` that fills
            a folder; for a target that packs, a function ``(bundle, folder, **options) -> None`` that gets an
            opened bundle, which is already in ``folder/bundle``, and adds the code that runs it, without PyTorch.
        packs: whether the target packs a bundle.
        verify: ``"module:function"``, a function ``(folder) -> str`` that says what it ran, or raises a ``ZooError``.
        checks: ``"module:function"``, a function of ``make`` that gives checks of the model ``make()``, by name.
    """

    entry: str
    packs: bool = False
    verify: str = ""
    checks: str = ""


@dataclass(frozen=True, kw_only=True)
class Importer(Description):
    """A format of other people's models.

    Attributes:
        entry: ``"module:function"``, a function ``(card) -> GenerativeModel`` that builds the model of a card from
            ``describe``, with the weights in ``card.folder``.
        describe: ``"module:function"``, a function ``(path, **options) -> ModelCard | None`` that describes a folder or
            file without its weights and torch; None for another format. Options are those of ``zoo export -I``.
    """

    entry: str
    describe: str


@dataclass(frozen=True, kw_only=True)
class ProgramKind(Description):
    """A kind of program: a way to run graphs other than the built-in ones. Its name is the kind.

    Attributes:
        entry: ``"module:Class"`` of a :class:`zoo.programs.Program`.
        runner: ``"module:Class"`` of a :class:`zoo.runtime.running.Runner`, constructed without arguments.
    """

    entry: str
    runner: str


@dataclass(frozen=True, kw_only=True)
class PathKind(Description):
    """A Gaussian path by name.

    Attributes:
        entry: ``"module:Class"`` of a :class:`zoo.paths.GaussianPath`: a frozen dataclass whose fields, JSON numbers,
            texts or lists of numbers, are its parameters, with ``name`` as its class variable.
    """

    entry: str


@dataclass(frozen=True, kw_only=True)
class DistillationMethod(Description):
    """A way for a model to learn from a trained one, for recipes with a table ``[distillation]``.

    Attributes:
        entry: ``"module:Class"`` of a :class:`~zoo.training.distillation.Distillation` of student and teacher.
        paper: where it was published.
    """

    entry: str
    paper: str = ""
    requires: tuple[str, ...] = ("torch",)


@dataclass(frozen=True, kw_only=True)
class Metric(Description):
    """A measurement of ``zoo eval``.

    Attributes:
        entry: ``"module:function"``, a function ``(evaluation, **options) -> Mapping[str, Mapping[str, object]]`` that
            gets an :class:`~zoo.metrics.evaluation.Evaluation` and options (:mod:`zoo.metrics.options`), and returns
            each measured number by name, as a table with ``value``, ``unit``, ``of``, ...; empty if it does not apply.
    """

    entry: str


@dataclass(frozen=True, kw_only=True)
class Format(Description):
    """A format of files of samples. Its name is the extension, without the dot and in lower case: ``"npz"``.

    Attributes:
        writer: ``"module:function"``, a function ``(samples, extras) -> bytes`` that gets ``[n, *event]`` and
            :class:`~zoo.render.Extras`; empty if such files are only read.
        reader: ``"module:function"``, a function ``(path, event_shape, modality) -> Mapping[str, array]`` that returns
            ``samples`` ``[n, *event_shape]``, if the file has one also ``condition``, and raises a
            :class:`~zoo.errors.DataError`. ``event_shape`` is None where only a condition is wanted. Empty if such
            files are only written.
        fits: ``"module:function"``, a function ``(event_shape, modality) -> str | None`` that says, before anything is
            drawn, why such samples cannot be written; empty if all can.
        modality: the kind of modality whose samples alone it holds, such as ``"audio"``, or one of a plugin (hook
            ``zoo_modalities``); empty for any.
        picture: whether it is a picture: its reader returns shades 0 ... 255, which are scaled to the range of the
            model's data, and it does not hold log-densities or noise.
    """

    writer: str = ""
    reader: str = ""
    fits: str = ""
    modality: str = ""
    picture: bool = False

    def __post_init__(self) -> None:
        """Refuse a format without reader and writer, and an invalid extension."""
        if not self.writer and not self.reader:
            raise ConfigError(f"the format {self.name!r} has neither a writer nor a reader")
        if not self.name.isalnum() or self.name != self.name.lower():
            raise ConfigError(f"the name of a format is its extension, such as npz, not {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class DataReader(Description):
    """A way to read data to train on from a file or folder of the user's.

    Attributes:
        entry: ``"module:function"``, a function ``(path, **options) -> Rows | Samples`` of :mod:`zoo.reading.content`;
            its keywords are options of the data.
        suffixes: of its files, with the dot and in lower case; empty for folders.
        recognises: ``"module:function"``, a function ``(path) -> bool`` that says whether a folder is one of its own;
            empty for files.
    """

    entry: str
    suffixes: tuple[str, ...] = ()
    recognises: str = ""

    def __post_init__(self) -> None:
        """Refuse one that no path leads to, and suffixes that are none."""
        if not self.suffixes and not self.recognises:
            raise ConfigError(f"the data reader {self.name!r} has neither suffixes nor recognises folders")
        if any(not suffix.startswith(".") or suffix != suffix.lower() for suffix in self.suffixes):
            raise ConfigError(f"the suffixes of the data reader {self.name!r} are such as .csv, not {self.suffixes}")


@dataclass(frozen=True, kw_only=True)
class ModalityKind(Description):
    """A modality: what the numbers of samples mean. Its name is the ``kind`` that manifests and cards store.

    Its files are a :class:`Format` with this ``modality``.

    Attributes:
        entry: ``"module:Class"`` of a :class:`zoo.modality.Modality`, a frozen dataclass of JSON values.
        samples: what its samples are called, in the plural: ``"recordings"``. Empty takes the name.
        suffix: the extension of files that its samples are written to by default: ``".wav"``. Empty chooses by shape.
        draw: ``"module:function"``, a function ``(samples, extras) -> bytes`` that draws ``[n, *event]`` as a .png,
            given :class:`~zoo.render.Extras`. Empty draws by shape.
        rounding: ``"module:function"``, a function ``(x, modality, seed) -> array | None`` for data that were rounded:
            the uniform noise that scoring adds to ``[n, *event]``, of their grain; None or empty adds none.
    """

    entry: str
    samples: str = ""
    suffix: str = ""
    draw: str = ""
    rounding: str = ""

    def __post_init__(self) -> None:
        """Refuse an invalid extension."""
        if self.suffix and not (self.suffix[0] == "." and self.suffix[1:].isalnum() and self.suffix.islower()):
            raise ConfigError(f"modality {self.name!r}: an extension is of the form .wav, not {self.suffix!r}")


@dataclass(frozen=True, kw_only=True)
class Command(Description):
    """A command of the command line: ``zoo NAME``.

    Attributes:
        entry: ``"module:command"`` of a :class:`click.Command`, imported when it is run; :mod:`zoo.cli` has what
            commands share. ``zoo --help`` shows the summary.
    """

    entry: str


@dataclass(frozen=True, kw_only=True)
class Check(Description):
    """A check that ``zoo doctor`` runs.

    Attributes:
        entry: ``"module:function"``, a function ``() -> Iterable[Finding]``.
    """

    entry: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One result of a check.

    Attributes:
        level: ``"ok"``, ``"warning"`` or ``"error"``.
        message: one sentence.
        repair: commands or steps that fix it, if any.
    """

    level: str
    message: str
    repair: str = ""


@dataclass(frozen=True)
class WeightsFile:
    """The location of a model's weights, relative to its folder, and their digest."""

    file: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class ModelCard(Description):
    """The description of a model that is available without loading it; stored as ``card.json`` in the model's folder.

    Attributes:
        family: the family of its architecture.
        architecture: name of a registered architecture.
        config: keywords that build it.
        event_shape: shape of one sample.
        condition: what it is conditioned on, or None.
        parameters: number of trained parameters.
        weights: the safetensors file.
        data: ``name`` of the data set, its ``options`` in training, ``license``, ``source``, for discrete data
            ``levels``, and its ``kind`` (:mod:`zoo.modality`).
        license: ``{"code": SPDX, "weights": SPDX}``.
        metrics: name to value, or to ``{"value", "unit", "of", ...}``.
        papers: citations.
        recipe: the training run that produced the weights, as :class:`zoo.training.recipe.Recipe` describes it.
        bundle: subfolder with the exported bundle, or None.
        density: what its log-densities are: ``exact``, ``bound``, ``estimate``, ``ratio`` or ``none``; None on
            cards that do not say.
        samples: whether it samples; False for a model that only scores.
        length: how events of variable length say where they end, or None.
        training: what the training took, on cards that say; nothing that it made depends on it.
        source: the code that made the model, if it has no architecture, see :class:`zoo.models.factories.FactoryModel`.
        folder: where the card was read from; not stored.
    """

    family: str
    architecture: str
    config: Mapping[str, object] = field(default_factory=dict)
    event_shape: tuple[int, ...] = ()
    condition: Condition | None = None
    parameters: int = 0
    weights: WeightsFile | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    license: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    papers: tuple[str, ...] = ()
    recipe: Mapping[str, object] | None = None
    bundle: str | None = None
    density: Density | None = field(default=None, metadata=records.OMITTED)
    samples: bool = field(default=True, metadata=records.OMITTED)
    length: Length | None = field(default=None, metadata=records.OMITTED)
    training: Effort | None = field(default=None, metadata=records.OMITTED)
    source: Mapping[str, object] | None = field(default=None, metadata=records.OMITTED)
    folder: Path | None = None

    def describe(self) -> dict[str, object]:
        """As JSON values; :meth:`from_description` reads them back."""
        values = {name: value for name, value in records.write(self).items() if name not in ("folder", "requires")}
        return {"format": CARD_FORMAT, **values}

    def to_json(self) -> str:
        """The content of ``card.json``."""
        return json.dumps(finite(self.describe()), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_description(cls, values: Mapping[str, object], *, folder: Path | None = None) -> ModelCard:
        """Build from JSON values.

        Raises:
            ConfigError: missing, unknown or ill-typed fields, a newer format, or a path that leaves the folder.
        """
        where = f"{folder / CARD_FILE}" if folder else "card"
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where} is not a model card")
        rest = dict(values)
        version = rest.pop("format", None)
        if isinstance(version, bool) or version != CARD_FORMAT:
            raise ConfigError(
                f"{where} has format {shortened(repr(version), 40)}; this version of genzoo reads {CARD_FORMAT}"
            )
        try:
            schema.check(_plain(values), f"card-{CARD_FORMAT}")
            card = dataclasses.replace(records.read(cls, rest, "card"), folder=folder)
        except (ConfigError, TypeError, KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"{where} is not a model card: {error}") from error
        for relative in (card.weights.file if card.weights else None, card.bundle):
            if relative is not None and (
                PurePosixPath(relative).is_absolute() or ".." in PurePosixPath(relative).parts or "\\" in relative
            ):
                raise ConfigError(f"{where}: {relative!r} leaves the model's folder")
        return card

    @classmethod
    def from_folder(cls, folder: Path) -> ModelCard:
        """Read ``card.json`` of a model folder.

        Raises:
            ConfigError: missing or not a card.
        """
        path = Path(folder) / CARD_FILE
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_CARD_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{folder} is not a model folder: it has no readable {CARD_FILE}") from error
        if len(raw) > _MAX_CARD_BYTES:
            raise ConfigError(f"{path} is too large for a card: it has more than {_MAX_CARD_BYTES} bytes")
        try:
            values = strict(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is not JSON: {error}") from error
        return cls.from_description(values, folder=Path(folder))

    @property
    def weights_path(self) -> Path | None:
        """The weights file, or None if the card has none."""
        return self.folder / self.weights.file if self.folder and self.weights else None

    @property
    def bundle_path(self) -> Path | None:
        """The exported bundle of the model, or None."""
        return self.folder / self.bundle if self.folder and self.bundle else None


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Values converted to plain JSON types, from any mappings and tuples of a Python caller."""
    return {
        name: dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
