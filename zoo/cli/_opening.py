"""A model opened for ``zoo run``."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.bundle import Bundle, open_bundle
from zoo.cli._app import App
from zoo.cli._request import Request
from zoo.errors import MissingDependencyError
from zoo.models import building

if TYPE_CHECKING:
    from zoo.models.sources import Source
    from zoo.runtime import BundledModel


def open_model(app: App, source: Source, request: Request, stack: ExitStack) -> BundledModel:
    """The model's bundle; a model without one is exported to a temporary folder."""
    from zoo.runtime import BundledModel
    from zoo.runtime.device import choose_provider

    choose_provider(request.provider)
    return BundledModel(opened_bundle(app, source, stack), request.device, samplers=app.registry.samplers())


def opened_bundle(app: App, source: Source, stack: ExitStack) -> Bundle:
    """The model's bundle, or a temporary one that is removed with the stack."""
    if source.bundle is not None:
        return source.open()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo-"))) / "bundle"
    _export(app, source, folder)
    return open_bundle(folder)


def _export(app: App, source: Source, folder: Path) -> None:
    for package in ("torch", "onnx"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, f"run {source.name}, which has no bundle", extra="onnx")
    app.say(f"{source.name} has no bundle: exporting it to a temporary one (use `zoo export` to keep it)")
    exporter = app.registry.load_entry(app.registry.exporter("onnx"))
    folder.mkdir()
    exporter(building.load(app.registry, source), source.card, folder)


def provider_of(app: App, model: BundledModel) -> str:
    """The provider in use, after a warning if it should have been CUDA."""
    if model.fallback is not None:
        app.say(f"Warning: running on the CPU: {model.fallback}")
    return model.provider
