"""Flows and their architectures: proper densities, conditions, dtypes, frozen copies and the graphs for export."""

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo_flows  # noqa: E402 - after the check for torch
from zoo import weights  # noqa: E402
from zoo.errors import ConditionError, ConfigError, DataError, ZooError  # noqa: E402
from zoo_flows.bases import DiagonalNormal, Mixture, Uniform  # noqa: E402
from zoo_flows.cnf import CNF  # noqa: E402
from zoo_flows.glow import Glow  # noqa: E402
from zoo_flows.iaf import IAF  # noqa: E402
from zoo_flows.maf import MAF  # noqa: E402
from zoo_flows.naf import NAF  # noqa: E402
from zoo_flows.nice import NICE  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402
from zoo_flows.nsf_ar import NSFAutoregressive  # noqa: E402
from zoo_flows.nsf_circular import NSFCircular  # noqa: E402
from zoo_flows.planar import PlanarFlow  # noqa: E402
from zoo_flows.radial import RadialFlow  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402
from zoo_flows.residual import ResidualFlow  # noqa: E402
from zoo_flows.sylvester import SylvesterFlow  # noqa: E402
from zoo_flows.transforms import FrozenLinear  # noqa: E402
from zoo_flows.umnn import UMNN  # noqa: E402

SMALL = {"transforms": 2, "bins": 5, "bound": 3.0, "hidden": 16, "blocks": 1}
CLASSES = {"kind": "classes", "size": 3}
VECTOR = {"kind": "vector", "size": 2}

