"""What the sampling loop costs beside the network: profiled, on mnist-unet at batch 16.

    python benchmarks/overhead.py                 # --steps 20 --batch 16 --threads 1 --repeats 5

Two runs each time, one after the other: one as it is, for the wall time, and one under ONNX Runtime's own profiler, for
where it goes. The loop is everything outside the calls of the step graph (making the row's inputs and noise, binding,
looking at the result), and within them the kernels after the network (guidance, the row's matrix, the fresh noise).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.runtime import BundledModel, load
from zoo.runtime.ort import onnxruntime
from zoo.runtime.session import Session

WARM_UP = 2


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-unet")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--samplers", nargs="+", default=["ddim", "ddpm", "dpm-solver-pp"])
    parser.add_argument("--guidance", type=float, default=1.0)
    args = parser.parse_args()

    folder = resolve(Registry.discover(), args.model).bundle
    assert folder is not None
    print(f"{args.model}, batch {args.batch}, {args.steps} steps, guidance {args.guidance}, {args.threads} thread(s)")
    print(f"ONNX Runtime {onnxruntime().__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{'sampler':<16}{'ms a step':>10}{'outside calls':>15}{'own kernels':>13}{'loop':>8}{'loop, worst':>13}")
    for sampler in args.samplers:
        runs = [measure(folder, args, sampler) for _ in range(args.repeats)]
        wall, outside, own = (statistics.median(run[i] for run in runs) for i in range(3))
        loops = [(run[1] + run[2]) / run[0] for run in runs]
        print(
            f"{sampler:<16}{1e3 * wall:>10.2f}{outside / wall:>15.2%}{own / wall:>13.2%}"
            f"{statistics.median(loops):>8.2%}{max(loops):>13.2%}"
        )


def measure(folder: Path, args: argparse.Namespace, sampler: str) -> tuple[float, float, float]:
    """Seconds a step: in all, outside the calls of the graph, and in the graph's kernels after the network."""
    options: dict[str, Any] = {"sampler": sampler, "steps": args.steps, "guidance": args.guidance}
    model = load(folder, "cpu", args.threads)
    wall, _ = timed(model, args.batch, options)
    with tempfile.TemporaryDirectory() as scratch:
        session = profiled(model.session(model.manifest.sample.graph), Path(scratch) / "profile", args.threads)
        watched, rows = timed(model, args.batch, options)
        events = json.loads(Path(session._session.end_profiling()).read_text())
    calls = sorted((e for e in events if e["name"] == "model_run"), key=lambda e: e["ts"])[-rows:]
    own = after_network(session.graph)
    kernels = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    mine = [e for e in kernels if e["ts"] >= calls[0]["ts"] and e["name"].removesuffix("_kernel_time") in own]
    outside = watched - sum(e["dur"] for e in calls) / 1e6
    return wall / rows, outside / rows, sum(e["dur"] for e in mine) / 1e6 / rows


def timed(model: BundledModel, batch: int, options: dict[str, Any]) -> tuple[float, int]:
    """Seconds that sampling takes once warm, and the number of rows."""
    model.sample(batch, seed=0, **{**options, "steps": WARM_UP})
    table = model.table(**options)
    assert table is not None
    begin = time.perf_counter()
    model.sample(batch, seed=0, **options)
    return time.perf_counter() - begin, len(table)


def profiled(session: Session, prefix: Path, threads: int) -> Session:
    """The same graph in a session that writes a profile."""
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # the same Session, but with a profile of what it runs
    session._session = ort.InferenceSession(str(session.graph), options, providers=["CPUExecutionProvider"])
    return session


def after_network(graph: Path) -> set[str]:
    """Names of the nodes that work on the network's output: what the row's numbers, but for their shapes, flow into."""
    import onnx

    after = {"weights", "rescale", "clip", "matrix", "noise", "noise_scale", "known", "mask"}
    names: set[str] = set()
    for node in onnx.load(str(graph), load_external_data=False).graph.node:
        if node.op_type != "Shape" and after & set(node.input):
            after.update(node.output)
            names.add(node.name)
    return names


if __name__ == "__main__":
    main()
