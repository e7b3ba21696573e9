"""Fewer bits for diffusions of something else than the data: every precision that a model of pixels has."""

import numpy as np
import onnx
import pytest
import torch

from zoo.bundle import open_bundle
from zoo.exporting import export
from zoo.registry.cards import ModelCard
from zoo.runtime import load
from zoo.runtime.check import check
from zoo_diffusion.latent import LatentDiffusion
from zoo_diffusion.mlp import MLPDiffusion
from zoo_onnx.precision import DTYPES, QUANTIZATIONS

CHOICES = {
    **{name: {"dtype": name} for name in DTYPES},
    **{name: {"quantize": name, "bound": 0.3} for name in QUANTIZATIONS},
}


def shaken(module, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="module")
def latent():
    """Images of 8×8 and latents of 4×4."""
    torch.manual_seed(0)
    model = LatentDiffusion(
        event_shape=[1, 8, 8],
        autoencoder={"latent_channels": 2, "widths": [4, 8], "shift": 4.0, "scale": 4.0},
        network={"kind": "dit", "hidden_size": 32, "depth": 1, "num_heads": 2},
        sampling={"steps": 2},
    )
    shaken(model, 1)
    model.prepare(8 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    return model.eval()


@pytest.fixture(scope="module")
def columns():
    """Two columns of a table, whose encoder and decoder have no products."""
    torch.manual_seed(0)
    model = MLPDiffusion(
        event_shape=[2],
        hidden=32,
        blocks=1,
        marginals={"knots": 6, "categories": [0, 3]},
        sampling={"steps": 2},
    )
    shaken(model.network, 1)
    random = np.random.default_rng(0)
    rows = np.stack([40 * random.exponential(size=200), random.integers(0, 3, 200) + random.random(200)], axis=1)
    model.prepare(torch.from_numpy(rows.astype(np.float32)))
    return model.eval()


@pytest.mark.slow
@pytest.mark.sample("latent-int8", "columns-float16")
@pytest.mark.parametrize(
    ("which", "choice"), [*(("latent", name) for name in CHOICES), ("columns", "float16"), ("columns", "int8-dynamic")]
)
def test_codings_have_every_precision_that_pixels_have(which, choice, tmp_path, request):
    model = request.getfixturevalue(which)
    card = ModelCard(name="coded", family="diffusion", architecture="x", event_shape=model.event_shape)
    folder = export(model, tmp_path / "bundle", card=card, **CHOICES[choice])
    bundle = load(folder, "cpu")
    assert bundle.noise_shape == bundle.state_shape == model.state_shape
    np.testing.assert_allclose(bundle.sample(3, seed=0, batch_size=2), bundle.sample(3, seed=0), rtol=1e-3, atol=1e-3)
    assert check(open_bundle(folder), "cpu").ok
    kinds = {node.op_type for node in onnx.load(folder / "step.onnx", load_external_data=False).graph.node}
    assert ("QuantizeLinear" in kinds) == (choice == "int8")
    assert ("MatMulInteger" in kinds) == (choice == "int8-dynamic")
    stated = bundle.manifest.precision
    assert (stated is None) == (choice == "float32")
    if stated is not None:
        assert {"prediction", "samples", "decoder"} <= stated["loss"].keys()
        assert stated["loss"]["decoder"] <= stated["bound"]
