"""Every diffusion's network: it trains, samples, scores and exports, and ONNX Runtime gives the numbers of PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.export import export  # noqa: E402 - after the checks
from zoo.registry import Registry  # noqa: E402
from zoo.runtime import load  # noqa: E402

CLASSES, VECTOR = {"kind": "classes", "size": 3, "required": False}, {"kind": "vector", "size": 2}
UNET = {"event_shape": [1, 8, 8], "base": 8, "multipliers": [1, 2], "attention": [1], "head_channels": 8}
MLP = {"event_shape": [3], "hidden": 16, "blocks": 2}
#: small configs of every architecture
SMALL = {
    "unet": ("unet", UNET),
    "unet-classes": ("unet", {**UNET, "condition": CLASSES, "data_min": -1.0, "data_max": 1.0}),
    "mlp": ("mlp", {**MLP, "path": "rectified-flow", "prediction": "velocity"}),
    "mlp-classes": ("mlp", {**MLP, "condition": CLASSES, "shift": 1.0, "scale": 2.0}),
    "mlp-vector": ("mlp", {**MLP, "event_shape": [2, 2], "condition": VECTOR, "prediction": "edm", "path": "edm"}),
}
REGISTRY = Registry.discover(allowed=[])


def build(name):
    architecture, config = SMALL[name]
    torch.manual_seed(0)
    return REGISTRY.build(architecture, {**config, "sampling": {"steps": 4}})


def data(model, n):
    """Something to learn: numbers around the model's shift, a vector of them for each sample."""
    x = model.shift + model.scale * (0.3 + 0.2 * torch.randn(n, *model.event_shape))
    if model.condition is None:
        return x, None
    if model.condition.kind == "classes":
        return x, torch.arange(n) % model.condition.size
    return x, torch.randn(n, model.condition.size)


@pytest.fixture(scope="module", params=SMALL)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    """With weights that are not those of a fresh model, whose output is zero."""
    made = build(name)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return made.eval()


def test_no_architecture_is_left_out():
    registered = {i.description.name for i in REGISTRY.items("architecture") if i.description.family == "diffusion"}
    assert {architecture for architecture, _ in SMALL.values()} == registered


def test_a_fresh_network_says_zero(name):
    made = build(name)
    x, condition = data(made, 2)
    assert made.network(x, torch.rand(2), condition).abs().max() == 0


def test_training_lowers_the_loss(name):
    made = build(name).train()
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        x, condition = data(made, 32)
        loss = made.loss(x, condition=condition)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-15:]) < 0.8 * np.mean(losses[:5])


def test_the_network_has_a_forward_derivative(model):
    """Likelihood graphs are traced through it."""
    network = model.network.double()
    try:
        x, condition = data(model, 2)
        x, time, tangent = x.double(), torch.rand(2).double(), torch.randn(x.shape).double()
        condition = condition.double() if condition is not None and condition.is_floating_point() else condition
        _, forward = torch.func.jvp(lambda y: network(y, time, condition), (x,), (tangent,))
        step = 1e-6
        ahead, behind = (network(x + sign * step * tangent, time, condition) for sign in (1, -1))
        torch.testing.assert_close(forward, (ahead - behind) / (2 * step), atol=1e-7, rtol=1e-5)
    finally:
        model.network.float()


def test_onnx_runtime_samples_and_scores_what_torch_does(model, tmp_path):
    bundle = load(export(model, tmp_path / "bundle"), "cpu")
    x, condition = data(model, 5)
    given = None if condition is None else condition.numpy()
    for options in ({}, {"sampler": "ddpm", "steps": 3}, {"sampler": "heun"}):
        expected = model.sample(5, seed=3, condition=condition, **options).numpy()
        actual = bundle.sample(5, seed=3, condition=given, **options)
        np.testing.assert_allclose(actual, expected, atol=1e-4 * model.scale, rtol=1e-4)
        assert np.ptp(expected) > 0.1
    with torch.no_grad():
        expected = model.log_prob(x, condition=condition, steps=3).numpy()
    np.testing.assert_allclose(bundle.log_prob(x.numpy(), condition=given, steps=3), expected, atol=1e-3, rtol=1e-4)
    options = {"steps": 50, "terms": 4, "seed": 2}
    expected = model.log_prob_bound(x, condition=condition, **options).numpy()
    np.testing.assert_allclose(bundle.log_prob_bound(x.numpy(), condition=given, **options), expected, rtol=1e-4)
