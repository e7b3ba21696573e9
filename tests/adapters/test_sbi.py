"""Posteriors within the bounds of their prior, and sbi's own posteriors and estimators where sbi is installed."""

import json
import math
import subprocess
import sys

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
def exported(posterior, tmp_path_factory):
    return zoo.export(posterior, tmp_path_factory.mktemp("within") / "out")


@pytest.fixture(scope="module")
def bundle(exported):
    return runtime.load(exported)


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


def test_a_bounded_posterior_runs_where_there_is_neither_torch_nor_sbi(bundle, exported):
    code = """
import sys
sys.modules["torch"] = sys.modules["sbi"] = None
import numpy as np
from zoo import runtime
bundle = runtime.load(sys.argv[1])
c = np.zeros((5, 1), np.float32)
print(bundle.log_prob(bundle.sample(5, condition=c, seed=4), condition=c).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code, str(exported)], capture_output=True, text=True, check=True)
    c = np.zeros((5, 1), np.float32)
    expected = bundle.log_prob(bundle.sample(5, condition=c, seed=4), condition=c)
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-6)


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
        (
            distributions.Independent(distributions.Uniform(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 3.0])), 1),
            [-1.0, 0.0],
            [1.0, 3.0],
        ),
        (distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)), [-math.inf] * 2, [math.inf] * 2),
        (
            distributions.Independent(distributions.LogNormal(torch.zeros(2), torch.ones(2)), 1),
            [0.0] * 2,
            [math.inf] * 2,
        ),
    ],
)
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


def test_encodings_that_cost_much_are_shared_by_the_inputs_of_a_proof(posterior, monkeypatch):
    """Each graph behind the encoder gets 17 of them, in an order of its own, rather than new ones each time."""
    from zoo_onnx import budget
    from zoo_onnx.inputs import BATCHES, Inputs

    def drawn(name, n):
        graph = next(graph for graph in programs.graphs if graph.name == name)
        return {tuple(row) for row in inputs.ordinary(graph, {"batch": n, "rows": n})["embedding"].tolist()}

    programs, most = posterior.programs(), max(BATCHES)
    for allowed, shared in ((0.0, True), (math.inf, False)):
        monkeypatch.setattr(budget, "ENCODING", allowed)
        inputs = Inputs(posterior, programs)
        first = drawn("inverse", most)
        assert len(first) == most
        assert (drawn("log_prob", most) == first) == shared
        assert (drawn("log_prob", 3) < first) == shared


# -- sbi itself ------------------------------------------------------------------------------------------------------


def _trained(kind, *, prior=None, embedding=None, repeats=1, classifier="resnet"):
    sbi = pytest.importorskip("sbi.inference")
    from sbi.neural_nets import classifier_nn, posterior_flow_nn, posterior_nn, posterior_score_nn
    from sbi.utils import BoxUniform

    torch.manual_seed(0)
    prior = prior or BoxUniform(-2 * torch.ones(2), 2 * torch.ones(2))
    theta = prior.sample((400,))
    x = 100 + 5 * (theta.repeat(1, repeats) + 1 + 0.5 * torch.randn(400, 2 * repeats))
    network = nn.Identity() if embedding is None else embedding
    trainer = {
        "npe": lambda: sbi.NPE(prior, density_estimator=posterior_nn("maf", embedding_net=network)),
        "npe-zuko": lambda: sbi.NPE(prior, density_estimator=posterior_nn("zuko_maf", embedding_net=network)),
        "fmpe": lambda: sbi.FMPE(prior, vf_estimator=posterior_flow_nn(embedding_net=network)),
        "npse": lambda: sbi.NPSE(prior, vf_estimator=posterior_score_nn(embedding_net=network)),
        "nle": lambda: sbi.NLE(prior),
        "nre": lambda: sbi.NRE(prior, classifier=classifier_nn(classifier, embedding_net_x=network)),
    }[kind]()
    trainer._summary_writer = None  # it writes files
    estimator = trainer.append_simulations(theta, x).train(
        max_num_epochs=40 if kind == "nre" else 4, training_batch_size=100
    )
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
    some = samples[:200] if kind.startswith("npe") else samples[:50]  # sbi's own ODE is slow
    theirs = posterior.log_prob(torch.from_numpy(some), x=x[:1]).detach().numpy()
    difference = bundle.log_prob(some, condition=observed) - theirs
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
@pytest.mark.parametrize("classifier", ["linear", "mlp", "resnet"])
def test_the_log_ratio_of_an_nre_is_scored(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    estimator, _, theta, x = _trained("nre", classifier=classifier)
    bundle = runtime.load(zoo.export(zoo.wrap(estimator), tmp_path / "out"))
    expected = estimator(theta[:200], x[:200]).detach().numpy()
    np.testing.assert_allclose(bundle.log_prob(theta[:200].numpy(), condition=x[:200].numpy()), expected, atol=1e-4)
    assert expected.std() > 0.1  # it has learned something
    assert bundle.manifest.density == "ratio"
    with pytest.raises(zoo.ZooError, match="only scores"):
        bundle.sample(2, condition=x[0].numpy())


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["nle", "nre"])
def test_posteriors_by_mcmc_are_refused_by_name(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, posterior, *_ = _trained(kind)
    with pytest.raises(zoo.ExportError, match="MCMCPosterior of sbi draws by a search over its potential") as caught:
        zoo.wrap(posterior)
    assert "inference.train()" in caught.value.hint


class Summaries(nn.Module):
    """An embedding network of observations of 6 numbers, as a user of sbi writes one."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["npe", "npe-zuko", "fmpe", "npse", "nre"])
def test_an_embedding_network_and_the_z_scoring_before_it_are_a_graph_of_the_bundle(kind, tmp_path, monkeypatch):
    """Under an unbounded prior, so that nothing is estimated: what the bundle computes is what sbi does."""
    monkeypatch.chdir(tmp_path)
    prior = distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    estimator, posterior, theta, x = _trained(kind, prior=prior, embedding=Summaries(), repeats=3)
    model = zoo.wrap(estimator if kind == "nre" else posterior)
    bundle = runtime.load(zoo.export(model, tmp_path / "out"))
    assert "condition" in bundle.manifest.graphs
    n = 10 if kind in ("fmpe", "npse") else 50
    scored = bundle.log_prob(theta[:n].numpy(), condition=x[:n].numpy())
    if kind == "nre":
        expected = estimator(theta[:n], x[:n])
    elif kind in ("fmpe", "npse"):
        # sbi's own ODE, of one observation at a time
        expected = torch.cat([posterior.log_prob(theta[i : i + 1], x=x[i : i + 1]) for i in range(n)])
    else:
        expected = estimator.log_prob(theta[None, :n], x[:n])[0]
    np.testing.assert_allclose(scored, expected.detach().numpy(), atol=2e-3 if kind in ("fmpe", "npse") else 1e-4)
