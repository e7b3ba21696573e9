"""Seconds of CPU of a process that starts, does one thing and ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suite.results import LEAST_TURNS, result
from suite.worker import Settings

from zoo.benchmarking import Spread

TURNS = 7
_ZOO = "from zoo.cli import main; main()"


def _run_of(arguments: str) -> list[str]:
    return ["-c", _ZOO, "run", *arguments.split(), "--seed", "0", "--threads", "1", "--force"]


#: the commands; the first two are lower bounds for the others
COMMANDS = {
    "python, nothing": ["-c", "pass"],
    "python, numpy and onnxruntime": ["-c", "import numpy, onnxruntime"],
    "zoo --help": ["-c", _ZOO, "--help"],
    "zoo list": ["-c", _ZOO, "list"],
    "zoo show mnist-unet": ["-c", _ZOO, "show", "mnist-unet"],
    "a digit, load and 1 step": _run_of("mnist-unet -n 1 --class 3 --steps 1 -o x.png"),
    "a digit, 20 steps": _run_of("mnist-unet -n 1 --class 3 --steps 20 -o x.png"),
    "1000 points of moons-nsf": _run_of("moons-nsf -n 1000 -o x.csv"),
}


def measure(settings: Settings) -> dict[str, Any]:
    """Seconds of CPU, and of the clock as numbers, of every command in turn, once all files are in memory.

    Modules are compiled in the first turn, which is not counted, as they are where a package is installed.
    """
    commands = {name: [sys.executable, *arguments] for name, arguments in COMMANDS.items()}
    spent: dict[str, list[float]] = {name: [] for name in commands}
    passed: dict[str, list[float]] = {name: [] for name in commands}
    least = 1 if settings.quick else LEAST_TURNS
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(-1, TURNS):
            if turn >= least and time.perf_counter() - began > settings.seconds:
                break
            for name, command in commands.items():
                cpu, clock = _run(command, Path(folder))
                if turn >= 0:
                    spent[name].append(cpu)
                    passed[name].append(clock)
    clocks = {f"{name}, seconds of the clock": Spread.of(values).median for name, values in passed.items()}
    return result({name: Spread.of(values) for name, values in spent.items()}, unit="s of CPU", numbers=clocks)


def _run(command: Sequence[str], folder: Path) -> tuple[float, float]:
    began = time.perf_counter()
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ends with {process.returncode}: {said[-300:].decode()}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - began
