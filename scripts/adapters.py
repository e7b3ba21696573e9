"""Export other libraries' flows, and write the table in docs/adapters.md.

    pip install 'genzoo[cpu,freia,nflows,normflows,zuko]'
    python scripts/adapters.py                    # every row: some ten minutes of CPU
    python scripts/adapters.py zuko "nflows MAF"  # rows whose name begins so; the others stay as they are
    python scripts/adapters.py --missing          # rows that have not been measured; with names, of these
    python scripts/adapters.py --table            # the table alone, of the rows that are kept

Each flow of scripts/adapter_cases.py is exported, and its bundle run in ONNX Runtime on noise and data that neither the
trace nor the proof has seen, ordinary ones and those times 3 and 10. What it is compared with comes from the library
alone, in a process of its own that never imports genzoo. Each row has a process of its own too, which is ended after
LIMIT seconds of CPU. Rows are kept in benchmarks/adapters.json as they come, with date and commit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapter_cases import CASES, CONTEXT
from document import fill, table

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "adapters.json"
#: seconds of CPU that a row may take
LIMIT = 300
#: samples of libraries that take no noise, whose moments are compared
DRAWN = 20_000
#: the flows that plain torch.onnx.export was measured on, each in two directions but the mixture, which was scored
BASELINE = {
    "zuko": "RealNVP, MAF, NSF, NSF-coupling, NCSF, SOSPF, NAF, UNAF, CNF, GF, BPF, GMM, LULinearTransform, "
    "RotationTransform",
    "nflows": "AffineCoupling, MAF, RQ-autoregressive, RQ-coupling, LULinear, QRLinear, NaiveLinear, ActNorm",
    "normflows": "AffineCouplingBlock, MaskedAffineAutoregressive, AutoregressiveRationalQuadraticSpline, "
    "CoupledRationalQuadraticSpline, CircularAutoregressiveRationalQuadraticSpline, LULinearPermute, Planar, Radial, "
    "Residual, InvertibleAffine",
    "FrEIA": "AllInOneBlock; AllInOneBlock, soft; RNVPCouplingBlock; GLOWCouplingBlock; GINCouplingBlock",
}
HEAD = ["library", "class", "context", "sampling", "scoring", "CPU s", "KB"]


def references(names: list[str], folder: Path) -> None:
    """Inputs, and what the library makes of them, as one file a case; run without genzoo."""
    for number, name in enumerate(names):
        case, context = CASES[name]
        model, inputs = case.model(context), case.inputs(context)
        arrays, failures = dict(inputs), []
        if case.draw is not None:
            torch.manual_seed(3)
            with torch.no_grad():
                arrays["drawn"] = case.draw(model, DRAWN, inputs["c"][0] if context else None)
        if case.precise:
            model, inputs = model.double(), {key: value.double() for key, value in inputs.items()}
        for key, function, port in (("sampled", case.sample, "z"), ("scored", case.score, "x")):
            try:
                with torch.no_grad():
                    if function is not None:
                        arrays[key] = function(model, inputs[port], inputs.get("c"))
                    if key == "scored" and case.one_way:
                        arrays["x"], arrays[key] = arrays[key]
            except Exception as error:  # the library's own failure is a finding
                failures.append(f"{type(error).__name__}: {error}")
        if failures and not {"sampled", "scored"} & arrays.keys():
            (folder / f"{number}.txt").write_text(f"the library fails: {failures[0]}")
        np.savez(folder / f"{number}.npz", **{key: value.detach().numpy() for key, value in arrays.items()})
    assert not any(name.partition(".")[0] == "zoo" for name in sys.modules), (
        "the reference is to know nothing of genzoo"
    )


def measured(name: str, reference: dict[str, Any], failure: str) -> dict[str, object]:
    """One row: the differences of both directions, the CPU seconds of the export, and the bundle's size."""
    import zoo
    from zoo import runtime
    from zoo.bundle.differences import relative_difference

    case, context = CASES[name]
    row: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "out"
        model = case.model(context)
        begin = time.process_time()
        try:
            wrapped = zoo.wrap(model, context=CONTEXT if context else None)
            zoo.export(wrapped, folder)
        except zoo.ZooError as error:
            return {"reason": failure or f"{type(error).__name__}: {error}"}
        row["seconds"] = round(time.process_time() - begin, 1)
        row["bytes"] = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in (".onnx", ".safetensors"))
        bundle = runtime.load(folder)
        context_arrays = {"condition": reference["c"]} if context else {}
        for key, graph, port, unit in (("sampled", "inverse", "z", 1.0), ("scored", "log_prob", "x", 4.0)):
            if key in reference and graph in bundle.manifest.graphs:
                (actual,) = (
                    bundle.session(graph).run(bundle_feeds(bundle, graph, port, reference, context_arrays)).values()
                )
                row[key] = float(relative_difference(actual, reference[key], unit))
        if "drawn" in reference:
            arguments = {"condition": reference["c"][0]} if context else {}
            row["deviations"] = deviations(bundle.sample(DRAWN, seed=0, **arguments), reference["drawn"])
    return row