CONFIGS = {
    "plane": {"event_shape": [2]},
    "permutation": {"event_shape": [3], "linear": "permutation"},
    "marginals": {"event_shape": [3], "marginal_bins": 4},
    "classes": {"event_shape": [2], "condition": CLASSES},
    "vector": {"event_shape": [2], "condition": VECTOR},
    "learned": {"event_shape": [2], "base": "learned", "condition": VECTOR},
    "mixture": {"event_shape": [2], "base": "mixture", "components": 3},
    "mixture-image": {"event_shape": [1, 2, 2], "base": "mixture", "components": 2},
    "image": {"event_shape": [1, 2, 3], "levels": 17, "condition": CLASSES, "marginal_bins": 4, "dropout": 0.5},
    "maf": {"event_shape": [2], "mixing": "lu"},
    "maf-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "residual": True},
    "maf-batchnorm": {"event_shape": [3], "batchnorm": True, "condition": VECTOR},
    "maf-mixture": {"event_shape": [3], "base": "mixture", "components": 3},
    "iaf": {"event_shape": [2], "mixing": "permutation"},
    "iaf-vector": {"event_shape": [2], "condition": VECTOR},
    "nsf-ar": {"event_shape": [2]},
    "nsf-ar-classes": {"event_shape": [2], "condition": CLASSES, "mixing": "reverse"},
    "naf": {"event_shape": [2]},
    "naf-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "mixing": "lu"},
    "naf-vector": {"event_shape": [2], "condition": VECTOR},
    "umnn": {"event_shape": [2]},
    "umnn-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES},
    "umnn-vector": {"event_shape": [2], "condition": VECTOR, "mixing": "permutation"},
    "nsf-circular": {"event_shape": [3]},
    "nsf-circular-vector": {"event_shape": [2], "low": 0.0, "period": 24.0, "condition": VECTOR},
    "nice": {"event_shape": [2]},
    "nice-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "mixing": "permutation"},
    "realnvp": {"event_shape": [3], "mixing": "householder"},
    "realnvp-vector": {"event_shape": [2], "condition": VECTOR},
    "realnvp-image": {"event_shape": [1, 4, 4], "scales": 2, "transforms": 1, "levels": 17, "condition": CLASSES},
    "realnvp-variational": {"event_shape": [1, 2, 3], "levels": 17, "dequantisation": "variational"},
    "realnvp-batchnorm": {"event_shape": [1, 2, 2], "scales": 1, "transforms": 1, "batchnorm": True},
    "glow": {"event_shape": [1, 4, 4], "levels": 17},
    "glow-variational": {"event_shape": [1, 4, 4], "levels": 17, "dequantisation": "variational", "condition": CLASSES},
    "glow-additive": {"event_shape": [1, 2, 4], "scales": 1, "coupling": "additive", "condition": VECTOR},
    "residual": {"event_shape": [3], "base": "learned"},
    "residual-vector": {"event_shape": [2], "condition": VECTOR},
    "residual-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "activation": "elu"},
    "cnf": {"event_shape": [3], "objective": "likelihood", "base": "learned"},
    "cnf-vector": {"event_shape": [2], "condition": VECTOR, "activation": "tanh"},
    "cnf-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "activation": "softplus"},
    "planar": {"event_shape": [3]},
    "planar-classes": {"event_shape": [2], "condition": CLASSES},
    "planar-plane": {"event_shape": [2]},
    "sylvester-plane": {"event_shape": [2]},
    "radial": {"event_shape": [3]},
    "radial-vector": {"event_shape": [2], "condition": VECTOR},
    "sylvester": {"event_shape": [3]},
    "sylvester-vector": {"event_shape": [2], "condition": VECTOR, "rank": 1, "reflections": 1},
}
#: architectures by the beginning of a config's name, and what makes them small; a coupling flow without one
ARCHITECTURES = {
    "maf": (MAF, {"transforms": 2, "hidden": [12, 12]}),
    "iaf": (IAF, {"transforms": 2, "hidden": [12, 8]}),
    "nsf-ar": (NSFAutoregressive, {"transforms": 2, "bins": 5, "bound": 3.0, "hidden": [12]}),
    "nsf-circular": (NSFCircular, {"transforms": 2, "bins": 5, "hidden": 12, "blocks": 1}),
    "naf": (NAF, {"transforms": 2, "units": 5, "hidden": [12]}),
    "umnn": (UMNN, {"transforms": 2, "signal": 3, "integrand": [6, 5], "hidden": [12]}),
    "nice": (NICE, {"transforms": 3, "hidden": 12, "blocks": 1}),
    "realnvp": (RealNVP, {"transforms": 2, "hidden": 12, "blocks": 1}),
    "glow": (Glow, {"scales": 2, "steps": 1, "hidden": 6}),
    "residual": (ResidualFlow, {"transforms": 2, "hidden": 12}),
    "cnf": (CNF, {"hidden": 8, "layers": 2, "steps": 64}),
    "planar": (PlanarFlow, {"transforms": 4}),
    "radial": (RadialFlow, {"transforms": 4}),
    "sylvester": (SylvesterFlow, {"transforms": 2}),
}
#: of two dimensions, whose densities are integrated
INTEGRATED = [
    *("plane", "learned", "mixture", "classes", "vector", "maf", "iaf-vector", "nsf-ar-classes", "naf-vector"),
    *("nice", "realnvp-vector", "planar-classes", "radial-vector", "sylvester-vector", "residual-vector"),
    "umnn-vector",
]
CLASSES_OF_FLOWS = [NSFCoupling, *(cls for cls, _ in ARCHITECTURES.values() if cls not in (Glow, NSFCircular))]


def architecture_of(config):
    """Class and arguments of a config."""
    for name, (cls, small) in ARCHITECTURES.items():
        if config.startswith(name):
            return cls, {**small, **CONFIGS[config]}
    return NSFCoupling, {**SMALL, **CONFIGS.get(config, {})}


@pytest.fixture(scope="session")
def make(scramble):
    def make(config, *, scale=0.3, **changes):
        torch.manual_seed(0)
        cls, arguments = architecture_of(config)
        return scramble(cls(**{**arguments, **changes}), scale=scale).eval()

    return make


@pytest.fixture(params=CONFIGS)
def model(request, make):
    return make(request.param)


def inputs(model, n, *, dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, *model.event_shape, generator=generator, dtype=dtype) * 2
    if isinstance(model, NSFCircular):
        x = model.to_data(x.clamp(-3.1, 3.1))[0] if model.condition is None else 12.0 + 2.0 * x
    condition = None
    if model.condition is not None:
        given = np.full((n, 2), 0.5) if model.condition.kind == "vector" else None
        condition = model.as_condition(model.condition.array(given, n))
    return x, condition


