"""The peak memory of a process that samples, in ONNX Runtime without torch and in PyTorch."""

from __future__ import annotations

import sys
from typing import Any

from stages import measured
from suite.results import result
from suite.worker import Settings

from zoo.benchmarking import Spread

#: ``ru_maxrss`` would be the greater of this process's and of the one that started it, which has all of torch
_PEAK = """
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1e3
"""
_OURS = """
import json, sys
from zoo.registry import installed
from zoo.runtime import load
model = load(installed().model(sys.argv[1]).bundle_path, "cpu", 1)
options = {"steps": 2} if model.manifest.sampling.stepped else {}
model.sample(int(sys.argv[2]), seed=0, batch_size=int(sys.argv[2]), **options)
assert "torch" not in sys.modules
print(json.dumps({"MB": peak()}))
"""
_PYTORCH = """
import json, sys
import torch, zoo
torch.set_num_threads(1)
model = zoo.load(sys.argv[1]).eval()
options = {"steps": 2} if model.family == "diffusion" else {}
with torch.no_grad():
    model.sample(int(sys.argv[2]), seed=0, **options)
print(json.dumps({"MB": peak()}))
"""


def measure(settings: Settings, model: str, batch: int) -> dict[str, Any]:
    """Megabytes at the peak, with those of Python, NumPy and the libraries."""
    programs = {"zoo, ONNX Runtime": _OURS, "zoo, PyTorch": _PYTORCH}
    peaks = {name: measured(sys.executable, _PEAK + text, model, str(batch))["MB"] for name, text in programs.items()}
    return result({name: Spread.of([value]) for name, value in peaks.items()}, unit="MB", numbers={"batch": batch})
