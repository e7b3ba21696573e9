"""Exporting, independent of the target: the folder appears complete or not at all."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.bundle import MANIFEST, Bundle, is_bundle, open_bundle, read_manifest
from zoo.bundle.example import example_of, write_example
from zoo.conditions import ConditionLike
from zoo.counts import StageProgress
from zoo.errors import OutputError, PluginError, UsageError, ZooError
from zoo.files import atomic_folder, check_free, copy_file
from zoo.lazy import seldom_collected
from zoo.registry import Registry, installed
from zoo.registry.cards import Exporter, ModelCard
from zoo.registry.discovery import located

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel

#: the target that writes bundles, and the folder of the bundle in targets that pack one
BUNDLES, BUNDLE = "onnx", "bundle"


def export(
    model: GenerativeModel,
    folder: str | os.PathLike[str],
    *,
    card: ModelCard | None = None,
    target: str = "onnx",
    force: bool = False,
    registry: Registry | None = None,
    progress: StageProgress | None = None,
    packing: Mapping[str, object] | None = None,
    example: ConditionLike = None,
    **options: object,
) -> Path:
    """Export a model.

    Args:
        model: any :class:`~zoo.GenerativeModel`; it is not changed.
        folder: the output; it appears when everything in it is written and proven.
        card: the model's description; None to derive one from the model.
        target: name of an exporter.
        force: whether to replace an existing folder.
        registry: where exporters are looked up; None for all installed ones.
        progress: called before each stage.
        packing: options of a target that packs a bundle.
        example: one condition, as ``sample`` takes it, that the bundle gives as an example
            (:mod:`zoo.bundle.example`); None for the example of the bundle that the card names, if there is one.
        options: options of the exporter, such as ``opset``; for a target that packs, options of ``onnx``, which
            writes the bundle.

    Returns:
        the folder.

    Raises:
        OutputError: the folder exists, or cannot be written.
        UnknownNameError: no such exporter.
        UsageError: an option that the packing target does not have, or an example for a target without a bundle.
        ConditionError: the example does not fit the model.
        MissingDependencyError: a requirement of the exporter is not installed.
        ExportError: the target cannot express the model.
        ProofError: the export does not equal the model; nothing is left behind.
        PluginError: the code of a plugin's target fails; nothing is left behind.
    """
    folder = Path(folder)
    registry = registry or installed()
    check_free(folder, replace=force)
    exporter = registry.exporter(target)
    with seldom_collected():
        write = registry.load_entry(exporter)
    card = card or card_of(model, folder.name)
    if not exporter.packs:
        if example is not None and target != BUNDLES:
            raise UsageError(f"the target {target} writes no bundle, which has the example")
        with atomic_folder(folder, replace=force) as temporary:
            with blaming(registry, exporter):
                write(model, card, temporary, progress=progress, **options)
            if target == BUNDLES:
                _write_example(temporary, example, card, model)
        return folder
    _check_options(target, write, packing or {})
    write_bundle = registry.load_entry(registry.exporter(BUNDLES))
    with atomic_folder(folder, replace=force) as temporary:
        inner = _new_folder(temporary / BUNDLE)
        write_bundle(model, card, inner, progress=progress, **options)
        _write_example(inner, example, card, model)
        opened = open_bundle(inner)
        with blaming(registry, exporter):
            write(opened, temporary, **(packing or {}))
    return folder


def pack(
    bundle: Bundle,
    folder: str | os.PathLike[str],
    *,
    target: str,
    force: bool = False,
    registry: Registry | None = None,
    example: ConditionLike = None,
    **options: object,
) -> Path:
    """Pack a finished bundle for a target, without PyTorch or tracing; its golden values are replayed instead.

    Args:
        bundle: an opened bundle, whose files have been checked on opening.
        folder: the output; it appears when everything in it is written.
        target: name of an exporter that packs.
        force: whether to replace an existing folder.
        registry: where exporters are looked up; None for all installed ones.
        example: as for :func:`export`, instead of the bundle's own.
        options: options of the exporter.

    Raises:
        OutputError: the folder exists, or cannot be written.
        UnknownNameError: no such exporter.
        UsageError: the exporter does not pack bundles, or does not have an option.
        ConditionError: the example does not fit the model.
        MissingDependencyError: a requirement of the exporter is not installed.
        ProofError: the bundle does not reproduce its golden values on this machine.
        PluginError: the code of a plugin's target fails; nothing is left behind.
    """
    from zoo.runtime.check import confirm

    folder = Path(folder)
    registry = registry or installed()
    check_free(folder, replace=force)
    exporter = registry.exporter(target)
    if not exporter.packs:
        raise UsageError(f"the target {target} is written from a model, not from a bundle")
    write = registry.load_entry(exporter)
    _check_options(target, write, options)
    confirm(bundle)
    with atomic_folder(folder, replace=force) as temporary:
        inner = _new_folder(temporary / BUNDLE)
        _copy(bundle, inner, example)
        opened = open_bundle(inner)
        with blaming(registry, exporter):
            write(opened, temporary, **options)
    return folder


def copy_bundle(
    bundle: Bundle, folder: str | os.PathLike[str], *, force: bool = False, example: ConditionLike = None
) -> Path:
    """Copy a finished bundle, once it has reproduced its golden values on this machine.

    Args:
        bundle: an opened bundle, whose files have been checked on opening.
        folder: the output; it appears when everything in it is written and has been checked again.
        force: whether to replace an existing folder.
        example: as for :func:`export`, instead of the bundle's own.

    Raises:
        OutputError: the folder exists, or cannot be written.
        ProofError: the bundle does not reproduce its golden values.
        UsageError, ConditionError: the example does not fit the model.
    """
    from zoo.runtime.check import confirm

    folder = Path(folder)
    check_free(folder, replace=force)
    confirm(bundle)
    with atomic_folder(folder, replace=force) as temporary:
        _copy(bundle, temporary, example)
        open_bundle(temporary)
    return folder


def _copy(bundle: Bundle, folder: Path, example: ConditionLike) -> None:
    for name in (MANIFEST, *bundle.manifest.files):
        copy_file(bundle.folder / name, folder / name)
    if example is not None:
        write_example(folder, example)


def _write_example(folder: Path, example: ConditionLike, card: ModelCard, model: GenerativeModel) -> None:
    """Add the example to a new bundle: the stated one, or that of the bundle from which the card says it was made."""
    if example is None and card.bundle_path is not None and is_bundle(card.bundle_path):
        own = read_manifest(card.bundle_path)
        example = example_of(Bundle(card.bundle_path, own)) if own.condition == model.condition else None
    if example is not None:
        write_example(folder, example)


@contextlib.contextmanager
def blaming(registry: Registry, exporter: Exporter) -> Iterator[None]:
    """Report what the code of a plugin's target raises as its failure, where it is no error of genzoo's or of files."""
    try:
        yield
    except (ZooError, OSError):
        raise
    except Exception as error:
        plugin = registry.item("exporter", exporter.name).plugin
        if plugin.builtin:
            raise
        raise PluginError(f"the target {exporter.name} of {plugin.origin} fails: {located(error)}") from error


def _check_options(target: str, write: Callable[..., Any], options: Iterable[str]) -> None:
    """Refuse options that a function ``(bundle, folder, **options)`` does not accept."""
    parameters = list(inspect.signature(write).parameters.values())
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters[2:]]
    if unknown := [name for name in options if name not in known]:
        raise UsageError(
            f"the target {target} has no option {', '.join(unknown)}",
            hint=f"It has: {', '.join(known)}." if known else "It has none.",
        )


def _new_folder(folder: Path) -> Path:
    try:
        folder.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def card_of(model: GenerativeModel, name: str) -> ModelCard:
    """A card made from the model's own attributes."""
    return ModelCard(
        name=name,
        family=model.family,
        architecture="",
        event_shape=tuple(model.event_shape),
        condition=model.condition,
        parameters=sum(p.numel() for p in model.parameters()),
    )