def deviations(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The largest difference of the first and second moments of samples ``[n, d]``, in standard errors."""

    def moments(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        each = np.concatenate([x, products], 1).astype(np.float64)
        return np.stack([each.mean(0), each.std(0) / len(x) ** 0.5])

    (mean, error), (other, others_error) = moments(a), moments(b)
    return float((np.abs(mean - other) / np.hypot(error, others_error)).max())


def bundle_feeds(
    bundle: Any, graph: str, port: str, reference: dict[str, Any], context: dict[str, Any]
) -> dict[str, Any]:
    """The inputs of a graph, with contexts encoded where the bundle has an encoder."""
    if context and "condition" in bundle.manifest.graphs:
        context = bundle.session("condition").run(context)
    return {port: reference[port], **context}


def main() -> None:
    """Measure the rows that are asked for, and write the table."""
    parser = argparse.ArgumentParser(description="Export other libraries' flows, and write docs/adapters.md.")
    parser.add_argument("names", nargs="*", help="what the names of rows begin with (all)")
    parser.add_argument("--missing", action="store_true", help="only rows that have not been measured")
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--references", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.references:
        references(asked.names, asked.references)
    elif asked.table:
        written()
    else:
        names = [name for each in asked.names or [""] for name in CASES if name.startswith(each)]
        names = [name for name in dict.fromkeys(names) if not asked.missing or name not in read()]
        rows_of(names)


def rows_of(names: list[str]) -> None:
    """Measure rows, each in a process of its own, and write each into the file and the table when it is there."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--references", folder, "--", *names], check=True)
        warm()
        for number, name in enumerate(names):
            row = {**in_a_process(name, Path(folder) / f"{number}.npz"), "commit": commit(), "date": today()}
            print(name, row, flush=True)
            kept = {**read(), name: row}
            ordered = {each: kept[each] for each in CASES if each in kept}
            KEPT.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", "utf-8")
            written()


def commit() -> str:
    """The commit whose code is measured."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def today() -> str:
    """The date, as files have it."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def machine() -> str:
    """The processor, and the versions that matter."""
    from zoo.effort import processor

    versions = ", ".join(f"{each} {version(each)}" for each in ("torch", "onnx", "onnxruntime"))
    return f"{processor()}; {versions}; Python {platform.python_version()}"


def in_a_process(name: str, reference: Path) -> dict[str, object]:
    """One row from a process of its own, which is forked, since importing everything takes longer than most rows."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=one_row, args=(name, reference, sending))
    process.start()
    sending.close()
    try:
        row: dict[str, object] = (
            receiving.recv() if receiving.poll(10 * LIMIT) else {"reason": f"not done after {10 * LIMIT} seconds"}
        )
    except EOFError:
        process.join()
        late = process.exitcode == -signal.SIGXCPU
        row = {
            "reason": f"not done after {LIMIT} seconds of CPU"
            if late
            else f"the process ended with the exit code {process.exitcode}"
        }
    process.kill()
    process.join()
    return row


def one_row(name: str, reference: Path, sending: Connection) -> None:
    """Measure one row, and send it."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
    failed = reference.with_suffix(".txt")
    with np.load(reference) as arrays:
        sending.send(measured(name, dict(arrays), failed.read_text() if failed.exists() else ""))
    sending.close()


def read() -> dict[str, dict[str, Any]]:
    """The rows that are kept."""
    return dict(json.loads(KEPT.read_text("utf-8"))) if KEPT.exists() else {}


def warm() -> None:
    """Import what exports, and collect torch's translations, which takes seconds, before anything is measured."""
    import zoo.runtime
    import zoo_onnx.export
    from zoo_onnx.torch_exporter import _registry

    assert zoo.runtime
    assert zoo_onnx.export
    _registry(18)


def first_sentence(reason: str) -> str:
    """A reason without what it was found by, in one line of a table."""
    return reason.partition(" (graph")[0].splitlines()[0].replace("|", "/")[:300]


def written() -> None:
    """Write the table of the rows that are kept."""
    rows = []
    for name, row in read().items():
        case, context = CASES[name]
        what = [f"{case.library} {version(case.library)}", f"`{case.name}`", "yes" if context else ""]
        if "reason" in row:
            rows.append([*what, f"refused: {first_sentence(str(row['reason']))}", "", "", ""])
            continue
        each = [f"{row[key]:.0e}" if key in row else "not in the library" for key in ("sampled", "scored")]
        if "deviations" in row:
            each[0] = f"{row['deviations']:.1f} errors"
        rows.append([*what, *each, f"{row['seconds']:.1f}", f"{row['bytes'] / 1024:.0f}"])
    proven = sum("reason" not in row for row in read().values())
    dates, commits = ({str(row[key]) for row in read().values() if key in row} for key in ("date", "commit"))
    said = f"{proven} of {len(CASES)} rows are proven, {len(rows) - proven} are not" + (
        f", and {len(CASES) - len(rows)} have not been measured" if len(rows) < len(CASES) else ""
    )
    both, asked = baseline()
    said += f"; of the {asked} flows and directions that plain `torch.onnx.export` was measured on, {both}"
    when = f"Measured {' and '.join(sorted(dates)) or 'once'} at {', '.join(sorted(commits))}, on {machine()}."
    fill(ROOT / "docs" / "adapters.md", "table", f"{textwrap.fill(f'{said}. {when}', 120)}\n\n{table(HEAD, rows)}")


def baseline() -> tuple[int, int]:
    """How many of the flows and directions of :data:`BASELINE` are proven, and how many there are."""
    kept, proven, asked = read(), 0, 0
    for library, listed in BASELINE.items():
        for name in listed.split("; " if ";" in listed else ", "):
            row = kept.get(f"{library} {name}", {})
            directions = ("scored",) if name == "GMM" else ("sampled", "scored")
            proven, asked = proven + sum(each in row for each in directions), asked + len(directions)
    return proven, asked


if __name__ == "__main__":
    main()