def density_of_base(base, z, condition):
    """As torch's own distributions have it."""
    distributions = torch.distributions
    if isinstance(base, Uniform):
        return torch.full_like(z[:, 0], -base.size * math.log(2 * math.pi))
    if isinstance(base, Mixture):
        parts = distributions.Normal(base.means, base._log_deviations().exp())
        mixture = distributions.MixtureSameFamily(
            distributions.Categorical(logits=base.logits), distributions.Independent(parts, 1)
        )
        return mixture.log_prob(z.flatten(1))
    mean, deviation = torch.zeros(()), torch.ones(())
    if isinstance(base, DiagonalNormal):  # z standardised is z·exp(s) + t
        shift, u = base._maps(condition)
        deviation = torch.exp(-u / (1 + u.abs() / math.log(1e3)))
        mean = -shift * deviation
    return distributions.Normal(mean, deviation).log_prob(z.flatten(1)).sum(1)


@torch.no_grad()
def test_sampling_inverts_scoring_in_float64(model):
    model = copy.deepcopy(model).double()
    x, condition = inputs(model, 40, dtype=torch.float64)
    z, log_det = model.to_noise(x, condition)
    back, inverse_log_det = model.to_data(z, condition)
    closeness = 1e-6 if isinstance(model, CNF) else 1e-10
    torch.testing.assert_close(back, x, rtol=closeness, atol=closeness)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=1e-8, atol=1e-8)
    base = density_of_base(model.base, z, condition)
    torch.testing.assert_close(model.log_density(x, condition), base + log_det)


@torch.no_grad()
def test_scoring_inverts_sampling_in_float32(model):
    """Measured in z: where these random flows are flat, x is worse determined by a rounded z than float32 shows."""
    x, condition = inputs(model, 200)
    z, _ = model.to_noise(x, condition)
    back, _ = model.to_data(z, condition)
    again, _ = model.to_noise(back, condition)
    assert ((again - z).abs() <= 1e-4 * (1 + z.abs())).all()


