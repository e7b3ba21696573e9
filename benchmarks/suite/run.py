"""The command line, the deadline, and the run that asks a process for one cell after another."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu_run.asking import Asked, interrupted, stopping
from gpu_run.environment import ROOT, machine, make_importable

#: where the page stands that everybody reads
PAGE = ROOT / "docs" / "benchmarks.md"
#: seconds kept for the last writing
RESERVE = 2.0
#: seconds that the process which measures may take to start
STARTING = 60.0
#: the threads of libraries that are not told otherwise
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
#: waiting threads that sleep, of torch (GNU's and Intel's OpenMP) as those of ONNX Runtime
NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}
#: the engine that may be left out of a cell: a stopped cell is measured again without it
OPTIONAL = "torch.compile"


def main(about: str | None, began: float) -> int:
    """Run the command, which began at this time of the monotonic clock."""
    arguments = _arguments(about)
    if arguments.worker is not None:
        from suite.worker import serve

        serve(arguments.worker, quick=arguments.quick)
        return 0
    with tempfile.TemporaryDirectory(prefix="zoo-benchmarks-") as scratch:
        environment = {**make_importable(Path(scratch)), **ONE_THREAD, **NO_SPINNING}
        if arguments.page:
            return _page(arguments)
        signal.signal(signal.SIGTERM, interrupted)
        code = Run(arguments, began, Path(scratch), environment).whole()
        return code or (0 if arguments.quick else _page(arguments))


def _arguments(about: str | None) -> argparse.Namespace:
    from suite.cells import SECTIONS

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=900.0, help="for everything (900)")
    parser.add_argument("--only", nargs="+", choices=tuple(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="few cells of each section, with few turns")
    parser.add_argument("--page", action="store_true", help="write the page from the results, and end")
    parser.add_argument("--again", action="store_true", help="measure again what a former run measured")
    parser.add_argument(
        "-o", "--output", type=Path, help="the results (benchmarks/results.json; quick.json with --quick)"
    )
    parser.add_argument("--to", type=Path, default=PAGE, help="the page")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not 0 < arguments.seconds < float("inf"):
        parser.error("--seconds is a number above 0")
    arguments.output = arguments.output or ROOT / "benchmarks" / ("quick.json" if arguments.quick else "results.json")
    return arguments


def _page(arguments: argparse.Namespace) -> int:
    from suite import page, results

    try:
        stored = results.read(arguments.output)
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if stored["quick"] and arguments.to.resolve() == PAGE:
        print(f"Error: the results in {arguments.output} are of --quick: pass --to with another file", file=sys.stderr)
        return 1
    page.write(stored, arguments.to)
    print(arguments.to)
    return 0


class Run:
    """A run: its results so far, and the process that measures.

    Args:
        arguments: the command line.
        began: when it began, in seconds of the monotonic clock.
        scratch: a folder that lasts as long as the run.
        environment: of its processes.
    """

    def __init__(
        self, arguments: argparse.Namespace, began: float, scratch: Path, environment: Mapping[str, str]
    ) -> None:
        from suite.cells import planned

        self._arguments, self._scratch, self._environment = arguments, scratch, environment
        self._began, self._ends = began, began + arguments.seconds - RESERVE
        self._plan = planned(arguments.only, quick=arguments.quick)
        self._worker: Asked | None = None
        #: why the optional part of a name's cells is left out
        self._without: dict[str, str] = {}
        self._results = self._earlier()
        self._before = self._results["spent_seconds"]
        self._entries = {_key(entry): entry for entry in self._results["cells"]}

    def _earlier(self) -> dict[str, Any]:
        """The results of a former run on this machine and commit to go on with, or new ones."""
        from suite import results

        here, whole = machine(), results.FORMAT
        fresh: dict[str, Any] = {
            "format": whole,
            "command": "python -m benchmarks" + "".join(f" {each}" for each in sys.argv[1:]),
            "quick": self._arguments.quick,
            "given_seconds": self._arguments.seconds,
            "spent_seconds": 0.0,
            "ended": "not yet",
            "machine": {**here, "versions": _versions(here["versions"])},
            "cells": [],
        }
        kept: dict[tuple[str, str, str], dict[str, Any]] = {}
        if self._arguments.output.exists() and self._arguments.again:
            self._check_replaced()
        elif self._arguments.output.exists():
            former = results.read(self._arguments.output)
            if not _alike(former, fresh):
                raise SystemExit(
                    f"{self._arguments.output} is of another machine, commit or version: pass --again to measure "
                    "everything again"
                )
            fresh["spent_seconds"] = former["spent_seconds"]
            kept = {results.key_of(entry): entry for entry in former["cells"]}
        for cell in self._plan:
            kept.setdefault(cell.key, results.waiting(cell))
        return {**fresh, "cells": list(kept.values())}

    def _check_replaced(self) -> None:
        """Refuse to replace the results of a run by those of less."""
        from suite import results

        former = results.read(self._arguments.output)
        ours = {cell.key for cell in self._plan}
        lost = {entry["section"] for entry in former["cells"] if results.key_of(entry) not in ours}
        if lost or (self._arguments.quick and not former["quick"]):
            raise SystemExit(
                f"{self._arguments.output} has cells that this run would not measure again"
                f"{', of ' + ', '.join(sorted(lost)) if lost else ''}: pass another file by -o"
            )

    def whole(self) -> int:
        """Measure until all is done or the time is over; 1 if nothing is measured or the run was stopped."""
        with stopping(self._results, self._finish):
            self._write()
            for cell in self._plan:
                entry = self._entries[cell.key]
                if entry["status"] == "measured":
                    continue
                if self._left() < 1:
                    break
                self._one(cell, entry)
                self._write()
            late = any(self._entries[cell.key]["status"] == "not reached" for cell in self._plan)
            self._results["ended"] = "when the time was over" if late else "complete"
        print(f"{self._arguments.output}: ended {self._results['ended']}")
        measured = any(entry["status"] == "measured" for entry in self._results["cells"])
        return 0 if measured and not self._results["ended"].startswith("by") else 1

    def _finish(self) -> None:
        if self._worker is not None:
            self._worker.end()
        self._write()

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _write(self) -> None:
        from suite import results

        self._results["spent_seconds"] = round(self._before + time.monotonic() - self._began, 1)
        results.write(self._results, self._arguments.output)

    def _one(self, cell: Any, entry: dict[str, Any]) -> None:
        result = self._asked(cell)
        if result["status"] == "stopped" and cell.section == "sampling" and cell.name not in self._without:
            self._without[cell.name] = result["reason"]
            result = self._asked(cell)
        entry.clear()
        entry.update({"section": cell.section, "name": cell.name, "case": cell.case, **result})
        told = entry.get("reason") or f"{entry.get('seconds', 0.0):.1f} s"
        print(f"{' / '.join(cell.key)}: {entry['status']}, {told}", flush=True)

    def _asked(self, cell: Any) -> dict[str, Any]:
        if self._worker is None or not self._worker.alive:
            command = [sys.executable, "-m", "benchmarks", "--worker", str(self._scratch)]
            command += ["--quick"] if self._arguments.quick else []
            os.environ.update(self._environment)
            self._worker = Asked(command, self._scratch / "worker.log", {**self._environment, "PWD": str(ROOT)})
        if self._left() < 1:
            return {"status": "not reached"}
        bound = min(cell.bound, self._left())
        wanted = {**dataclasses.asdict(cell), "without": {}}
        if cell.name in self._without:
            wanted["without"] = {OPTIONAL: self._without[cell.name]}
        extra = 0.0 if self._worker.warm else min(STARTING, max(self._left() - bound, 0.0))
        result = self._worker.ask(wanted, bound + extra)
        if result is not None:
            return result
        if self._left() <= 0.5:
            return {"status": "not reached"}
        return {"status": "stopped", "reason": self._worker.ended or f"took more than {bound:.0f} s"}


def _key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    from suite import results

    return results.key_of(entry)


def _versions(known: Mapping[str, str]) -> dict[str, str]:
    from importlib import metadata

    versions = dict(known)
    for name in ("zuko", "nflows", "normflows", "FrEIA", "diffusers", "onnxscript"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _alike(former: Mapping[str, Any], fresh: Mapping[str, Any]) -> bool:
    """Whether results belong together: the same processor, commit, versions and kind of run."""
    same = ("commit", "python", "processor", "cores", "versions")
    return former["quick"] == fresh["quick"] and all(
        former["machine"].get(name) == fresh["machine"][name] for name in same
    )
