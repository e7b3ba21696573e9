"""The most memory of a process that samples, in ONNX Runtime without torch and in PyTorch."""

from __future__ import annotations

import sys
from typing import Any

from stages import measured
from suite.results import result
from suite.worker import Given

from zoo.benchmarking import Spread

_OURS = """
import json, resource, sys
from zoo.registry import installed
from zoo.runtime import load
model = load(installed().model(sys.argv[1]).bundle_path, "cpu", 1)
options = {"steps": 2} if model.manifest.sampling.stepped else {}
model.sample(int(sys.argv[2]), seed=0, batch_size=int(sys.argv[2]), **options)
assert "torch" not in sys.modules
print(json.dumps({"MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}))
"""
_PYTORCH = """
import json, resource, sys
import torch, zoo
torch.set_num_threads(1)
model = zoo.load(sys.argv[1]).eval()
options = {"steps": 2} if model.family == "diffusion" else {}
with torch.no_grad():
    model.sample(int(sys.argv[2]), seed=0, **options)
print(json.dumps({"MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}))
"""


def measure(given: Given, model: str, batch: int) -> dict[str, Any]:
    """Megabytes at the peak, with those of Python, NumPy and the libraries."""
    programs = {"zoo, ONNX Runtime": _OURS, "zoo, PyTorch": _PYTORCH}
    found = {name: measured(sys.executable, text, model, str(batch))["MB"] for name, text in programs.items()}
    return result({name: Spread.of([value]) for name, value in found.items()}, unit="MB", numbers={"batch": batch})
