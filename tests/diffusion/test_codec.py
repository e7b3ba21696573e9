"""Diffusions of something else than the data: columns of a table brought to one scale, with their densities."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from zoo import runtime  # noqa: E402 - after the checks
from zoo.errors import ConfigError, UsageError  # noqa: E402
from zoo.exporting import export  # noqa: E402
from zoo.modality import Column, Table, describe  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo_diffusion.codec import LatentCodec  # noqa: E402
from zoo_diffusion.diffusion import Diffusion  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_diffusion.networks.mlp import ResidualMLP  # noqa: E402

TABLE = Table((Column("mass", grain=0.5), Column.categories("kind", ("a", "b", "c")), Column("size")))
CONFIG = {"event_shape": [3], "hidden": 16, "blocks": 1, "marginals": {"knots": 6, "categories": [0, 3, 0]}}


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    columns = [
        random.exponential(size=200) * 40,
        random.integers(0, 3, 200) + random.random(200),
        random.normal(size=200),
    ]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


@pytest.fixture(scope="module")
def model(rows):
    torch.manual_seed(0)
    model = MLPDiffusion(**CONFIG, sampling={"steps": 6})
    torch.nn.init.normal_(model.network.last.weight, std=0.2)
    model.prepare(rows)
    return model.eval()


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    card = ModelCard(
        name="rows",
        family="diffusion",
        architecture="mlp",
        config=CONFIG,
        event_shape=(3,),
        data={"name": "rows", "kind": describe(TABLE)},
    )
    folder = tmp_path_factory.mktemp("codec") / "rows"
    export(model, folder, card=card)
    return runtime.load(folder)


def test_samples_are_in_units_of_the_data(model, rows):
    x = model.sample(300, seed=0)
    assert x.shape == (300, 3)
    assert 0.5 < float(x[:, 0].median() / rows[:, 0].median()) < 2
    whole = torch.floor(x[:, 1])
    assert float(((whole >= 0) & (whole < 3)).float().mean()) > 0.97


def test_density_of_the_data_is_that_of_the_latents_times_the_volume(model, rows):
    latents, log_det = model.codec.encode(rows[:8])
    plain = Diffusion(model.network, (3,))
    expected = plain.log_prob(latents, steps=16) + log_det
    torch.testing.assert_close(model.log_prob(rows[:8], steps=16), expected)


def test_the_bundle_is_the_model(bundle, model, rows):
    assert bundle.modality == TABLE
    np.testing.assert_allclose(bundle.sample(5, seed=3), model.sample(5, seed=3).numpy(), rtol=2e-4, atol=2e-4)
    x = rows[:6].numpy()
    expected = model.log_prob(rows[:6], steps=8).numpy()
    np.testing.assert_allclose(bundle.log_prob(x, steps=8), expected, atol=1e-4)
    for found, wanted in zip(
        bundle.log_prob_with_errors(x, steps=8), model.log_prob_with_errors(rows[:6], steps=8), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    bound = model.elbo(rows[:6], steps=20, terms=20)
    np.testing.assert_allclose(bundle.elbo(x, steps=20, terms=20), bound.numpy(), rtol=1e-4, atol=1e-3)


def test_editing_is_of_the_data(bundle, model, rows):
    x = rows[:4].numpy()
    for some in (bundle.sample, model.sample):
        kept = np.asarray(some(4, init=x, strength=0.0, seed=0))
        np.testing.assert_allclose(kept, x, rtol=1e-4, atol=1e-4)
        mask = np.array([0.0, 1.0, 1.0], np.float32)
        known = np.asarray(some(4, init=x, mask=mask, seed=0, sampler="ddim", steps=30))
        np.testing.assert_allclose(known[:, 0], x[:, 0], rtol=0.05, atol=0.5)
    noise = bundle.encode(x, steps=50)
    again = bundle.sample(4, noise=noise, sampler="ddim", steps=50)
    found, expected = (model.codec.encode(value)[0] for value in (torch.from_numpy(again), rows[:4]))
    torch.testing.assert_close(found, expected, rtol=0, atol=0.2)
    np.testing.assert_allclose(model.encode(rows[:4], steps=50).numpy(), noise, atol=1e-4)


def test_previews_are_data(bundle):
    seen = []
    x = bundle.sample(3, seed=0, preview=lambda row, part, denoised: seen.append(denoised))
    assert [d.shape for d in seen] == [(3, 3)] * 6
    np.testing.assert_allclose(seen[-1], x, atol=1e-3)


class Halves(LatentCodec):
    """Not reversible, and of another shape: pairs of numbers as their means."""

    latent_shape = (2,)

    def encode(self, x):
        return x.reshape(-1, 2, 2).mean(2), torch.zeros_like(x[:, 0])

    def decode(self, latent):
        return latent.repeat_interleave(2, dim=1)


@pytest.fixture(scope="module")
def halved():
    torch.manual_seed(0)
    model = Diffusion(ResidualMLP(2, hidden=8, blocks=1), (4,), codec=Halves(), sampling={"steps": 4})
    return model.eval()


@pytest.fixture(scope="module")
def halved_bundle(halved, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec") / "halved"
    card = ModelCard(name="halved", family="diffusion", architecture="mlp", event_shape=(4,))
    export(halved, folder, card=card)
    return runtime.load(folder)


def test_latents_of_another_shape(halved, halved_bundle):
    x = halved_bundle.sample(3, seed=1)
    assert x.shape == (3, 4)
    np.testing.assert_array_equal(x[:, 0::2], x[:, 1::2])
    np.testing.assert_allclose(x, halved.sample(3, seed=1).numpy(), atol=1e-4)
    noise = halved_bundle.encode(x)
    assert noise.shape == (3, 2)
    assert halved_bundle.sample(3, noise=noise, sampler="ddim", steps=20).shape == (3, 4)
    assert [frame.x.shape for frame in halved_bundle.stream(2)] == [(2, 4)] * 4
    state = halved_bundle.advance(halved_bundle.begin(2, seed=5), 2)
    np.testing.assert_array_equal(halved_bundle.finish(state), halved_bundle.sample(2, seed=5))


def test_what_latents_cannot_do_is_refused(halved, halved_bundle):
    x = np.zeros((2, 4), np.float32)
    with pytest.raises(UsageError, match="no program for log_prob"):
        halved_bundle.log_prob(x)
    with pytest.raises(UsageError, match="no likelihood"):
        halved.log_prob(torch.from_numpy(x))
    with pytest.raises(UsageError, match="cannot keep a part"):
        halved_bundle.sample(2, init=x, mask=np.ones(4, np.float32))


def test_marginals_are_of_rows():
    with pytest.raises(ConfigError, match="not the shape of one"):
        MLPDiffusion(**{**CONFIG, "event_shape": [1, 3]})
    with pytest.raises(ConfigError, match="knots and categories"):
        MLPDiffusion(**{**CONFIG, "marginals": {"bins": 3}})