@torch.no_grad()
@pytest.mark.parametrize("cls", [RealNVP, Glow])
def test_sampling_inverts_scoring_of_images_in_float32_at_default_sizes(scramble, cls):
    torch.manual_seed(0)
    model = cls(event_shape=[1, 8, 8], scales=2).eval()
    for name, parameter in model.named_parameters():
        if "packed" not in name:  # 1×1 convolutions begin as rotations
            parameter.copy_(0.02 * torch.randn(parameter.shape))
    x, _ = inputs(model, 50)
    z, _ = model.to_noise(x)
    torch.testing.assert_close(model.to_data(z)[0], x, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("cls", [RealNVP, Glow])
def test_a_fresh_flow_of_images_is_a_fitted_gaussian(cls):
    """1×1 convolutions begin as rotations and couplings as the identity, so the base stays what it is."""
    x = 3.0 + 0.2 * torch.randn(3000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model = cls(event_shape=[1, 4, 4], scales=2)
    model.prepare(x)
    expected = torch.distributions.Normal(x.mean(0), x.std(0)).log_prob(x).flatten(1).sum(1)
    difference = (model.log_prob(x) - expected).abs()
    assert difference.mean() < 0.1
    assert difference.max() < 1.0


@torch.no_grad()
@pytest.mark.parametrize("shape", [[2], [1, 8, 8]])
@pytest.mark.parametrize("cls", CLASSES_OF_FLOWS)
def test_sampling_inverts_scoring_in_float32_at_default_sizes(scramble, cls, shape):
    torch.manual_seed(0)
    model = scramble(cls(event_shape=shape), scale=0.02).eval()
    x, _ = inputs(model, 200)
    z, _ = model.to_noise(x)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(model.to_data(z)[0], x, rtol=1e-4, atol=1e-4)


def test_log_det_is_that_of_the_jacobian(model):
    model = copy.deepcopy(model).double()
    x, condition = inputs(model, 4, dtype=torch.float64)
    _, log_det = model.to_noise(x, condition)
    for i in range(4):
        one = None if condition is None else condition[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(lambda v, c=one: model.to_noise(v[None], c)[0][0], x[i])
        torch.testing.assert_close(torch.linalg.slogdet(jacobian.reshape(model.size, -1))[1], log_det[i])


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("config", INTEGRATED)
def test_the_density_integrates_to_one(make, config, scale):
    model = copy.deepcopy(make(config, scale=scale)).double()
    # the image of a ring of base noise bounds the region that holds all but 1e-7 of the mass
    ring = 6.0 * torch.nn.functional.normalize(torch.randn(400, *model.noise_shape, dtype=torch.float64), dim=1)
    for label in (0, 2):
        value = [0.7 * label, -label] if config in ("learned", "vector") or config.endswith("-vector") else label
        condition = None if model.condition is None else model.condition_tensor(value, 1)
        ends = model.inverse(ring, None if condition is None else condition.expand(400, *condition.shape[1:]))
        low, high = ends.min(0).values - 0.5, ends.max(0).values + 0.5
        axes = [
            torch.linspace(a, b, 351, dtype=torch.float64) for a, b in zip(low.tolist(), high.tolist(), strict=True)
        ]
        cell = math.prod((axis[1] - axis[0]).item() for axis in axes)
        points = torch.cartesian_prod(*axes)
        conditions = None if condition is None else condition.expand(len(points), *condition.shape[1:])
        assert model.log_density(points, conditions).exp().sum().item() * cell == pytest.approx(1.0, abs=2e-3)
        if condition is None:
            break


@torch.no_grad()
@pytest.mark.parametrize(
    "config", ["plane", "mixture", "maf", "iaf", "nsf-ar", "naf", "umnn", "nice", "planar-plane", "sylvester-plane"]
)
def test_samples_follow_the_density(make, config):
    """Half of them lie where the density says that half of the mass lies: in the ball of that radius in z."""
    torch.manual_seed(0)
    model = make(config)
    x = model.sample(20_000, seed=3)
    if config != "mixture":
        inside = model.to_noise(x)[0].square().sum(1) < 2 * math.log(2)
        assert inside.double().mean().item() == pytest.approx(0.5, abs=0.02)
    # and independently of the inverse: importance weights against a wide Gaussian make the density's mean of x
    wide = torch.distributions.Normal(x.mean(0), 2.5 * x.std(0))
    y = wide.sample((200_000,))
    weight = (model.log_density(y) - wide.log_prob(y).sum(1)).exp()
    assert weight.mean().item() == pytest.approx(1.0, abs=0.05)
    torch.testing.assert_close((weight[:, None] * y).mean(0), x.mean(0), rtol=0.1, atol=0.1)


def test_sampling_is_seeded(make):
    model = make("classes")
    first = model.sample(5, seed=7)
    torch.testing.assert_close(model.sample(5, seed=7), first, rtol=0, atol=0)
    torch.testing.assert_close(model.sample(3, seed=7), first[:3])
    assert not torch.allclose(model.sample(5, seed=8), first)


@torch.no_grad()
@pytest.mark.parametrize(("config", "values"), [("classes", (0, 1)), ("vector", ([0.0, 0.0], [1.0, 0.0]))])
def test_the_condition_changes_density_and_samples(make, config, values):
    model = make(config)
    x, _ = inputs(model, 10)
    one, other = (model.log_prob(x, condition=v) for v in values)
    assert not torch.allclose(one, other)
    one, other = (model.sample(10, condition=v, seed=0) for v in values)
    assert not torch.allclose(one, other)


def test_scoring_without_a_needed_condition_is_refused(make):
    model = make("classes")
    with pytest.raises(ConditionError, match="scoring needs the classes"):
        model.log_prob(torch.zeros(1, 2))
    with pytest.raises(DataError, match=r"\(1, 3\) given, \[n, 2\] expected"):
        make("plane").log_prob(torch.zeros(1, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_are_kept(model, dtype):
    model = copy.deepcopy(model).to(dtype)
    x, condition = inputs(model, 3, dtype=dtype)
    assert model.log_prob(x, condition=condition).dtype == dtype
    assert model.sample(2, condition=None if condition is None else condition[:2], seed=0).dtype == dtype


def test_every_parameter_gets_a_gradient(model):
    model = copy.deepcopy(model).train()
    x, condition = inputs(model, 200)
    model.loss(x, condition=condition).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("cls", [cls for cls in CLASSES_OF_FLOWS if cls is not NAF])  # whose sigmoids begin apart
def test_prepared_on_data_a_fresh_flow_is_a_fitted_gaussian(cls):
    x = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 5.0]) + 3.0
    model = cls(event_shape=[2])
    model.prepare(x)
    expected = torch.distributions.Normal(x.mean(0), x.std(0)).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x).detach(), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="component 0"):
        model.prepare(torch.ones(5, 2))


def test_activation_normalisation_starts_at_what_it_is_given(scramble):
    """Behind couplings that are not fresh, the base noise of the data it was prepared on has mean 0 and deviation 1."""
    torch.manual_seed(0)
    model = scramble(RealNVP(event_shape=[3], transforms=2, condition=VECTOR), scale=0.3)
    x = torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)).exp()
    model.prepare(x)
    z, _ = model.to_noise(x, torch.zeros(3000, 2))
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.std(0), torch.ones(3), rtol=1e-4, atol=0)


