"""A model opened for ``zoo run`` and ``zoo eval``."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.bundle import open_bundle
from zoo.cli._app import App
from zoo.errors import MissingDependencyError
from zoo.models import building

if TYPE_CHECKING:
    from zoo.models.sources import Source
    from zoo.runtime import BundledModel, Device


def open_model(app: App, source: Source, device: Device | str, stack: ExitStack) -> BundledModel:
    """The model's bundle; a model without one is exported to a temporary folder, removed with the stack."""
    from zoo.runtime import BundledModel
    from zoo.runtime.device import Device, choose_provider

    choose_provider(Device.of(device).provider)  # before an export, which takes long
    if source.bundle is not None:
        bundle = source.open()
    else:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo-"))) / "bundle"
        _export(app, source, folder)
        bundle = open_bundle(folder)
    return BundledModel(bundle, device, samplers=app.registry.samplers())


def _export(app: App, source: Source, folder: Path) -> None:
    for package in ("torch", "onnx"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, f"run {source.name}, which has no bundle", extra="onnx")
    app.say(f"{source.name} has no bundle: exporting it to a temporary one (use `zoo export` to keep it)")
    exporter = app.registry.load_entry(app.registry.exporter("onnx"))
    folder.mkdir()
    exporter(building.load(app.registry, source), source.card, folder)


def warn_of_fallback(app: App, reason: str | None) -> None:
    """Say why a model runs on the CPU although ONNX Runtime was built with CUDA, see ``BundledModel.fallback``."""
    if reason is not None:
        app.say(f"Warning: running on the CPU: {reason}")
