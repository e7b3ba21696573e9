"""Posteriors within the bounds of their prior, and sbi's own posteriors and estimators where sbi is installed."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx_ir")
from torch import distributions, nn  # noqa: E402 - after the check

import zoo  # noqa: E402
from zoo import runtime  # noqa: E402
from zoo_sbi.bounds import bounds_of  # noqa: E402
from zoo_sbi.posterior import SbiPosterior  # noqa: E402
from zoo_sbi.program import Within  # noqa: E402


class Normal(zoo.Wrapped):
    """x ~ N(shift(c), 1)."""

    of = nn.Linear

    def own_event_shape(self):
        return (2,)

    def inverse(self, z, condition=None):
        return self.flow(condition) + z

    def log_density(self, x, condition=None):
        return (-0.5 * (x - self.flow(condition)).square() - 0.5 * math.log(2 * math.pi)).sum(1)


@pytest.fixture(scope="module")
def posterior():
    shift = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        shift.weight.copy_(torch.tensor([[0.5], [-0.5]]))
    return SbiPosterior(Normal(shift, None, 1), torch.tensor([-1.0, -math.inf]), torch.tensor([1.0, 0.5])).eval()


@pytest.fixture(scope="module")
def bundle(posterior, tmp_path_factory):
    return runtime.load(zoo.export(posterior, tmp_path_factory.mktemp("within") / "out"))


def test_samples_stay_within_the_bounds_and_are_those_of_pytorch(posterior, bundle):
    c = np.linspace(-1, 1, 300, dtype=np.float32)[:, None]
    x = bundle.sample(300, condition=c, seed=4)
    assert (x[:, 0] >= -1).all()
    assert (x[:, 0] <= 1).all()
    assert (x[:, 1] <= 0.5).all()
    assert x[:, 1].min() < -1.5  # the other side is open
    np.testing.assert_allclose(x, posterior.sample(300, condition=c, seed=4).numpy(), atol=1e-6)
    # sample i has its own noise in any batch
    np.testing.assert_allclose(bundle.sample(300, condition=c, seed=4, batch_size=17), x, atol=1e-6)


def test_the_density_is_that_of_a_normal_within_the_bounds(bundle):
    """The share within is known: a product of differences of Φ; 1,024 points find it within a hundredth."""
    c = np.array([[0.0], [1.0], [-1.0]], np.float32)
    x = np.array([[0.2, -0.3], [0.9, 0.4], [-0.5, 0.0]], np.float32)
    mean = torch.from_numpy(c @ np.array([[0.5, -0.5]], np.float32))
    phi = distributions.Normal(0.0, 1.0)
    within = (phi.cdf(1 - mean[:, 0]) - phi.cdf(-1 - mean[:, 0])) * phi.cdf(0.5 - mean[:, 1])
    expected = phi.log_prob(torch.from_numpy(x) - mean).sum(1) - within.log()
    np.testing.assert_allclose(bundle.log_prob(x, condition=c), expected, atol=0.01)
    assert bundle.log_prob(np.array([[1.01, 0.0]], np.float32), condition=c[:1]).tolist() == [-math.inf]


def test_an_observation_whose_posterior_lies_outside_is_told(posterior, bundle):
    far = np.array([80.0], np.float32)
    for sample in (bundle.sample, posterior.sample):
        with pytest.raises(zoo.ZooError, match="3 samples have none of 1000 draws within the bounds"):
            sample(3, condition=far, seed=0)


@pytest.mark.parametrize(
    ("prior", "low", "high"),
    [
        (distributions.Independent(distributions.Uniform(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 3.0])), 1),
         [-1.0, 0.0], [1.0, 3.0]),
        (distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)), [-math.inf] * 2, [math.inf] * 2),
        (distributions.Independent(distributions.LogNormal(torch.zeros(2), torch.ones(2)), 1), [0.0] * 2,
         [math.inf] * 2),
    ],
)  # fmt: skip
def test_bounds_are_those_of_the_priors_support(prior, low, high):
    assert [side.tolist() for side in bounds_of(prior, 2)] == [low, high]


def test_a_prior_that_is_no_box_is_refused_by_name():
    with pytest.raises(zoo.ExportError, match=r"the support .*Simplex.* is not a box") as caught:
        bounds_of(distributions.Dirichlet(torch.ones(2)), 2)
    assert "posterior_estimator" in caught.value.hint


@pytest.mark.parametrize("fields", [{"low": "0 1"}, {"low": "2"}, {"rounds": 0}, {"rounds": True}, {"high": "a"}])
def test_a_manifests_bounds_are_checked(fields):
    with pytest.raises(ValueError, match=r"bounds|rounds|float"):
        Within(**{"graph": "inverse", "low": "0", "high": "1", "rounds": 10, **fields})


# -- sbi itself ------------------------------------------------------------------------------------------------------


def _trained(kind):
    sbi = pytest.importorskip("sbi.inference")
    from sbi.utils import BoxUniform

    torch.manual_seed(0)
    prior = BoxUniform(-2 * torch.ones(2), 2 * torch.ones(2))
    theta = prior.sample((400,))
    x = 100 + 5 * (theta + 1 + 0.5 * torch.randn_like(theta))
    trainer = {
        "npe": lambda: sbi.NPE(prior),
        "npe-zuko": lambda: sbi.NPE(prior, density_estimator="zuko_maf"),
        "fmpe": lambda: sbi.FMPE(prior),
        "npse": lambda: sbi.NPSE(prior),
        "nle": lambda: sbi.NLE(prior),
        "nre": lambda: sbi.NRE(prior),
    }[kind]()
    trainer._summary_writer = None
    estimator = trainer.append_simulations(theta, x).train(max_num_epochs=4, training_batch_size=100)
    return estimator, trainer.build_posterior(estimator), theta, x


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("kind", ["npe", "npe-zuko", "fmpe", "npse"])
def test_a_posterior_of_sbi_is_sampled_and_scored_within_its_prior(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # sbi writes its logs here
    _, posterior, _, x = _trained(kind)
    bundle = runtime.load(zoo.export(zoo.wrap(posterior), tmp_path / "out"))
    observed = x[:1].numpy()[0]
    samples = bundle.sample(2000, condition=observed, seed=1)
    expected = posterior.sample((2000,), x=x[:1], show_progress_bars=False).numpy()
    assert np.abs(samples).max() <= 2
    spread = expected.std(0)
    assert (np.abs(samples.mean(0) - expected.mean(0)) < 5 * spread * math.sqrt(2 / 2000)).all()
    assert (np.abs(samples.std(0) / spread - 1) < 0.1).all()
    difference = (
        bundle.log_prob(samples[:200], condition=observed)
        - posterior.log_prob(torch.from_numpy(samples[:200]), x=x[:1]).detach().numpy()
    )
    # both estimate the share within the bounds, or sbi leaves it out
    assert np.abs(difference - difference.mean()).max() < 0.02
    if kind.startswith("npe"):
        assert abs(difference.mean()) < 0.05


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_likelihood_of_an_nle_is_sampled_and_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    estimator, _, theta, _ = _trained("nle")
    bundle = runtime.load(zoo.export(zoo.wrap(estimator), tmp_path / "out"))
    samples = bundle.sample(2000, condition=theta[0].numpy(), seed=1)
    expected = estimator.sample((2000,), theta[:1])[:, 0].detach().numpy()
    assert (np.abs(samples.mean(0) - expected.mean(0)) < 5 * expected.std(0) * math.sqrt(2 / 2000)).all()
    scored = estimator.log_prob(torch.from_numpy(samples[:200])[:, None], theta[:1])[:, 0].detach().numpy()
    np.testing.assert_allclose(bundle.log_prob(samples[:200], condition=theta[0].numpy()), scored, atol=1e-3)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_what_sbi_samples_by_mcmc_and_ratios_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ratio, posterior, *_ = _trained("nre")
    with pytest.raises(zoo.ExportError, match="MCMCPosterior of sbi draws by a search over its potential"):
        zoo.wrap(posterior)
    with pytest.raises(zoo.ExportError, match="RatioEstimator of sbi is none of NFlowsFlow, ZukoFlow and a vector"):
        zoo.wrap(ratio)
