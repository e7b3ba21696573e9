"""The examples of docs/bring-your-model.md: run as they are written, and one with few steps in the quick tier."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import foreign_libraries as libraries  # noqa: E402 - after the check for torch
from zoo import noise  # noqa: E402
from zoo_diffusion.foreign.conventions import CONVENTIONS  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs" / "bring-your-model.md"
TEXT = DOCS.read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
(TUTORIAL,) = [block for block in BLOCKS if "torchcfm" in block]
(DDPM,) = [block for block in BLOCKS if "load_digits" in block]


def test_the_page_has_a_row_for_every_convention():
    assert re.findall(r"^\| `([\w-]+)` \| .* \| .* \| .* \| .* \|$", TEXT, re.M) == list(CONVENTIONS)


def run(source, *fewer):
    """The names of an example, with numbers of it replaced."""
    for number, other in fewer:
        assert source.count(number) == 1
        source = source.replace(number, other)
    names = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        exec(compile(source, str(DOCS), "exec"), names)
    return names


def torchcfm_with_its_moons(monkeypatch):
    """torchcfm, whose utils draw their moons by torchdyn, which is not needed for anything else."""
    libraries.torchcfm()
    datasets = pytest.importorskip("sklearn.datasets")

    def generate_moons(n, noise):
        x, y = datasets.make_moons(n, noise=noise)
        return torch.tensor(x, dtype=torch.float32), y

    torchdyn, drawn = types.ModuleType("torchdyn"), types.ModuleType("torchdyn.datasets")
    drawn.generate_moons, torchdyn.datasets = generate_moons, drawn
    monkeypatch.setitem(sys.modules, "torchdyn", torchdyn)
    monkeypatch.setitem(sys.modules, "torchdyn.datasets", drawn)


@pytest.mark.slow
@pytest.mark.full
def test_torchcfms_tutorial_trains_exports_and_moves_eight_gaussians_as_its_own_field_does(tmp_path, monkeypatch):
    for package in ("onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    torchcfm_with_its_moons(monkeypatch)
    monkeypatch.chdir(tmp_path)
    names = run(TUTORIAL)
    from torchcfm.utils import torch_wrapper

    from zoo.runtime import load

    with torch.random.fork_rng():
        torch.manual_seed(1)
        start, moons = names["sample_8gaussians"](1000), names["sample_moons"](1000).numpy()
    # the tutorial's own module for its solver, by Euler's method
    field, x = torch_wrapper(names["model"]), start
    with torch.no_grad():
        for k in range(100):
            x = x + field(torch.tensor(k / 100), x) / 100
    moved = load("moons.bundle").sample(1000, noise=start.numpy())
    np.testing.assert_allclose(moved, x.numpy(), atol=1e-4)
    assert np.abs(moved.mean(0) - moons.mean(0)).max() < 0.5
    assert np.abs(start.numpy().std(0) - moved.std(0)).max() > 1.0


@pytest.mark.slow
@pytest.mark.sample("few")
@pytest.mark.parametrize(
    ("steps", "fewer"),
    [
        pytest.param(60, [("steps=2000", "steps=30"), ("T = 1000", "T = 60")], id="few"),
        pytest.param(1000, [], id="as-written"),
    ],
)
def test_a_ddpm_in_plain_pytorch_exports_and_samples_as_its_own_loop(steps, fewer, tmp_path, monkeypatch):
    for package in ("onnxruntime", "onnxscript", "sklearn"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = run(DDPM, *fewer)
    from zoo.runtime import load

    drawn = iter(
        [noise.normal(3, 2, (1, 8, 8))]
        + [noise.normal(3, 2, (1, 8, 8), step=k, stream=noise.Stream.STEP) for k in range(steps - 1)]
    )

    def given(*_, **__):
        return torch.from_numpy(np.asarray(next(drawn), np.float32))

    monkeypatch.setattr(torch, "randn", given)
    monkeypatch.setattr(torch, "randn_like", given)
    wanted = names["sample"](names["net"].eval(), 2).numpy()
    found = load("digits.bundle").sample(2, seed=3, sampler="ddpm", steps=steps, variance="large", initial_scale=1.0)
    np.testing.assert_allclose(found, wanted, atol=2e-3)
