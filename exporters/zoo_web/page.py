"""The target ``web``: a folder that any static web server can serve.

::

    index.html, style.css       the page
    app.mjs, draw.mjs           what it does and draws
    worker.mjs                  has the model, beside the page
    genzoo.mjs, ...             the runtime, which can be used without the page
    bundle/                     the proven bundle
    ort/                        ONNX Runtime for browsers, and its licence
    page.json                   which ONNX Runtime that is
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from zoo.cards import ModelCard
from zoo.files import write_text
from zoo.model import GenerativeModel
from zoo_web import onnxruntime_web
from zoo_web.parts import FILES, RUNTIME, Progress, copy_files, write_bundle

PAGE = ("index.html", "style.css", "app.mjs", "draw.mjs", "worker.mjs")
ORT = "ort"


def export(
    model: GenerativeModel,
    card: ModelCard,
    folder: Path,
    *,
    ort: str | os.PathLike[str] | None = None,
    webgpu: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> None:
    """Write a page into an empty folder.

    Args:
        model: the model.
        card: what is known of it.
        folder: exists, and is empty.
        ort: folder of the npm package ``onnxruntime-web``; None for that of the environment variable
            ``GENZOO_NODE_MODULES``, or else the one that npm fetches.
        webgpu: whether ONNX Runtime's WebGPU build is added (27 MB more), used at the address ``?backend=webgpu``.
        progress: called before each part.
        options: those of the target ``onnx``.

    Raises:
        UsageError: ``ort`` is not that package.
        MissingDependencyError: there is no ``onnxruntime-web``, and npm cannot fetch it.
        ExportError, ProofError, OutputError: as the target ``onnx`` does.
    """
    backends = ("wasm", "webgpu") if webgpu else ("wasm",)
    # first what can be missing, then the long work
    with onnxruntime_web.obtained(ort) as package:
        write_page(package, backends, folder)
    write_bundle(model, card, folder, progress=progress, options=options)


def write_page(package: onnxruntime_web.Vendored, backends: tuple[str, ...], folder: Path) -> None:
    """Write everything but the bundle.

    Raises:
        OutputError: the folder cannot be written.
    """
    copy_files(FILES, RUNTIME, folder)
    copy_files(FILES / "web", PAGE, folder)
    onnxruntime_web.write(package, backends, folder / ORT)
    files = {backend: dict(zip(("module", "wasm"), onnxruntime_web.BACKENDS[backend], strict=True)) for backend in backends}
    write_text(folder / "page.json", json.dumps({"ort": {"version": package.version, **files}}, indent=2) + "\n")
