"""Bounded, circular and free columns: no mass outside, no seam, and densities that integrate to one."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError, DataError  # noqa: E402 - after the check for torch
from zoo.registry import installed  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402
from zoo_flows.nsf_circular import NSFCircular  # noqa: E402
from zoo_flows.transforms import Bounded  # noqa: E402

SMALL = {"hidden": 16, "blocks": 1, "bins": 4}


@pytest.fixture(scope="module")
def mixed(scramble):
    """A bounded, a free and a circular column, far from where they start."""
    torch.manual_seed(0)
    x = torch.stack([torch.rand(500) * 3, torch.randn(500), torch.rand(500) * 360], 1)
    model = NSFCircular(event_shape=[3], bounds={"0": [0, 3]}, circular={"2": [0, 360]}, transforms=4, **SMALL)
    model.prepare(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.double().eval()


@torch.no_grad()
def test_the_density_of_mixed_columns_integrates_to_one(mixed):
    # in the logit of the bounded column, where it is smooth, with its slope
    z = torch.linspace(-14, 14, 90, dtype=torch.float64)
    u = torch.sigmoid(z)
    free = torch.linspace(-9, 9, 70, dtype=torch.float64)
    angle = 360 * (torch.arange(40, dtype=torch.float64) + 0.5) / 40
    density = mixed.log_density(torch.cartesian_prod(3 * u, free, angle)).exp().reshape(90, 70, 40)
    weighted = density * (3 * u * (1 - u))[:, None, None]
    assert weighted.sum().item() * (28 / 89) * (18 / 69) * 9 == pytest.approx(1, abs=0.01)


@torch.no_grad()
def test_samples_stay_inside_and_there_is_no_density_outside(mixed):
    x = mixed.sample(2000, seed=0)
    assert (x[:, 0] >= 0).all()
    assert (x[:, 0] <= 3).all()
    assert (x[:, 2] >= 0).all()
    assert (x[:, 2] <= 360).all()
    outside = x[:3].clone()
    outside[:, 0] = torch.tensor([-1e-3, 3.001, 100.0])
    assert (mixed.log_prob(outside) == -math.inf).all()
    before, after = x[:50].clone(), x[:50].clone()
    before[:, 2], after[:, 2] = 360 - 1e-9, 1e-9
    torch.testing.assert_close(mixed.log_density(before), mixed.log_density(after), rtol=0, atol=1e-6)


def test_the_log_determinant_is_that_of_the_jacobian(mixed):
    x = mixed.sample(3, seed=1)
    _, log_det = mixed.to_noise(x)
    for row, expected in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: mixed.to_noise(v[None])[0][0], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], expected)


def test_what_is_no_bound_or_period_is_refused():
    wrong = (({"3": [0, 1]}, "columns 0 to 1"), ({"0": [1, 0]}, "lower first"), ({"0": [0]}, "two numbers"))
    for bounds, told in wrong:
        with pytest.raises(ConfigError, match=told):
            NSFCoupling(event_shape=[2], bounds=bounds)
    with pytest.raises(ConfigError, match="both circular and bounded"):
        NSFCircular(event_shape=[2], bounds={"0": [0, 1]}, circular={"0": [0, 1]})
    with pytest.raises(ConfigError, match="none has bounds"):
        NSFCircular(event_shape=[2], bounds={"0": [0, 1]})
    with pytest.raises(ConfigError, match="low and period do not apply"):
        NSFCircular(event_shape=[2], circular={"0": [0, 1]}, period=3.0)
    with pytest.raises(ConfigError, match="levels"):
        NSFCoupling(event_shape=[2], bounds={"0": [0, 1]}, levels=3)
    with pytest.raises(ConfigError, match="bounds are those of columns"):
        NSFCoupling(event_shape=[1, 2, 2], bounds={"0": [0, 1]})
    with pytest.raises(DataError, match=r"goes from .* is bounded to \[0, 1\]"):
        Bounded(2, {"0": [0, 1]}).prepare(torch.tensor([[2.0, 0.0], [0.5, 1.0]]))


VECTORS = (
    "nsf-coupling", "nsf-ar", "nsf-circular", "maf", "iaf", "naf", "umnn", "nice", "realnvp", "planar", "radial",
    "sylvester", "residual", "cnf", "tarflow",
)  # fmt: skip


@pytest.mark.sample("nsf-coupling", "nsf-circular", "maf", "planar", "cnf")
@pytest.mark.parametrize("name", VECTORS)
def test_every_flow_over_vectors_keeps_its_bounds(name):
    from zoo.models.building import build

    torch.manual_seed(0)
    config = {"event_shape": [2], "bounds": {"1": [-1.0, 2.0]}}
    if name == "nsf-circular":
        config["circular"] = {"0": [-math.pi, math.pi]}
    model = build(installed(), name, config).eval()
    x = torch.stack([torch.randn(300).clamp(-3, 3), 3 * torch.rand(300) - 1], 1)
    model.prepare(x)
    with torch.no_grad():
        scored = model.log_prob(torch.tensor([[0.0, 0.5], [0.0, 2.1]]))
        samples = model.sample(100, seed=0)
    assert torch.isfinite(scored[0])
    assert scored[1] == -math.inf
    assert (samples[:, 1] >= -1).all()
    assert (samples[:, 1] <= 2).all()


def test_the_diffusion_over_vectors_keeps_its_bounds_too():
    torch.manual_seed(0)
    model = MLPDiffusion(event_shape=[2], bounds={"0": [0.0, 3.0]}, hidden=16, blocks=1).eval()
    model.prepare(torch.stack([3 * torch.rand(300), torch.randn(300)], 1))
    samples = np.asarray(model.sample(200, seed=0, steps=4))
    assert samples[:, 0].min() >= 0
    assert samples[:, 0].max() <= 3
    z, log_det = model.codec.encode(torch.tensor([[1.0, 0.0], [3.5, 0.0]]))
    torch.testing.assert_close(model.codec.decode(z)[0], torch.tensor([1.0, 0.0]), rtol=1e-4, atol=1e-4)
    assert log_det[1] == -math.inf


@pytest.mark.full
def test_mixed_columns_are_exported_with_their_proof(mixed, tmp_path):
    pytest.importorskip("onnxruntime")
    from zoo.registry.cards import ModelCard
    from zoo_onnx.export import export

    model = mixed.float()
    card = ModelCard(name="mixed", family="flow", architecture="nsf-circular", event_shape=(3,))
    export(model, card, tmp_path / "bundle")
    mixed.double()
