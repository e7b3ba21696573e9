"""Our trajectories against those of diffusers and k-diffusion, which scripts/parity wrote down."""

import importlib.util
import json
from pathlib import Path

import pytest
from safetensors import safe_open

from zoo.samplers import BUILTIN

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden" / "samplers.safetensors"

spec = importlib.util.spec_from_file_location("parity_ours", ROOT / "scripts" / "parity" / "ours.py")
ours = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours)

with safe_open(GOLDEN, "numpy") as file:
    CASES = json.loads(file.metadata()["cases"])
    ARRAYS = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict


@pytest.mark.parametrize("steps", [5, 10, 20, 50])
@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{c['sampler']}-{c['reference']}" for c in CASES])
def test_the_trajectory_is_that_of_the_reference(number, steps):
    case = CASES[number]
    times, states = ARRAYS[f"{number}/{steps}/times"], list(ARRAYS[f"{number}/{steps}/states"])
    options = {**case["options"], **({"lower_order_final": len(times) < 15} if case["final_order"] else {})}
    trajectory = ours.trajectory(case["sampler"], options, case["path"], times)
    if case["differs"] == "last step":
        trajectory = trajectory[:-1]
    assert ours.difference(trajectory, states) < 1e-6


def test_the_comparison_can_fail():
    """A sampler of another order is told apart, and so is one step more."""
    number, case = next((i, c) for i, c in enumerate(CASES) if c["sampler"] == "dpm-solver-pp")
    times, states = ARRAYS[f"{number}/10/times"], list(ARRAYS[f"{number}/10/states"])
    other = ours.trajectory("unipc", {}, case["path"], times)
    assert ours.difference(other, states) > 1e-4
    assert ours.difference(other[:-1], states) == float("inf")


def test_every_sampler_is_told_of():
    text = (ROOT / "docs" / "samplers.md").read_text("utf-8")
    assert [name for name in BUILTIN if f"| `{name}` |" not in text] == []
