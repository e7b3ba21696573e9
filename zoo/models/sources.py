"""Resolves MODEL: the name of a registered model, a model folder, a bundle, another project's model, or code."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from zoo.bundle import MANIFEST, Bundle, Manifest, is_bundle, open_bundle, read_manifest
from zoo.bundle.example import has_example
from zoo.bundle.nearby import hint_of
from zoo.conditions import Condition
from zoo.errors import NameConflictError, PluginError, UsageError, ZooError
from zoo.hub.pulling import local
from zoo.lengths import Length
from zoo.modality import Column, Modality, columns_from, modality_from
from zoo.models.factories import Factory, FactoryModel
from zoo.registry import Item, Registry, entries
from zoo.registry.cards import CARD_FILE, Importer, ModelCard
from zoo.registry.discovery import last_line


@dataclass(frozen=True)
class Facts:
    """The facts about a model known before it is opened.

    ``condition_columns`` are those of a file, and ``example`` says whether its bundle has one.
    """

    name: str
    event_shape: tuple[int, ...]
    condition: Condition | None
    modality: Modality | None = None
    length: Length | None = None
    samples: bool = True
    condition_columns: tuple[Column, ...] = ()
    example: bool = False

    @classmethod
    def stated(cls, name: str, by: Manifest | ModelCard) -> Facts:
        """Those that a bundle's manifest or a card states."""
        if isinstance(by, Manifest):
            data = by.model.get("data")
            columns = columns_from(data.get("given") if isinstance(data, Mapping) else None, name)
            known = (by.modality, by.length, by.sample is not None, columns, has_example(by))
            return cls(name, by.event_shape, by.condition, *known)
        modality, columns = modality_from(by.data.get("kind")), columns_from(by.data.get("given"), name)
        return cls(name, by.event_shape, by.condition, modality, by.length, by.samples, columns)


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        name: the model's name.
        card: its card; None when there is only a bundle.
        bundle: the bundle that the model has or is, if any.
        importer: the importer that reads it, if it is another project's; the card then comes from the importer.
        by_code: the model itself, if somebody's code has made it.
        known: the bundle's manifest, once it has been read.
    """

    name: str
    card: ModelCard | None
    bundle: Path | None
    importer: Importer | None = None
    by_code: FactoryModel | None = field(default=None, compare=False, repr=False)
    known: Manifest | None = field(default=None, compare=False, repr=False)

    def manifest(self) -> Manifest | None:
        """The bundle's manifest, if there is a bundle. It is read once; other files are not checked."""
        if self.known is None and self.bundle is not None:
            object.__setattr__(self, "known", read_manifest(self.bundle))
        return self.known

    def open(self) -> Bundle:
        """The bundle with every file checked, by the manifest if that was read before.

        Raises:
            UsageError: there is no bundle.
            BundleError: see :func:`zoo.bundle.open_bundle`.
        """
        if self.bundle is None:
            raise UsageError(f"{self.name} has no bundle", hint=f"Export it: `zoo export {self.name} -o DIR`.")
        return open_bundle(self.bundle, self.known)


def resolve(registry: Registry, model: str | os.PathLike[str], /, **importing: object) -> Source:
    """Resolve MODEL: a registered model, a model folder, a bundle, or a path that an importer reads.

    A registered name takes precedence over a folder of that name; ``./name`` is always the folder. An address of the
    Hugging Face Hub or of the web, or a .zip, is the folder of it in the cache (:mod:`zoo.hub`), where it is pulled to
    if it is not there.

    Args:
        registry: where names and importers are looked up.
        model: a name, a path, or an address.
        importing: options of the importer.

    Raises:
        UnknownNameError: neither a name nor a path.
        UsageError: a path that cannot be read as a model, an option that does not apply to it, or code, which is not
            run here: see :func:`run_code`.
        NameConflictError: a name or path that two plugins claim.
        ConfigError, BundleError: a folder whose card or manifest cannot be read.
        HubError, MissingDependencyError: an address that cannot be pulled.
    """
    name = os.fspath(local(model) or model)
    if (factory := Factory.of(name)) is not None:
        raise UsageError(
            f"{name} names code, which only zoo export, zoo run and zoo eval run",
            hint=f"In Python, call {factory.function} yourself; a bundle of `zoo export` can be used everywhere.",
        )
    path = Path(name).expanduser()
    source = _of_card(registry.model(name)) if _is_name(registry, name) else _in_folder(path)
    if source is not None:
        if importing:
            raise UsageError(
                f"{source.name} is not imported, so it takes no option {', '.join(importing)} of an importer"
            )
        return source
    source = _imported(registry, path, importing)
    if source is not None:
        return source
    kind = "folder" if path.is_dir() else "file"
    if path.suffix == ".py":
        raise UsageError(
            f"{path} is code, but not a model",
            hint=f"Name a function of it that returns one, to run it: zoo export {path}:FUNCTION -o FOLDER.",
        )
    formats = [item.description.name for item in registry.items("importer")]
    other = f" Other formats that can be read: {', '.join(formats)}." if formats else ""
    raise UsageError(
        f"{path} is a {kind}, but not a model",
        hint=hint_of(path)
        or f"A model's folder holds {CARD_FILE}; a bundle, which `zoo export` writes, holds {MANIFEST}.{other}",
    )


