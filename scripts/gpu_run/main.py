"""The command line, the deadline, and the process that asks a worker for one cell after another."""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gpu_run import cells, models, page
from gpu_run.asking import Asked, interrupted, kill, stopping
from gpu_run.cells import Cell
from gpu_run.environment import ROOT, machine, make_importable

#: seconds kept for the last writing
RESERVE = 2.0
#: of the time, the largest share that the tests may take
TESTS_SHARE = 0.35
#: a cell is not begun if so many of its steps could take longer than its bound: first ones, and two runs
LEAST_STEPS = 5
#: processes that end before they measured anything, after which no more are started
STARTS = 3
TESTS = ROOT / "tests" / "gpu"


def main(about: str | None, began: float) -> int:
    """Run the command, which began at this time of the monotonic clock."""
    arguments = _arguments(about)
    if arguments.worker is not None:
        from gpu_run.worker import serve

        serve(arguments.provider, arguments.prepared, arguments.worker)
        return 0
    with tempfile.TemporaryDirectory(prefix="zoo-gpu-") as scratch:
        environment = make_importable(Path(scratch))
        if arguments.prepare is not None:
            return _prepare(arguments.prepare, arguments.models)
        run = Run(arguments, began, Path(scratch), environment)
        signal.signal(signal.SIGTERM, interrupted)
        return run.whole()


def _arguments(about: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=280.0, help="for everything (280)")
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu"), help="folder of the results (gpu)")
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help="write the bundles that do not ship, and end")
    parser.add_argument("--prepared", type=Path, default=ROOT / "runs" / "gpu", help="that folder (runs/gpu)")
    parser.add_argument("--models", help=f"some of {','.join(cells.KNOWN_MODELS)}")
    parser.add_argument("--engines", help=f"some of {','.join(cells.ENGINES)}")
    parser.add_argument("--precisions", help=f"some of {','.join(cells.PRECISIONS)}")
    parser.add_argument("--batches", help="batch sizes (1,16,256)")
    parser.add_argument("--no-tests", action="store_true", help="leave tests/gpu out")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.prepared = arguments.prepared.resolve()
    # a rehearsal begins with the models that take least, so that it comes to all of them
    order = cells.KNOWN_MODELS if arguments.provider == "cuda" else cells.KNOWN_MODELS[::-1]
    arguments.models = cells.names_of(arguments.models, order, "model")
    arguments.engines = cells.names_of(arguments.engines, cells.ENGINES, "engine")
    arguments.precisions = cells.names_of(arguments.precisions, cells.PRECISIONS, "precision")
    try:
        arguments.batches = [int(batch) for batch in (arguments.batches or "1,16,256").split(",")]
    except ValueError:
        parser.error("--batches takes whole numbers with commas")
    if min(arguments.batches) < 1 or not arguments.seconds > 0:
        parser.error("batches and seconds are above 0")
    return arguments