def test_weights_and_config_make_the_same_model(make, tmp_path):
    model = make("image")
    weights.write(tmp_path / "w.safetensors", weights.state_arrays(model))
    torch.manual_seed(99)
    other = NSFCoupling(**SMALL, **CONFIGS["image"]).eval()
    weights.load_into(other, weights.read(tmp_path / "w.safetensors"), source="test")
    x, condition = inputs(model, 5)
    assert torch.equal(other.log_prob(x, condition=condition), model.log_prob(x, condition=condition))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_shape": []}, "event_shape"),
        ({"event_shape": [1]}, "2 components or more"),
        ({"event_shape": [2], "transforms": 0}, "transforms must be 1 or more"),
        ({"event_shape": [2], "bins": 1}, "bins must be 2 or more"),
        ({"event_shape": [2], "bound": 0.0}, "bound must be above 0"),
        ({"event_shape": [2], "dropout": 1.0}, "dropout must be in"),
        ({"event_shape": [2], "linear": "qr"}, "no linear layer named 'qr'"),
        ({"event_shape": [2], "levels": 1}, "2 levels or more"),
        ({"event_shape": [2], "condition": {"kind": "classes", "size": 0}}, "size 1 up"),
    ],
)
def test_what_cannot_be_built_is_refused(config, message):
    with pytest.raises(ZooError, match=message) as caught:
        NSFCoupling(**config)
    assert isinstance(caught.value, ConfigError) or "qr" in message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_shape": [0]}, "event_shape"),
        ({"event_shape": [2], "transforms": 0}, "transforms must be 1 or more"),
        ({"event_shape": [2], "hidden": []}, r"hidden layers of width 1 or more, not \[\]"),
        ({"event_shape": [2], "hidden": [8, 9], "residual": True}, r"one width, not \[8, 9\]"),
        ({"event_shape": [2], "mixing": "qr"}, "no linear layer named 'qr'"),
        ({"event_shape": [2], "levels": 1}, "2 levels or more"),
    ],
)
@pytest.mark.parametrize("cls", [MAF, IAF, NSFAutoregressive, NAF, UMNN])
def test_what_cannot_be_autoregressive_is_refused(cls, config, message):
    with pytest.raises(ZooError, match=message):
        cls(**config)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (NICE, {"event_shape": [1]}, "2 components or more"),
        (NICE, {"event_shape": [2], "blocks": -1}, "blocks must be 0 or more"),
        (NICE, {"event_shape": [2], "mixing": "qr"}, "no linear layer named 'qr'"),
        (RealNVP, {"event_shape": [2], "hidden": 0}, "hidden must be 1 or more"),
        (RealNVP, {"event_shape": [2], "dropout": -0.1}, "dropout must be in"),
        (ResidualFlow, {"event_shape": [2], "lipschitz": 1.0}, "between 0 and 1, not 1.0"),
        (ResidualFlow, {"event_shape": [2], "layers": 0}, "layers must be 1 or more"),
        (ResidualFlow, {"event_shape": [2], "activation": "qr"}, "no activation named 'qr'"),
        (NAF, {"event_shape": [2], "units": 0}, "units must be 1 or more"),
        (UMNN, {"event_shape": [2], "integrand": []}, "integrand must be 1 or more"),
        (UMNN, {"event_shape": [2], "nodes": 1}, "nodes must be 2 or more"),
        (UMNN, {"event_shape": [2], "bound": 0.0}, "bound must be above 0"),
        (PlanarFlow, {"event_shape": [2], "transforms": 0}, "transforms must be 1 or more"),
        (RadialFlow, {"event_shape": []}, "event_shape"),
        (RealNVP, {"event_shape": [2], "base": "qr"}, "no base distribution named 'qr'"),
        (RealNVP, {"event_shape": [2], "base": "mixture", "components": 0}, "1 component or more"),
        (RealNVP, {"event_shape": [1, 6, 4], "scales": 2}, "multiples of 4, not .1, 6, 4."),
        (RealNVP, {"event_shape": [1, 4, 4], "scales": 2, "mixing": "lu"}, "in turn, without mixing 'lu'"),
        (Glow, {"event_shape": [4, 4]}, "channels, height, width"),
        (Glow, {"event_shape": [1, 4, 4], "steps": 0}, "steps must be 1 or more"),
        (Glow, {"event_shape": [1, 4, 4], "coupling": "qr"}, "no coupling named 'qr'"),
        (Glow, {"event_shape": [1, 4, 4], "dequantisation": "variational"}, "for whole numbers"),
        (RealNVP, {"event_shape": [4], "levels": 4, "dequantisation": "qr"}, "no dequantisation named 'qr'"),
        (NSFCircular, {"event_shape": [2], "period": 0.0}, "length above 0"),
        (NSFCircular, {"event_shape": [2], "bins": 1}, "bins must be 2 or more"),
        (SylvesterFlow, {"event_shape": [2], "rank": 3}, "rank from 1 to 2, not 3"),
        (SylvesterFlow, {"event_shape": [2], "reflections": -1}, "reflections must be 0 or more"),
    ],
)
def test_what_no_flow_can_be_is_refused(cls, config, message):
    with pytest.raises(ConfigError if "qr" not in message else ZooError, match=message):
        cls(**config)


