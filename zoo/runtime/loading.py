"""From a folder, or the name of an installed model, to a model that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from zoo.bundle import is_bundle, open_bundle
from zoo.errors import UsageError
from zoo.hub.pulling import local
from zoo.registry.cards import ModelCard
from zoo.runtime.device import Device
from zoo.runtime.model import BundledModel
from zoo.samplers import BUILTIN, SamplerFunction


def load(
    folder: str | os.PathLike[str],
    device: Device | str = "auto",
    threads: int | None = None,
    *,
    samplers: Mapping[str, SamplerFunction] = BUILTIN,
) -> BundledModel:
    """Open a bundle, check every file of it, and return it as a model.

    Args:
        folder: the bundle, or the name of an installed model that has one; a folder of that name comes first. Or an
            address of the Hugging Face Hub, ``"hf:ORG/NAME"``, or of the web, or a .zip (:mod:`zoo.hub`).
        device: a :class:`Device`, or the name of a provider: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA
            where it works and the CPU elsewhere.
        threads: CPU threads, or None for ONNX Runtime's choice.
        samplers: where samplers are looked up by name, for those that plugins bring.

    Raises:
        BundleError: not a bundle, damaged, altered, of a newer format, or not consistent.
        MissingDependencyError: ONNX Runtime is not installed.
        UnknownNameError: no such provider, or neither a folder nor a model of that name.
        UsageError: an installed model without a bundle.
        HubError: an address that cannot be pulled.
        ProviderError: CUDA was asked for, and ONNX Runtime was built without it.
    """
    return BundledModel(open_bundle(bundle_folder(folder)), device, threads, samplers=samplers)


def bundle_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder of a bundle, or of the bundle of the installed model of that name if there is no such folder.

    Names need the registry of plugins, which a runtime without them never looks at.

    Raises:
        UnknownNameError: neither a folder nor a model.
        NameConflictError: two plugins claim the name.
        UsageError: a model without a bundle.
        HubError: an address that cannot be pulled.
    """
    if (pulled := local(folder)) is not None:
        return _in_folder(pulled, os.fspath(folder))
    path = Path(folder)
    if not isinstance(folder, str) or path.name != folder or folder.startswith(".") or path.exists():
        return path
    try:
        from zoo.registry import installed
    except ModuleNotFoundError:  # the registry's own requirements are not those of the runtime
        return path
    return _of_card(installed().model(folder), folder)


def _in_folder(folder: Path, name: str) -> Path:
    """The bundle of a pulled model, which is the folder itself, or what its card names."""
    return folder if is_bundle(folder) else _of_card(ModelCard.from_folder(folder), name)


def _of_card(card: ModelCard, name: str) -> Path:
    bundle = card.bundle_path
    if bundle is None:
        raise UsageError(f"{name} has no bundle", hint=f"Export it: `zoo export {name} -o DIR`.")
    return bundle
