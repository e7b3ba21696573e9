"""Builds a PyTorch model from a card or a bundle. Architectures need torch; this module does not."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import weights
from zoo.bundle import WEIGHTS
from zoo.conditions import Condition
from zoo.density import MEANINGS
from zoo.errors import BundleError, ConfigError, PluginError, WeightsError, ZooError
from zoo.models.factories import how_to_rebuild, told
from zoo.models.sources import Source, resolve
from zoo.registry import Registry
from zoo.registry.cards import Importer, ModelCard
from zoo.registry.discovery import last_line
from zoo.registry.entries import importable, missing

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel


def build(registry: Registry, architecture: str, config: Mapping[str, object]) -> GenerativeModel:
    """Build a model with fresh weights.

    Args:
        registry: where the architecture is looked up.
        architecture: its name.
        config: keywords of the architecture's class.

    Raises:
        UnknownNameError: no such architecture.
        MissingDependencyError: torch or another requirement is not installed.
        ConfigError: unknown or missing keywords, invalid values, or an invalid attribute ``density``.
        PluginError: it cannot be imported, or is not a :class:`~zoo.GenerativeModel`.
    """
    description = registry.architecture(architecture)
    if not importable("torch"):
        raise missing("torch", f"build the architecture {architecture!r}")
    cls = registry.load_entry(description)
    from zoo.models.interface import GenerativeModel

    if not (inspect.isclass(cls) and issubclass(cls, GenerativeModel)):
        raise PluginError(f"{description.entry} of the architecture {architecture!r} is not a zoo.GenerativeModel")
    accepted = keywords(cls)
    unknown = sorted(config.keys() - accepted) if accepted is not None else []
    if unknown:
        raise ConfigError(
            f"the architecture {architecture!r} takes no {' or '.join(unknown)}", hint=_takes(architecture, accepted)
        )
    absent = [n for n, d in (accepted or {}).items() if d is inspect.Parameter.empty and n not in config]
    if absent:
        raise ConfigError(
            f"the architecture {architecture!r} needs {' and '.join(absent)} in its config",
            hint=_takes(architecture, accepted),
        )
    try:
        model: GenerativeModel = cls(**config)
    except ZooError:
        raise
    except Exception as error:  # whatever the class raises for unexpected values
        told = traceback.format_exception_only(error)[-1].strip() + _ill_typed(config, accepted or {})
        raise ConfigError(
            f"the architecture {architecture!r} cannot be built with this config: {told}",
            hint=_takes(architecture, accepted),
        ) from error
    if model.density not in tuple(MEANINGS):
        raise ConfigError(
            f"the attribute density of {cls.__name__} must be one of {', '.join(MEANINGS)}, not "
            f"{'a method' if callable(model.density) else repr(model.density)}",
            hint="It says what log-densities are worth; a method of yours needs another name.",
        )
    return model


def keywords(cls: type) -> dict[str, object] | None:
    """The keywords that a class's constructor takes, with their defaults (``inspect.Parameter.empty`` for none).

    A constructor with ``**others`` is assumed to pass them to the next class.

    Returns:
        None if any keyword is accepted.
    """
    keywords: dict[str, object] = {}
    bases = [base for base in cls.__mro__ if "__init__" in vars(base)]
    first = bases[0]
    for base in bases:
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        for p in parameters:
            # required arguments of a base class, like a diffusion's network, are provided by its subclass
            inherited = base is not first and p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and not inherited:
                keywords.setdefault(p.name, p.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return keywords
    return None


def _ill_typed(config: Mapping[str, object], accepted: Mapping[str, object]) -> str:
    """Which values are words where the default is a number or true or false, in brackets: it may be the reason."""
    wrong = [
        f"{name} is {value!r}, by default {accepted[name]!r}"
        for name, value in config.items()
        if isinstance(value, str) and isinstance(accepted.get(name), (bool, int, float))
    ]
    return f" ({'; '.join(wrong)})" if wrong else ""


def _takes(architecture: str, accepted: Mapping[str, object] | None) -> str | None:
    if accepted is None:
        return None
    if not accepted:
        return f"{architecture} takes no config."
    shown = [n if d is inspect.Parameter.empty else f"{n} = {d!r}" for n, d in accepted.items()]
    return f"{architecture} takes {', '.join(shown)}."


def load(
    registry: Registry, model: str | os.PathLike[str] | ModelCard | Source, /, **importing: object
) -> GenerativeModel:
    """Build a model and load its weights, digest checked.

    Args:
        registry: where names are looked up.
        model: a card, a source, a registered name, or the path of a model folder, a bundle, or a file that an importer
            reads.
        importing: options of the importer.

    Returns:
        the model, in evaluation mode.

    Raises:
        what :func:`~zoo.models.sources.resolve` and :func:`build` do, and
        WeightsError: a weights file that is missing, damaged, or does not fit.
        ConfigError: a card that does not match the model built from it.
        PluginError: an importer that fails.
    """
    if isinstance(model, ModelCard):
        source = Source(model.name, model, None)
    else:
        source = model if isinstance(model, Source) else resolve(registry, model, **importing)
    if source.by_code is not None:
        return source.by_code.model
    if source.card is None:
        built = _from_bundle(registry, source)
    elif source.importer is not None:
        built = _from_importer(registry, source.importer, source.card)
    else:
        built = _from_card(registry, source.card)
    weights.mark_loaded(built)
    return built.eval()


def _from_importer(registry: Registry, importer: Importer, card: ModelCard) -> GenerativeModel:
    from zoo.models.interface import GenerativeModel

    read = registry.load_entry(importer)
    try:
        built = read(card)
    except ZooError:
        raise
    except Exception as error:
        raise PluginError(f"the importer {importer.name} fails on {card.folder}: {last_line(error)}") from error
    if not isinstance(built, GenerativeModel):
        raise PluginError(f"the importer {importer.name} gives {type(built).__name__}, not a zoo.GenerativeModel")
    _check_shape(card, built)
    return built


def _check_shape(card: ModelCard, built: GenerativeModel) -> None:
    if tuple(built.event_shape) != card.event_shape:
        raise ConfigError(
            f"the card of {card.name} states events of shape {card.event_shape}, but its config builds "
            f"{built.event_shape}"
        )


def _from_card(registry: Registry, card: ModelCard) -> GenerativeModel:
    path = card.weights_path
    if path is None or card.weights is None:
        raise WeightsError(f"the model {card.name} has no weights", hint="Train it: `zoo train`.")
    built = build(registry, card.architecture, card.config)
    _check_shape(card, built)
    weights.load_into(built, weights.read(path, digest=card.weights.sha256), source=path)
    return built


def _from_bundle(registry: Registry, source: Source) -> GenerativeModel:
    bundle = source.open()
    if bundle.manifest.precision is not None:
        raise BundleError(
            f"{bundle.folder} has its weights in {bundle.manifest.precision['weights']}: it can only be run",
            hint="Load the model that it was exported from.",
        )
    described = bundle.manifest.model
    made_by = described.get("source")
    if isinstance(made_by, Mapping):
        raise BundleError(
            f"{bundle.folder} was exported from {told(made_by)}, whose code is not part of it",
            hint=how_to_rebuild(made_by, bundle.folder),
        )
    if isinstance(origin := described.get("origin"), Mapping):
        raise _wrapped_error(bundle.folder, origin, bundle.manifest.event_shape, bundle.manifest.condition)
    architecture, config = described.get("architecture"), described.get("config")
    if not isinstance(architecture, str) or not architecture or not isinstance(config, Mapping):
        raise BundleError(
            f"{bundle.folder} does not state the architecture and config it was exported from",
            hint="Make the model as it was made then, and load weights.safetensors into it: zoo.weights.load_into.",
        )
    built = build(registry, architecture, config)
    path = bundle.file(WEIGHTS)
    weights.load_into(built, weights.read(path), source=path)
    return built


def _wrapped_error(
    folder: Path, origin: Mapping[str, object], event_shape: Sequence[int], condition: Condition | None
) -> BundleError:
    """Why a bundle of another library's model is not loaded, and how to get the model back."""
    release = f"{origin.get('library')} {origin.get('version')}".strip()
    context = "" if condition is None or condition.kind != "vector" else f", context={condition.size}"
    weights_file, cls = str(folder / WEIGHTS), str(origin.get("class")).rpartition(".")[2]
    return BundleError(
        f"{folder} holds a model of {release}, {origin.get('class')}, whose code is not in the bundle",
        hint=f"It runs without PyTorch: zoo.runtime.load({str(folder)!r}). To have the PyTorch model back, build it "
        f"with the arguments of then, model = zoo.wrap({cls}(...), event_shape={tuple(event_shape)}{context}); then, "
        f"after `from zoo import weights`, weights.load_into(model, weights.read(path), source=path) with path = "
        f"{weights_file!r}.",
    )