@pytest.mark.parametrize(
    ("name", "cls"), [("nsf-coupling", NSFCoupling), *((n, c) for n, (c, _) in ARCHITECTURES.items())]
)
def test_architectures_are_described(name, cls):
    (description,) = (a for a in zoo_flows.zoo_architectures() if a.name == name)
    assert description.entry == f"{cls.__module__}:{cls.__name__}"
    assert description.family == "flow"
    assert "arXiv:" in description.paper


def test_every_architecture_has_a_config_here():
    entries = {f"{cls.__module__}:{cls.__name__}" for cls, _ in map(architecture_of, CONFIGS)}
    assert {each.entry for each in zoo_flows.zoo_architectures()} == entries


@torch.no_grad()
def test_frozen_is_equal_and_leaves_the_model_alone(model):
    model = copy.deepcopy(model).double().train()
    before = copy.deepcopy(model.state_dict())
    frozen = model.frozen()
    assert model.training
    assert not frozen.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(p.requires_grad for p in frozen.parameters())
    assert all(p.requires_grad for p in model.parameters())
    model.eval()
    x, condition = inputs(model, 20, dtype=torch.float64)
    torch.testing.assert_close(frozen.log_density(x, condition), model.log_density(x, condition))
    noise = torch.randn(20, *model.noise_shape, dtype=torch.float64)
    torch.testing.assert_close(frozen.inverse(noise, condition), model.inverse(noise, condition))
    if any(isinstance(t, FrozenLinear) for t in frozen.transforms):
        assert not any("packed" in key for key in frozen.state_dict())


@torch.no_grad()
def test_extremes_are_complete_and_finite(model):
    for graph in model.programs().graphs:
        assert graph.extremes
        for maker in graph.extremes:
            for n in (1, 17):
                values = maker(n)
                assert list(values) == [port.name for port in graph.inputs]
                for port in graph.inputs:
                    assert values[port.name].shape == (n, *port.shape[1:])
                    assert str(values[port.name].dtype) == port.dtype
                out = graph.module(*(torch.from_numpy(values[port.name]) for port in graph.inputs))
                assert out.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("config", ["plane", "image"])
def test_graphs_trace_with_any_batch_size(make, config):
    for graph in make(config).programs().graphs:
        traced_at, run_at = (
            tuple(torch.from_numpy(graph.extremes[0](n)[port.name]) for port in graph.inputs) for n in (3, 11)
        )
        batch = torch.export.Dim("batch")
        program = torch.export.export(graph.module, traced_at, dynamic_shapes=(tuple({0: batch} for _ in traced_at),))
        torch.testing.assert_close(program.module()(*run_at), graph.module(*run_at))
        names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        for unwanted in ("solve", "searchsorted", "gather", "index_put", "nonzero", "log1p", "expm1", "log_sigmoid"):
            assert not [name for name in names if unwanted in name], unwanted
