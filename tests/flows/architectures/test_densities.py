"""Flows: densities are those of their samples, and integrate to one."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConditionError, DataError  # noqa: E402 - after the check for torch
from zoo_flows.bases import DiagonalNormal, Logistic, Mixture, Uniform  # noqa: E402

#: of two dimensions, whose densities are integrated
INTEGRATED = [
    *("plane", "learned", "mixture", "classes", "vector", "maf", "iaf-vector", "nsf-ar-classes", "naf-vector"),
    *("nice", "realnvp-vector", "planar-classes", "radial-vector", "sylvester-vector", "residual-vector"),
    *("umnn-vector", "tarflow"),
]
#: integrals of integrals take their time
SLOW = pytest.mark.full


def density_of_base(base, z, condition):
    """As torch's own distributions have it."""
    distributions = torch.distributions
    if isinstance(base, Uniform):
        return torch.full_like(z.flatten(1)[:, 0], -base.size * math.log(2 * base.bound))
    if isinstance(base, Logistic):
        uniform = distributions.Uniform(torch.zeros((), dtype=z.dtype), torch.ones((), dtype=z.dtype))
        logistic = distributions.TransformedDistribution(uniform, [distributions.SigmoidTransform().inv])
        return logistic.log_prob(z.flatten(1)).sum(1)
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


def test_densities_and_samples_have_the_gradient_of_a_context(model, inputs):
    if model.condition is None or model.condition.kind != "vector":
        pytest.skip("no context")
    model = copy.deepcopy(model).double()
    x, condition = inputs(model, 3, dtype=torch.float64)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def scored(context):
        return model.log_prob(x, condition=context).sum()

    def drawn(context):
        return (model.sample(3, condition=context, seed=1) * weights).sum()

    direction = torch.tensor([[0.6, -0.8]], dtype=torch.float64).expand(3, 2)
    for value in (scored, drawn):
        wanted = condition.double().requires_grad_()
        (gradient,) = torch.autograd.grad(value(wanted), wanted)
        with torch.no_grad():
            step = 1e-5 * direction
            difference = (value(wanted + step) - value(wanted - step)) / 2e-5
        assert difference.abs() > 1e-3
        torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_density_is_that_of_the_noise_times_the_change_of_volume(model, inputs):
    model = copy.deepcopy(model).double()
    x, condition = inputs(model, 40, dtype=torch.float64)
    z, log_det = model.to_noise(x, condition)
    base = density_of_base(model.base, z, model.context(condition))
    torch.testing.assert_close(model.log_density(x, condition), base + log_det)


def test_log_det_is_that_of_the_jacobian(model, inputs):
    model = copy.deepcopy(model).double()
    x, condition = inputs(model, 4, dtype=torch.float64)
    x.requires_grad_()
    z, log_det = model.to_noise(x, condition)
    # no sample sees another, so the gradients of a sum over them are rows of all their Jacobians
    rows = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0].flatten(1) for column in z.flatten(1).unbind(1)]
    expected = torch.linalg.slogdet(torch.stack(rows, 1))[1]
    torch.testing.assert_close(log_det, expected, rtol=1e-8, atol=1e-8)


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.0, pytest.param(0.15, marks=pytest.mark.full), 0.3])
@pytest.mark.parametrize("config", [c if c != "umnn-vector" else pytest.param(c, marks=SLOW) for c in INTEGRATED])
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
    "config",
    [
        *("plane", "mixture", "maf", "iaf", "nsf-ar", "naf", "tarflow", "nice", "planar-plane", "sylvester-plane"),
        pytest.param("umnn", marks=SLOW),
    ],
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
def test_the_condition_changes_density_and_samples(make, config, values, inputs):
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
