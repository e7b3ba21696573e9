"""Autoencoders, and diffusions of their latents."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from zoo import runtime, weights  # noqa: E402 - after the checks
from zoo.errors import ConfigError, DataError, UnknownNameError, UsageError  # noqa: E402
from zoo.exporting import export  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo.training.run import begin_with  # noqa: E402
from zoo_diffusion.kl_autoencoder import KLAutoencoder  # noqa: E402
from zoo_diffusion.latent import LatentDiffusion  # noqa: E402

AUTOENCODER = {"latent_channels": 2, "widths": [4, 8], "shift": 4.0, "scale": 4.0, "data_min": 0.0, "data_max": 8.0}
CONFIG = {
    "event_shape": [1, 8, 8],
    "autoencoder": AUTOENCODER,
    "network": {"kind": "unet", "base": 8, "multipliers": [1, 2], "attention": [], "head_channels": 8},
    "condition": {"kind": "classes", "size": 3, "labels": [], "required": False},
    "sampling": {"steps": 3},
}


def wild(model, seed=0, scale=0.2):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(0)
    return wild(KLAutoencoder(event_shape=[1, 8, 8], **AUTOENCODER))


@pytest.fixture(scope="module")
def pictures():
    return 8 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model(autoencoder, pictures):
    torch.manual_seed(0)
    model = LatentDiffusion(**CONFIG)
    begin_with(model, "codec.autoencoder", autoencoder)
    wild(model.network, 2)
    model.prepare(pictures)
    return model.eval()


def bundled(model, name, folder):
    card = ModelCard(name=name, family=model.family, architecture="x", event_shape=model.event_shape)
    export(model, folder / name, card=card)
    return runtime.load(folder / name)


def test_density_of_one_number_is_an_integral():
    torch.manual_seed(0)
    model = wild(KLAutoencoder(event_shape=[1, 1, 1], latent_channels=1, widths=[4], draws=4000, scale=2.0), 3, 0.5)
    model = model.double()
    x = torch.tensor([-1.0, 0.3, 2.5], dtype=torch.float64).reshape(3, 1, 1, 1)
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64).reshape(-1, 1, 1, 1)
    with torch.no_grad():
        prior = -0.5 * z.flatten() ** 2 - 0.5 * math.log(2 * math.pi)
        expected = [
            torch.trapezoid((prior + model._log_likelihood(y.expand(len(z), 1, 1, 1), z)).exp(), z.flatten()) for y in x
        ]
        found = model.log_density(x)
    torch.testing.assert_close(found, torch.stack(expected).log(), atol=0.03, rtol=0)


def test_more_draws_bound_more_tightly(pictures):
    torch.manual_seed(0)
    few, many = (wild(KLAutoencoder(event_shape=[1, 8, 8], **AUTOENCODER, draws=k)) for k in (1, 64))
    with torch.no_grad():
        assert float((many.log_prob(pictures) - few.log_prob(pictures)).mean()) > 0.1


def test_an_autoencoder_learns_to_keep_what_is_in_a_picture():
    torch.manual_seed(0)
    x = 8 * torch.rand(64, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    model = KLAutoencoder(event_shape=[1, 8, 8], **{**AUTOENCODER, "beta": 0.01})
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(x).backward()
        optimizer.step()
    with torch.no_grad():
        again = model.inverse(model.posterior(x)[0])
    assert float((again - x).abs().mean()) < 0.35 * float((x - x.mean()).abs().mean())


def test_an_autoencoder_is_a_model_like_any_other(autoencoder, pictures, tmp_path):
    bundle = bundled(autoencoder, "autoencoder", tmp_path)
    x = bundle.sample(5, seed=0)
    assert x.shape == (5, 1, 8, 8)
    assert x.min() >= 0
    assert x.max() <= 8
    np.testing.assert_allclose(x, autoencoder.sample(5, seed=0).numpy(), atol=1e-4)
    with torch.no_grad():
        expected = autoencoder.log_prob(pictures[:4]).numpy()
    np.testing.assert_allclose(bundle.log_prob(pictures[:4].numpy()), expected, rtol=1e-4)


def test_latents_have_mean_zero_and_deviation_one(model, pictures):
    latents, _ = model.codec.encode(pictures)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(2), atol=1e-3, rtol=0)


def test_the_bundle_carries_the_decoder(model, pictures, tmp_path):
    bundle = bundled(model, "latent", tmp_path)
    assert bundle.state_shape == (2, 4, 4)
    assert {"step", "encoder", "decoder"} == set(bundle.manifest.graphs)
    for options in ({"seed": 1}, {"seed": 1, "guidance": 2.0, "sampler": "ddpm", "steps": 4}):
        x = bundle.sample(6, **options)
        np.testing.assert_allclose(x, model.sample(6, **options).numpy(), atol=1e-3)
    assert x.min() >= 0
    assert x.max() <= 8
    start = pictures[:2].numpy()
    with torch.no_grad():
        kept = model.codec.decode(model.codec.encode(pictures[:2])[0]).numpy()
    np.testing.assert_allclose(bundle.sample(2, init=start, strength=0.0), kept, atol=1e-3)
    with pytest.raises(UsageError, match="log_prob"):
        bundle.log_prob(start)


def test_edits_go_through_the_encoder_in_pytorch_too(model, pictures):
    with torch.no_grad():
        kept = model.codec.decode(model.codec.encode(pictures[:1])[0])
    for init in (pictures[0], pictures[:1].numpy()):
        torch.testing.assert_close(model.sample(2, seed=0, init=init, strength=0.0), kept.expand(2, -1, -1, -1))
    with pytest.raises(UsageError, match="cannot keep a part of its data"):
        model.sample(1, seed=0, init=pictures[0], mask=np.ones((1, 8, 8)))
    with pytest.raises(DataError, match="data to start from has shape"):
        model.sample(1, seed=0, init=np.zeros((3, 3)))


def test_only_the_network_is_trained(model, pictures):
    torch.manual_seed(0)
    before = {k: v.clone() for k, v in model.codec.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.5)
    model.loss(pictures, condition=torch.zeros(40, dtype=torch.int32)).backward()
    assert all(p.grad is None for p in model.codec.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.network.parameters())
    state = {k: v.clone() for k, v in model.network.state_dict().items()}
    optimizer.step()
    assert all(torch.equal(v, before[k]) for k, v in model.codec.state_dict().items())
    model.network.load_state_dict(state)


def test_parts_begin_with_other_models(autoencoder):
    model = LatentDiffusion(**CONFIG)
    begin_with(model, "codec.autoencoder", autoencoder)
    arrays = weights.state_arrays(model.codec.autoencoder)
    assert all(np.array_equal(arrays[name], value) for name, value in weights.state_arrays(autoencoder).items())
    with pytest.raises(ConfigError, match=r"model\.parts: codec\.decoder"):
        begin_with(model, "codec.decoder", autoencoder)
    with pytest.raises(ConfigError, match=r"model\.parts: network"):
        begin_with(model, "network", autoencoder)


@pytest.mark.parametrize(
    "wrong",
    [{"event_shape": [1, 7, 8]}, {"event_shape": [8]}, {"beta": 0.0}, {"draws": 0}, {"data_max": None}],
)
def test_bad_autoencoders(wrong):
    with pytest.raises(ConfigError):
        KLAutoencoder(**{"event_shape": [1, 8, 8], **AUTOENCODER, **wrong})


def test_bad_latent_models():
    with pytest.raises(UnknownNameError, match="network of latents"):
        LatentDiffusion(**{**CONFIG, "network": {"kind": "mlp"}})
    with pytest.raises(ConfigError, match="latent diffusion"):
        LatentDiffusion(**{**CONFIG, "autoencoder": {"depth": 3}})
