"""How one and two processes compare: in training, and in drawing samples in bulk.

    python benchmarks/scaling.py                    # --steps 200 --samples 1000 --turns 3 --write

Prints a Markdown table, a row for training and one for drawing: wall-clock and CPU seconds of one process and of two,
of all processes together, each the median over the turns, and how many times as fast two are. Steps are those of a
small U-Net with batches of 64, shared by gloo; samples those of mnist-unet in 4 steps of DDIM by the local engine. All
are without what starting costs, which is measured by a run of a tenth of the work, shared likewise: samples come in
forty shards. ``--write`` puts the table into docs/scaling.md, with the date and the machine.

Wall-clock times need a machine of two idle cores. CPU times say what sharing costs: without any cost they would be the
same for one process and for two.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from zoo.effort import processor

PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
#: what stands before the table, to the end of the page
MARK = "measured by `python benchmarks/scaling.py --write`."
RECIPE = """
name = "scaling"
training = {{ steps = {steps}, batch_size = 64, log_every = 1000, checkpoint_every = 100000 }}
[model]
architecture = "unet"
[model.config]
event_shape = [1, 16, 16]
base = 32
multipliers = [1, 2]
attention = []
[data]
name = "scaling-data:pictures"
"""
DATA = "import numpy as np\n\n\ndef pictures():\n    return np.random.default_rng(0).normal(size=(600, 1, 16, 16))\n"


def timed(commands: list[tuple[list[str], dict[str, str]]], folder: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds of processes that run at once."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = [
        subprocess.Popen([sys.executable, "-m", "zoo", "-q", *command], cwd=folder, env={**os.environ, **more})
        for command, more in commands
    ]
    if any(each.wait() for each in running):
        sys.exit("a process failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu


def training(folder: Path, steps: int, processes: int) -> tuple[float, float]:
    """Steps with some processes, by gloo."""
    (folder / "scaling_data.py").write_text(DATA)
    (folder / "r.toml").write_text(RECIPE.format(steps=steps).replace('name = "scaling-data', 'path = "scaling_data'))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["train", "r.toml", "-o", "run", "--restart"]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    return timed([(command, {**where, "RANK": str(i), "LOCAL_RANK": str(i)}) for i in range(processes)], folder)


def drawing(folder: Path, samples: int, workers: int) -> tuple[float, float]:
    """Samples of mnist-unet with some local workers."""
    command = ["run", "mnist-unet", "-n", str(samples), "--steps", "4", "--seed", "0", "--shard-size", "25", "--force"]
    return timed([([*command, "--engine", "local", "--workers", str(workers), "-o", "out"], {})], folder)


def measured(run: Callable[[Path, int, int], tuple[float, float]], work: int, turns: int) -> list[str]:
    """Cells of a row: wall-clock and CPU seconds of one process and of two, and how many times as fast two are."""
    taken: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for turn in range(turns):
        for processes in (1, 2) if turn % 2 == 0 else (2, 1):
            with tempfile.TemporaryDirectory() as name:
                start, whole = (run(Path(name), n, processes) for n in (max(work // 10, 1), work))
            taken[processes].append((whole[0] - start[0], whole[1] - start[1]))
    cells = [f"{statistics.median(each[i] for each in taken[n]):.1f}" for n in (1, 2) for i in (0, 1)]
    ratio = statistics.median(one[0] / two[0] for one, two in zip(taken[1], taken[2], strict=True))
    return [*cells, f"{ratio:.2f}"]


def main() -> None:
    """Measure, print a table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into docs/scaling.md")
    chosen = parser.parse_args()
    lines = [
        "| what | one: wall s | CPU s | two: wall s | CPU s | times as fast |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    rows = (
        (f"training, {chosen.steps:,} steps", chosen.steps, training),
        (f"drawing, {chosen.samples:,} samples", chosen.samples, drawing),
    )
    for what, work, run in rows:
        lines.append(f"| {what} | {' | '.join(measured(run, work, chosen.turns))} |")
        print(lines[-1], flush=True)
    if chosen.write:
        turns = f"median of {chosen.turns} turns" if chosen.turns > 1 else "one turn"
        told = f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, {turns}:"
        write([told, "", *lines])


def write(lines: Sequence[str]) -> None:
    """Put the lines at the end of the page, in the place of those of before."""
    before, mark, _ = PAGE.read_text("utf-8").partition(MARK)
    PAGE.write_text(f"{before}{mark}\n" + "\n".join(["", *lines]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
