"""Learned noise for whole numbers: a proper distribution, uniform at first, and a bound that training tightens."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.data import Dataset, Split  # noqa: E402 - after the check for torch
from zoo.metrics.density import held_out_density  # noqa: E402
from zoo.training.loop import train  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402
from zoo_flows.dequantisation import VariationalDequantisation  # noqa: E402
from zoo_flows.glow import Glow  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402

SHAPES = [(4,), (1, 2, 3), (2, 3, 4)]


def numbers(shape, n=3000, levels=5):
    return torch.randint(0, levels, (n, *shape), generator=torch.Generator().manual_seed(0)).float()


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES)
def test_at_first_the_noise_is_uniform(shape):
    torch.manual_seed(0)
    u, log_q = VariationalDequantisation(shape, 5)(numbers(shape))
    torch.testing.assert_close(log_q, torch.zeros(3000), rtol=0, atol=1e-4)
    share, _ = torch.histogram(u.flatten(), bins=10, range=(0.0, 1.0))
    assert (share / u.numel() - 0.1).abs().max() < 0.02


@torch.no_grad()
def test_the_density_of_the_noise_is_that_of_its_histogram_and_depends_on_the_number(scramble):
    """Of two components, in cells of 1/16: E[1/q(u)] over a cell is the cell's area."""
    torch.manual_seed(0)
    made = scramble(VariationalDequantisation((2,), 5), scale=0.2).double()
    means = []
    for x in ([0.0, 4.0], [4.0, 1.0]):
        u, log_q = made(torch.tensor(x, dtype=torch.float64).expand(200_000, 2))
        assert ((u >= 0) & (u <= 1)).all()
        cell = (u * 4).long().clamp(max=3)
        areas = (
            torch.zeros(16, dtype=torch.float64).index_add_(0, cell[:, 0] * 4 + cell[:, 1], (-log_q).exp()) / 200_000
        )
        counts = torch.bincount(cell[:, 0] * 4 + cell[:, 1], minlength=16)
        print(areas * 16, counts)
        assert (areas - 1 / 16).abs()[counts > 5000].max() < 0.01
        assert (counts > 5000).sum() > 8
        means.append(u.mean(0))
    assert (means[0] - means[1]).abs().max() > 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_and_its_density_have_gradients(shape, scramble):
    made = scramble(VariationalDequantisation(shape, 5), scale=0.3)
    u, log_q = made(numbers(shape, 20))
    (u.square().sum() + log_q.sum()).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_a_fresh_model_scores_as_with_uniform_noise_and_the_noise_that_data_come_with_does_not_matter():
    torch.manual_seed(0)
    model = NSFCoupling(event_shape=[4], levels=5, transforms=1, hidden=8, dequantisation="variational").eval()
    x = numbers((4,))
    torch.manual_seed(1)
    first = model.elbo(x)
    torch.manual_seed(1)
    again = model.elbo(x + 0.999)
    assert torch.equal(first, again)
    torch.manual_seed(2)
    uniform = model.log_prob(x + torch.rand_like(x))
    assert first.mean().item() == pytest.approx(uniform.mean().item(), abs=0.1)
    torch.manual_seed(3)
    # rounded up, float32's 4 + 0.99999999 is no number of five levels
    assert model.elbo(torch.full((2, 4), 5.0)).isfinite().all()
    torch.manual_seed(1)
    assert -model.loss(x) == first.mean()


@pytest.mark.parametrize("shape", [(2,), pytest.param((1, 2, 2), marks=pytest.mark.full)])
def test_learned_noise_brings_the_bound_nearer_to_the_truth(shape, tmp_path):
    """Pixels are coins that show 1 in one of ten throws: 0.469 bits. Uniform noise makes a stair of that, which affine
    maps of a normal have no way to be."""
    coins = (np.random.default_rng(0).random((4000, *shape)) < 0.1).astype(np.uint8)
    share = coins.mean()
    truth = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
    split = Split(coins)
    data = Dataset("coins", split, split, split, levels=2)
    bits = {}
    for kind in ("uniform", "variational"):
        torch.manual_seed(0)
        settings = {"event_shape": shape, "levels": 2, "hidden": 8, "dequantisation": kind}
        model = Glow(scales=1, steps=1, **settings) if len(shape) == 3 else RealNVP(transforms=2, **settings)
        recipe = Recipe.from_dict(
            {
                "name": "t",
                "model": {"architecture": "t"},
                "data": {"name": "coins"},
                "training": {"batch_size": 256, "learning_rate": 1e-2, "steps": 150, "gradient_clip": 5.0},
            }
        )
        train(model, data, recipe, tmp_path / f"{kind}.safetensors")
        metric = held_out_density(model.eval(), data)["test_bits_per_dim"]
        assert metric.get("noise") == ("learned" if kind == "variational" else None)
        bits[kind] = metric["value"]
        assert bits[kind] > truth - 4 * metric["standard_error"]
    assert bits["variational"] < bits["uniform"] - 0.1
