"""Seconds a sample in Chromium and in Node, beside zoo.runtime on the same machine.

    GENZOO_NODE_MODULES=FOLDER python benchmarks/browser.py      # --model mnist-unet --n 10 --table ddim-20 --repeats 3

Everything is opened and warmed up first; then each draws the same samples in turn, as often as is said, and the least
of its times counts. Ratios are to zoo.runtime with as many threads. Chromium's time is the page's own, previews and
all; threads it has only because this server sends the headers that they need.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.bundle import Bundle, open_bundle
from zoo.exporting import pack
from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.runtime import load
from zoo.runtime.session import onnxruntime
from zoo_web.browser import Browser, find_browser, served
from zoo_web.onnxruntime_web import VERSION

ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
Draw = Callable[[], float]

#: reads lines, and answers each with the seconds that a run took
NODE = """
import {{ createInterface }} from "node:readline";
import {{ open }} from "{module}";
const model = await open({{ runtime: "{runtime}", threads: {threads} }});
for await (const line of createInterface({{ input: process.stdin }})) {{
  const begun = performance.now();
  await model.sample({n}, {options});
  console.log((performance.now() - begun) / 1000);
}}
"""


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-unet")
    parser.add_argument("--n", type=int, default=10, help="samples in a run")
    parser.add_argument("--table", default="ddim-20", help="step table; nothing for a model that samples in one call")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    registry = Registry.discover()
    folder = resolve(registry, args.model).bundle
    assert folder is not None
    bundle = open_bundle(folder)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        page, package = (pack(bundle, scratch / target, target=target, registry=registry) for target in ("web", "node"))
        runs: dict[tuple[str, int], Draw] = {}
        for threads in args.threads:
            runs["zoo.runtime", threads] = in_python(bundle, threads, args)
            for runtime in ("onnxruntime-node", "onnxruntime-web"):
                runs[f"Node, {runtime}", threads] = stack.enter_context(in_node(package, runtime, threads, args))
            runs["Chromium, WebAssembly", threads] = stack.enter_context(in_chromium(page, threads, args))
        for draw in runs.values():
            draw()  # warm
        times: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
        for _ in range(args.repeats):
            for key, draw in runs.items():
                times[key].append(draw())
    print(f"{args.model}, {args.n} samples, {args.table or 'one call'}, least of {args.repeats}")
    print(f"ONNX Runtime {onnxruntime().__version__} (Python), {VERSION} (npm), {platform.machine()}")
    print("| where | threads | s a sample | ratio |\n| --- | --- | --- | --- |")
    for (where, threads), taken in times.items():
        ratio = min(taken) / min(times["zoo.runtime", threads])
        print(f"| {where} | {threads} | {min(taken) / args.n:.3g} | {ratio:.2f} |")


def in_python(bundle: Bundle, threads: int, args: argparse.Namespace) -> Draw:
    """zoo.runtime on the CPU."""
    model, options = load(bundle.folder, "cpu", threads), dict[str, Any]()
    if args.table:
        sampler, _, steps = args.table.rpartition("-")
        options = {"sampler": sampler, "steps": int(steps)}

    def draw() -> float:
        begun = time.perf_counter()
        model.sample(args.n, seed=0, **options)
        return time.perf_counter() - begun

    return draw


@contextlib.contextmanager
def in_node(package: Path, runtime: str, threads: int, args: argparse.Namespace) -> Any:
    """genzoo.mjs in Node, in a process that waits between runs."""
    node = shutil.which("node")
    assert node is not None, "Node is needed"
    options = json.dumps({"seed": 0, **({"table": args.table} if args.table else {})})
    module = (package / "index.mjs").as_uri()
    script = NODE.format(module=module, runtime=runtime, threads=threads, n=args.n, options=options)
    file = package / f"{runtime}-{threads}.mjs"
    file.write_text(script, "utf-8")
    with subprocess.Popen([node, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given_in, said = process.stdin, process.stdout

        def draw() -> float:
            given_in.write("\n")
            given_in.flush()
            return float(said.readline())

        try:
            yield draw
        finally:
            process.kill()


@contextlib.contextmanager
def in_chromium(page: Path, threads: int, args: argparse.Namespace) -> Any:
    """The page in headless Chromium, whose worker has threads where it is cross-origin isolated."""
    program = find_browser()
    assert program is not None, "Chromium is needed"
    assert threads in (1, min(4, os.cpu_count() or 1)), "the page takes one thread, or as many as there are up to 4"
    with served(page, headers=ISOLATED if threads > 1 else None) as address, Browser(program) as browser:
        table = f"&table={args.table}" if args.table else ""
        browser.open(f"{address}#n={args.n}&seed=0{table}")
        done = "globalThis.genzoo && !genzoo.running && (genzoo.last || genzoo.error)"
        browser.wait(done, 600)
        assert browser.evaluate("genzoo.threads") == threads

        def draw() -> float:
            browser.evaluate("document.getElementById('go').click()")
            browser.wait(done, 600)
            assert browser.evaluate("genzoo.error") is None
            return float(browser.evaluate("genzoo.last.seconds"))

        yield draw


if __name__ == "__main__":
    main()