def _prepare(folder: Path, names: list[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if models.MODELS[name].shipped is None:
            models.prepare(models.MODELS[name], folder / name)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB to carry beside the checkout")
    return 0


class Run:
    """A run: its results so far, and the worker that measures.

    Args:
        arguments: the command line.
        began: when it began, in seconds of the monotonic clock.
        scratch: a folder that lasts as long as the run.
        environment: of its processes.
    """

    def __init__(
        self, arguments: argparse.Namespace, began: float, scratch: Path, environment: Mapping[str, str]
    ) -> None:
        self._arguments, self._scratch, self._environment = arguments, scratch, environment
        self._ends = began + arguments.seconds - RESERVE
        self._worker: Asked | None = None
        self._unstarted = 0
        self._steps: dict[tuple[str, str, str], tuple[int, float]] = {}
        plan = cells.planned(arguments.models, arguments.engines, arguments.precisions, arguments.batches)
        self._results: dict[str, Any] = {
            "format": 1,
            "command": "scripts/gpu " + " ".join(sys.argv[1:]),
            "provider": arguments.provider,
            "given_seconds": arguments.seconds,
            "ended": "not yet",
            "machine": machine(),
            "tests": None,
            "cells": [{**cell.as_json(), "status": "not reached"} for cell in plan],
        }
        self._plan = plan

    def whole(self) -> int:
        """Test and measure until all is done or the time is over; 1 if a test failed or nothing was measured."""
        self._arguments.output.mkdir(parents=True, exist_ok=True)
        self._write()
        with stopping(self._results, self._finish):
            self._worker = self._started()
            if not self._arguments.no_tests:
                self._results["tests"] = self._tested()
                self._write()
            self._measured()
            late = any(each["status"] == "not reached" for each in self._results["cells"])
            self._results["ended"] = "when the time was over" if late else "complete"
        print(f"{self._arguments.output / page.PAGE}: ended {self._results['ended']}")
        failed = (self._results["tests"] or {}).get("failed", 0)
        measured = any(each["status"] == "measured" for each in self._results["cells"])
        return 0 if measured and not failed and not self._results["ended"].startswith("by") else 1

    def _finish(self) -> None:
        if self._worker is not None:
            self._worker.end()
        self._write()

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _write(self) -> None:
        page.write(self._results, self._arguments.output)

    # -- tests ------------------------------------------------------------------------------------------------------

    def _tested(self) -> dict[str, Any]:
        """What the GPU tests did."""
        report, bound = self._scratch / "tests.xml", min(self._left(), TESTS_SHARE * self._arguments.seconds)
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short"]
        environment = dict(self._environment)
        if self._arguments.provider == "cuda":
            environment["ZOO_GPU"] = "1"  # there must be one: a test that finds none fails
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, f"--junitxml={report}", str(TESTS)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=max(bound, 1))[0]
        except subprocess.TimeoutExpired:
            kill(process)
            output = process.communicate()[0]
            return {"ended": f"stopped after {bound:.0f} s", "failed": 1, "output": output[-4000:]}
        except BaseException:
            kill(process)
            raise
        told = {"ended": f"exit {process.returncode}", "seconds": round(time.monotonic() - began, 1)}
        if process.returncode not in (0, 1) or not report.is_file():
            return {**told, "failed": 1, "output": output[-4000:]}
        return {**told, **_counted(report), "output": output[-4000:] if process.returncode else ""}

    # -- cells ------------------------------------------------------------------------------------------------------

    def _measured(self) -> None:
        missing = [
            each.name
            for each in models.MODELS.values()
            if each.shipped is None and not (self._arguments.prepared / each.name / models.REST).is_file()
        ]
        tensorrt = _has_tensorrt()
        for index, cell in enumerate(self._plan):
            reason = cells.reason_against(cell, self._arguments.provider, tensorrt, missing) or self._too_slow(cell)
            if reason is not None:
                self._results["cells"][index].update(status="skipped", reason=reason)
        self._write()
        for index, cell in enumerate(self._plan):
            entry = self._results["cells"][index]
            if entry["status"] == "skipped":
                continue
            if (reason := self._too_slow(cell)) is not None:
                entry.update(status="skipped", reason=reason)
                continue
            if self._unstarted == STARTS:
                entry.update(status="skipped", reason="no process could be started to measure it, see the first cells")
                continue
            if self._left() <= 0:
                return
            self._one(cell, entry)
            self._write()

    def _one(self, cell: Cell, entry: dict[str, Any]) -> None:
        assert self._worker is not None
        if not self._worker.alive:
            self._unstarted = 0 if self._worker.warm else self._unstarted + 1
            self._worker = self._started()
        bound = min(cell.bound, self._left())
        result = self._worker.ask(cell.as_json(), bound + (0 if self._worker.warm else self._starting()))
        if result is None:
            ended = self._worker.ended
            over = ended is None and self._left() <= 0.5
            told = "the time was over" if over else ended or f"took more than {bound:.0f} s"
            result = {"status": "not reached" if over else "stopped", "reason": told}
        entry.update(result)
        key = cell.model, cell.engine, cell.precision
        if result["status"] == "measured" and cell.batch:
            self._steps[key] = cell.batch, result["microseconds"] / 1e6
        elif result["status"] == "stopped":
            self._steps[key] = cell.batch, math.inf
        print(f"{page.name_of(entry)}: {page.said_of(entry)}", flush=True)

    def _started(self) -> Asked:
        """A process that measures cells; see :mod:`gpu_run.worker`."""
        command = [sys.executable, str(ROOT / "scripts" / "gpu"), "--worker", str(self._scratch)]
        command += ["--provider", self._arguments.provider, "--prepared", str(self._arguments.prepared)]
        return Asked(command, self._scratch / "worker.log", self._environment)

    def _starting(self) -> float:
        """Seconds that a worker may take to start, beyond the bound of its first cell."""
        return max(min(30.0, self._left() - 1), 0.0)

    def _too_slow(self, cell: Cell) -> str | None:
        """Why a batch would take too long, judged by another batch of the same engine."""
        batch, seconds = self._steps.get((cell.model, cell.engine, cell.precision), (0, 0.0))
        if not batch or cell.batch <= batch:
            return None
        if seconds == math.inf:
            return "a smaller batch was stopped"
        needed = LEAST_STEPS * seconds * cell.batch / batch
        return f"a step could take {needed / LEAST_STEPS:.1f} s" if needed > cell.bound else None


def _has_tensorrt() -> bool:
    try:
        import onnxruntime
    except ImportError:
        return False
    return "TensorrtExecutionProvider" in onnxruntime.get_available_providers()


def _counted(report: Path) -> dict[str, Any]:
    """Numbers of tests, and each that did not pass, of a JUnit report."""
    counts: dict[str, Any] = {"passed": 0, "failed": 0, "skipped": 0, "others": []}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        outcome = "passed" if not bad else "skipped" if bad[0].tag == "skipped" else "failed"
        counts[outcome] += 1
        if bad:
            told = bad[0].get("message", "")[:300]
            counts["others"].append({"test": case.get("name"), "outcome": outcome, "told": told})
    return counts
