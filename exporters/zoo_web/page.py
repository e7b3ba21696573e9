"""The target ``web``: a folder that any static web server can serve.

::

    index.html, style.css       the page
    page/                       its scripts; page/worker.mjs holds the model
    genzoo/                     the runtime, usable without the page
    bundle/                     the proven bundle
    ort/                        ONNX Runtime for browsers, and its licence
    page.json                   the version of ONNX Runtime, and the form's initial condition, if any
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bundle import Bundle, open_bundle
from zoo.bundle.example import has_example
from zoo.conditions import ConditionLike, Part
from zoo.errors import ProofError, UsageError
from zoo.files import reason_of, write_text
from zoo.runtime import BundledModel
from zoo_targets.compare import agree, refuse_scoring_alone
from zoo_web import onnxruntime_web
from zoo_web.browser import Browser, find_browser, served
from zoo_web.parts import FILES, RUNTIME, copy_folder, make_folder, missing, refuse_unknown, some_condition

ORT = "ort"
_OPTIONS = ("ort", "webgpu")
_SEED, _SAMPLES = 5, 2
_SECONDS = 300
#: the most numbers of a part that a form begins with, of typical ones and of an example
_LONGEST, _LARGEST = 4096, 1 << 20

#: the page's last samples, encoded as text for the DevTools protocol
_LAST = """(() => {
  const bytes = new Uint8Array(genzoo.last.data.buffer);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return { shape: genzoo.last.shape, data: btoa(text) };
})()"""


def pack(
    bundle: Bundle, folder: Path, *, ort: str | os.PathLike[str] | None = None, webgpu: bool = False, **unknown: object
) -> None:
    """Add the page to a folder that has the bundle.

    Args:
        bundle: the bundle.
        folder: contains it as ``bundle``.
        ort: folder of the npm package ``onnxruntime-web``; None for that of the environment variable
            ``GENZOO_NODE_MODULES``, or else fetched by npm.
        webgpu: whether to add ONNX Runtime's WebGPU build (27 MB more).
        unknown: refused.

    Raises:
        UsageError: an unknown option, or an invalid value, such as another package as ``ort``.
        MissingDependencyError: ``onnxruntime-web`` is missing, and npm cannot fetch it.
        OutputError: the folder cannot be written.
    """
    refuse_unknown("web", unknown, _OPTIONS)
    refuse_scoring_alone(bundle.manifest, "web")
    if not isinstance(webgpu, bool):
        raise UsageError(f"webgpu is true or false, not {webgpu!r}", hint="-T webgpu=true")
    if ort is not None and not isinstance(ort, (str, os.PathLike)):
        raise UsageError(f"ort is the folder of an npm package, not {ort!r}", hint="-T ort=FOLDER")
    backends = ("wasm", "webgpu") if webgpu else ("wasm",)
    with onnxruntime_web.obtained(backends, ort) as package:
        onnxruntime_web.write(package, backends, make_folder(folder / ORT))
    copy_folder(FILES / "web", folder)
    copy_folder(FILES / RUNTIME, make_folder(folder / RUNTIME))
    files = {name: dict(zip(("module", "wasm"), onnxruntime_web.BACKENDS[name], strict=True)) for name in backends}
    known: dict[str, object] = {"ort": {"version": onnxruntime_web.VERSION, **files}}
    if (condition := some_condition(bundle)) is not None:
        known |= {"condition": _shown(bundle)} if isinstance(condition, dict) else {"vector": condition}
    write_text(folder / "page.json", json.dumps(known, indent=2) + "\n")


def verify(folder: Path) -> str:
    """Serve the page on this machine, draw samples in Chromium as a visitor would, and compare with :mod:`zoo.runtime`.

    Raises:
        MissingDependencyError: Chromium is missing.
        ProofError: the page fails, or draws different samples.
    """
    program = find_browser()
    if program is None:
        hint = "Install Chromium or Chrome, or name the program in the environment variable CHROMIUM."
        raise missing("Chromium", "run the page", hint)
    model = BundledModel(open_bundle(folder / "bundle"), "cpu")
    try:
        with served(folder) as address, Browser(program) as browser:
            browser.open(f"{address}#n={_SAMPLES}&seed={_SEED}")
            browser.wait("globalThis.genzoo && (genzoo.last || genzoo.error)", _SECONDS)
            if error := browser.evaluate("genzoo.error"):
                raise ProofError(f"the page of {model.name} fails in Chromium: {error}")
            actual = drawn(browser)
    except (OSError, RuntimeError) as error:  # from the browser, including timeouts
        raise ProofError(f"the page of {model.name} cannot be run in Chromium: {reason_of(error)}") from error
    expected = model.sample(_SAMPLES, seed=_SEED, condition=_initial(model.bundle))
    agree("the page", actual, expected, model)
    return f"{_SAMPLES} samples by the page in Chromium"


def _shown(bundle: Bundle) -> dict[str, Any]:
    """The values of named parts that the form begins with: those of the bundle's example, pictures as bytes in base64.

    Without an example they are typical ones, but pictures begin black, others may be long, and words at random would
    tell nobody what to write.
    """
    condition, values = bundle.manifest.condition, some_condition(bundle)
    parts = {part.name: part for part in condition.parts} if condition is not None else {}
    some = values if isinstance(values, dict) else {}
    if has_example(bundle.manifest):
        pictures = {name: _base64(parts[name], some[name]) for name in some if parts[name].modality == "image"}
        return {name: pictures.get(name, value) for name, value in some.items() if np.size(value) <= _LARGEST}
    random_words = {
        name for name, part in parts.items() if part.modality == "tokens" and part.labels and not part.required
    }
    hidden = random_words | {name for name, part in parts.items() if part.modality == "image"}
    return {name: value for name, value in some.items() if name not in hidden and np.size(value) <= _LONGEST}


def _base64(part: Part, value: object) -> str:
    """A picture as the form holds it: a byte for each pixel of each channel, spread over the part's range."""
    low, high = _range(part)
    shades = np.rint((np.asarray(value, np.float64) - low) * (255 / (high - low))).clip(0, 255)
    return base64.b64encode(shades.astype(np.uint8).tobytes()).decode()


def _picture(part: Part, text: str) -> NDArray[np.float32]:
    """The picture that the form makes of it ``[channels, height, width]``."""
    low, high = _range(part)
    shades = np.frombuffer(base64.b64decode(text), np.uint8).reshape([int(size) for size in part.shape])
    return (low + ((high - low) / 255) * shades.astype(np.float64)).astype(np.float32)


def _range(part: Part) -> tuple[float, float]:
    return 0.0 if part.minimum is None else part.minimum, 255.0 if part.maximum is None else part.maximum


def _initial(bundle: Bundle) -> ConditionLike:
    """The condition of the form's initial state: what is shown, and black for pictures that must be given."""
    condition = bundle.manifest.condition
    if condition is None or condition.plain:
        return some_condition(bundle)
    pictures = {part.name: part for part in condition.parts if part.modality == "image"}
    black = {
        name: np.full([int(size) for size in part.shape], part.minimum or 0.0)
        for name, part in pictures.items()
        if part.required
    }
    shown = _shown(bundle)
    return {**black, **{n: _picture(pictures[n], v) if n in pictures else v for n, v in shown.items()}}


def drawn(browser: Browser) -> NDArray[np.float32]:
    """The last samples of a page, float32 ``[n, *event]`` in data units."""
    last = browser.evaluate(_LAST)
    return np.frombuffer(base64.b64decode(last["data"]), "<f4").reshape(last["shape"])
