"""How one and two processes compare: in training, and in drawing samples in bulk.

    python benchmarks/scaling.py [--steps 200] [--samples 20000]

Wall-clock times need a machine of two idle cores. CPU times, of all processes together, say what sharing costs: without
any cost they would be the same for one process and for two. Both are without what starting costs, which is measured by
a run of a twentieth of the work.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    command = ["run", "mnist-unet", "-n", str(samples), "--steps", "4", "--seed", "0", "--shard-size", "50", "--force"]
    return timed([([*command, "--engine", "local", "--workers", str(workers), "-o", "out"], {})], folder)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--samples", type=int, default=1000)
    chosen = parser.parse_args()
    print("what      processes  wall s  cpu s")
    with tempfile.TemporaryDirectory() as name:
        for what, work, run in (("training", chosen.steps, training), ("drawing", chosen.samples, drawing)):
            for processes in (1, 2):
                start, whole = (run(Path(name), n, processes) for n in (max(work // 20, 1), work))
                wall, cpu = (b - a for a, b in zip(start, whole, strict=True))
                print(f"{what:<10}{processes:<11}{wall:<8.1f}{cpu:.1f}", flush=True)


if __name__ == "__main__":
    main()
