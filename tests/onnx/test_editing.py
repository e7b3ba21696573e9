"""PyTorch and its bundle agree on guidance and editing, and go on from one another's states."""

import numpy as np
import pytest
import torch

from zoo import noise
from zoo.errors import UsageError
from zoo.exporting import export
from zoo.noise import Stream
from zoo.runtime import Guidance, SamplerState, load
from zoo_diffusion.diffusion import Diffusion

TOLERANCE = 1e-4 * 8  # of data in 0..16, states being in [-1, 1]
INIT = np.random.default_rng(0).uniform(0, 16, (1, 8, 8)).astype(np.float32)
MASK = (np.arange(64).reshape(1, 8, 8) % 3 > 0).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(diffusion_bundle):
    return load(diffusion_bundle, "cpu")


@pytest.mark.parametrize(
    "options",
    [
        {"guidance": Guidance(3.0, interval=(0.3, 4.0), rescale=0.7)},
        {"guidance": 2.5, "negative": 1},
        {"init": INIT, "strength": 0.5},
        {"init": INIT, "mask": MASK, "sampler": "ddpm"},
        {"init": INIT, "mask": MASK, "strength": 0.7, "sampler": "dpm-solver-pp"},
        {"noise": np.flip(noise.normal(5, 3, (1, 8, 8)), 0)},
        {"sampler": "unipc"},
        {"sampler": "edm"},
    ],
    ids="-".join,
)
def test_both_draw_the_same(diffusion, bundle, options):
    given = bundle.sample(3, seed=5, condition=[0, 1, 2], steps=5, **options)
    expected = diffusion.sample(3, seed=5, condition=[0, 1, 2], steps=5, **options)
    np.testing.assert_allclose(given, expected.numpy(), atol=TOLERANCE)


def test_both_encode_the_same(diffusion, bundle):
    x = np.stack([INIT, 16 - INIT])
    given = bundle.encode(x, condition=[0, 1], steps=3)
    np.testing.assert_allclose(given, diffusion.encode(torch.from_numpy(x), condition=[0, 1], steps=3), atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "dpm-solver-pp"])
def test_each_goes_on_from_the_other(diffusion, bundle, sampler, tmp_path):
    options = {"seed": 2**40 + 3, "condition": [2, 0], "sampler": sampler, "steps": 6, "guidance": 2.0}
    whole = bundle.sample(2, **options)
    first, second = tmp_path / "torch.safetensors", tmp_path / "onnx.safetensors"
    diffusion.advance(diffusion.begin(2, **options), 2).save(first)
    np.testing.assert_allclose(bundle.finish(SamplerState.load(first)), whole, atol=TOLERANCE)
    bundle.advance(bundle.begin(2, **options), 4).save(second)
    np.testing.assert_allclose(diffusion.finish(SamplerState.load(second)), whole, atol=TOLERANCE)


def test_previews_are_the_same(diffusion, bundle):
    ours, theirs = [], []
    bundle.sample(2, seed=1, steps=3, preview=lambda row, part, x: ours.append(x))
    diffusion.sample(2, seed=1, steps=3, preview=lambda row, x: theirs.append(x))
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)


class TwoHeads(torch.nn.Module):
    """Predicts ε and where the variance lies, from a convolution."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.convolution = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x, time, condition):
        return torch.tanh(self.convolution(x) + time[:, None, None, None] / 1000)


@pytest.fixture(scope="module")
def learned():
    return Diffusion(
        TwoHeads(),
        (1, 4, 4),
        path="ddpm-linear",
        prediction="epsilon",
        variance="learned-range",
        sampling={"sampler": "ddpm", "steps": 4, "options": {"variance": "learned"}},
    ).eval()


def test_a_learned_variance_lies_where_the_network_says(learned):
    state = learned.begin(3, seed=0)
    row = state.table[0]
    assert row.noise_range > 0
    x = torch.from_numpy(state.slots[0])
    with torch.no_grad():
        output = learned.network(x, torch.full((3,), row.time), None)
    where = (output[:, 1:] + 1) / 2
    large = row.noise_scale * np.exp(row.noise_range)
    d = (x - row.sigma * output[:, :1]) / row.alpha
    mean = row.matrix[0, 0] * x + row.matrix[0, 1] * d
    # Nichol & Dhariwal 2021, eq. 15, of the standard deviation
    std = torch.exp(where * np.log(large) + (1 - where) * np.log(row.noise_scale))
    expected = mean + std * torch.from_numpy(noise.normal(0, 3, (1, 4, 4), step=0, stream=Stream.STEP))
    np.testing.assert_allclose(learned.advance(state, 1).slots[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.full
def test_a_learned_variance_is_exported(learned, tmp_path):
    folder = export(learned, tmp_path / "bundle", fused={})
    bundle = load(folder, "cpu")
    assert bundle.manifest.sample.learned_variance
    expected = learned.sample(4, seed=3).numpy()
    np.testing.assert_allclose(bundle.sample(4, seed=3), expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(bundle.sample(4, seed=3, fused=True), expected, atol=1e-4, rtol=1e-4)
    fixed = bundle.sample(4, seed=3, variance="small")
    assert np.abs(fixed - expected).max() > 1e-2


def test_a_fixed_variance_cannot_be_learned(bundle):
    with pytest.raises(UsageError, match="network that predicts it"):
        bundle.sample(1, sampler="ddpm", variance="learned")
