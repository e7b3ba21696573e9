"""The same samples by Python, Node, WebAssembly in Node and C++, where what they need is there.

``browser.py`` measures Chromium too, which takes longer to start than all of this.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browser
from suite.results import compared
from suite.worker import Given

from zoo.bundle import Bundle, open_bundle
from zoo.errors import ZooError
from zoo.exporting import pack
from zoo.models.sources import resolve
from zoo.registry import installed

STEPS = 20
NODE, WASM, CPP, PYTHON = "Node, onnxruntime-node", "Node, WebAssembly", "C++", "zoo, ONNX Runtime"


def measure(given: Given, model: str, n: int) -> dict[str, Any]:
    """Seconds of a whole run of ``n`` samples, with one thread each."""
    source = resolve(installed(), model)
    assert source.bundle is not None
    bundle = open_bundle(source.bundle)
    stepped = bundle.manifest.sampling.stepped
    request = argparse.Namespace(n=n, table=f"ddim-{STEPS}" if stepped else "")
    calls: dict[str, Callable[[], object]] = {PYTHON: browser.in_python(bundle, 1, request)}
    unavailable: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        _node(bundle, request, given.scratch, calls, unavailable, stack)
        _cpp(bundle, request, given.scratch, calls, unavailable)
        return compared(
            calls, given.seconds, base=PYTHON, unit="s a run", unavailable=unavailable, numbers={"samples": n}
        )


def _packed(bundle: Bundle, target: str, scratch: Path) -> Path:
    folder = scratch / f"{bundle.manifest.model['name']}-{target}"
    return folder if folder.exists() else pack(bundle, folder, target=target, registry=installed())


def _node(bundle: Bundle, request: Any, scratch: Path, calls: Any, unavailable: Any, stack: Any) -> None:
    if shutil.which("node") is None or not os.environ.get("GENZOO_NODE_MODULES"):
        unavailable |= dict.fromkeys(
            (NODE, WASM), "Node, or the folder of npm packages GENZOO_NODE_MODULES, is missing"
        )
        return
    for name, runtime in ((NODE, "onnxruntime-node"), (WASM, "onnxruntime-web")):
        try:
            package = _packed(bundle, "node", scratch)
            draw = stack.enter_context(browser.in_node(package, runtime, 1, request))
            draw()
            calls[name] = draw
        except (ZooError, OSError, ValueError) as error:
            unavailable[name] = str(error) or type(error).__name__


def _cpp(bundle: Bundle, request: Any, scratch: Path, calls: Any, unavailable: Any) -> None:
    from zoo_targets.cpp import build

    try:
        folder = _packed(bundle, "cpp", scratch)
        program = build(folder)
    except ZooError as error:
        unavailable[CPP] = str(error)
        return
    command = [
        str(program),
        "--bundle",
        str(folder / "bundle"),
        "--seed",
        "0",
        "--threads",
        "1",
        "-o",
        str(scratch / "x.npy"),
    ]
    command += ["--table", request.table] if request.table else []

    def run(n: int) -> float:
        begun = time.perf_counter()
        done = subprocess.run([*command, "-n", str(n)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the C++ program fails: {done.stderr.strip()[-200:]}")
        return time.perf_counter() - begun

    try:
        run(1)
    except RuntimeError as error:
        unavailable[CPP] = str(error)
        return
    calls[f"{CPP}, with its start"] = lambda: run(request.n)