def run_code(factory: Factory, weights: Path | None = None) -> Source:
    """The source of a model that somebody's code makes, which is run now.

    Args:
        factory: the function that makes it.
        weights: a safetensors file to load into it, or None.

    Raises:
        what :meth:`zoo.models.factories.Factory.make` does.
    """
    by_code = factory.make(weights)
    model = by_code.model
    card = ModelCard(
        name=factory.module.rpartition(".")[2],
        family=model.family,
        architecture="",
        event_shape=tuple(model.event_shape),
        condition=model.condition,
        parameters=sum(p.numel() for p in model.parameters()),
        density=model.density,
        samples=model.samples,
        length=model.length,
        source=by_code.source,
    )
    return Source(card.name, card, None, by_code=by_code)


def _is_name(registry: Registry, model: str) -> bool:
    """Whether MODEL is to be looked up: it does not look like a path, and is registered or not a path either."""
    if os.sep in model or "/" in model or model.startswith((".", "~")):
        return False
    return any(item.description.name == model for item in registry.items("model")) or not Path(model).exists()


def _in_folder(path: Path) -> Source | None:
    """A model of genzoo in a folder, or None for something else.

    Raises:
        UsageError: the path does not exist.
    """
    if path.name in (CARD_FILE, MANIFEST) and path.is_file():
        path = path.parent
    if (path / CARD_FILE).is_file():
        return _of_card(ModelCard.from_folder(path))
    if is_bundle(path):
        manifest = read_manifest(path)
        return Source(str(manifest.model.get("name") or path.name), None, path, known=manifest)
    if not path.exists():
        raise UsageError(f"there is no model at {path}", hint="`zoo list` shows the models that are installed.")
    return None


def _imported(registry: Registry, path: Path, options: Mapping[str, object]) -> Source | None:
    """The source that an importer recognises in a path, or None.

    Raises:
        UsageError: an option that the importer does not have.
        NameConflictError: more than one recognises it.
        PluginError: an importer that fails.
        ZooError: an error of the importer.
    """
    matches = []
    for item in registry.items("importer"):
        if (card := _described(item, path, options)) is not None:
            matches.append((item, card))
    if not matches:
        return None
    if len(matches) > 1:
        names = " and ".join(f"{item.description.name} of {item.plugin.origin}" for item, _ in matches)
        raise NameConflictError(
            f"{path} can be read by more than one importer: {names}",
            hint=f"Disable one: `zoo --no-plugins={matches[-1][0].plugin.name} ...`",
        )
    ((item, card),) = matches
    return Source(card.name, card, None, cast(Importer, item.description))


def _described(item: Item, path: Path, options: Mapping[str, object]) -> ModelCard | None:
    importer = cast(Importer, item.description)
    # only an importer's entry needs its requirements: a model can be shown where it cannot be loaded
    entry = replace(importer, entry=importer.describe, requires=())
    describe = entries.load_entry("importer", entry, item.plugin)
    try:
        known = list(inspect.signature(describe).parameters)[1:]
        card = describe(path, **{name: value for name, value in options.items() if name in known})
    except ZooError:
        raise
    except Exception as error:
        raise PluginError(
            f"the importer {importer.name} of {item.plugin.origin} fails on {path}: {last_line(error)}"
        ) from error
    if card is not None and not isinstance(card, ModelCard):
        raise PluginError(f"the importer {importer.name} of {item.plugin.origin} gives {card!r}, not a ModelCard")
    unknown = [name for name in options if name not in known]
    if card is not None and unknown:
        raise UsageError(
            f"the importer {importer.name} has no option {', '.join(unknown)}",
            hint=f"It has: {', '.join(known)}." if known else "It has none.",
        )
    return card


def _of_card(card: ModelCard) -> Source:
    bundle = card.bundle_path
    return Source(card.name, card, bundle if bundle is not None and is_bundle(bundle) else None)
