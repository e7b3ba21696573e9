"""``zoo.Diffusion`` around networks of one's own: the documented contract, its example, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import zoo  # noqa: E402
from zoo.errors import ConfigError, UsageError  # noqa: E402
from zoo.paths import RectifiedFlow, path_from  # noqa: E402
from zoo_diffusion.prediction import denoised, slope, target  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs" / "diffusion.md"
EXAMPLE, ARCHITECTURE = re.findall(
    r"^```python\n(.*?)^```",
    DOCS.read_text("utf-8").partition("## Your own network")[2].partition("\n## ")[0],
    re.M | re.S,
)


class Probe(nn.Module):
    """Notes what it is called with, and returns what it is told to."""

    def __init__(self, answer=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.answer, self.seen = answer, []

    def forward(self, x, time, condition=None):
        self.seen.append((x, time, condition))
        return x * self.weight if self.answer is None else self.answer(x)


@pytest.mark.slow
def test_the_example_of_the_docs_trains_exports_and_runs(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        names = {}
        exec(compile(EXAMPLE, str(DOCS), "exec"), names)
        exec(compile(ARCHITECTURE, str(DOCS), "exec"), names)
    samples, model = names["samples"], names["model"]
    # the data are N((1, -0.5), 0.3²)
    np.testing.assert_allclose(samples.mean(0), [1.0, -0.5], atol=0.12)
    np.testing.assert_allclose(samples.std(0), 0.3, atol=0.08)
    np.testing.assert_allclose(model.sample(500, seed=0).numpy(), samples, atol=1e-5)
    np.testing.assert_allclose(model.log_prob(torch.from_numpy(samples)).numpy(), names["densities"], atol=1e-3)
    assert names["runnable"].manifest.density == "estimate"
    built = names["VelocityDiffusion"](size=3, hidden=8, path="vp-linear", likelihood=False)
    assert (built.event_shape, built.density, built.path.name) == ((3,), "none", "vp-linear")


def test_the_public_name_is_the_class_that_the_built_in_plugin_describes():
    from zoo_diffusion.diffusion import Diffusion

    assert zoo.Diffusion is Diffusion
    assert zoo.installed().load_entry(zoo.installed().family("diffusion")) is Diffusion


@pytest.mark.parametrize(
    ("condition", "given", "seen"),
    [
        (None, None, None),
        (zoo.Condition.classes(3), torch.tensor([2, 0]), torch.tensor([2, 0])),
        (zoo.Condition.vector(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])),
    ],
)
def test_the_network_sees_what_the_contract_says(condition, given, seen):
    network = Probe()
    model = zoo.Diffusion(
        network, [2, 3], condition=condition, path="vp-linear", shift=4.0, scale=2.0, class_dropout=0.0
    )
    model.loss(torch.full((2, 2, 3), 4.0), condition=given)
    ((x, time, told),) = network.seen
    assert x.shape == (2, 2, 3)
    assert time.shape == (2,)
    assert ((time >= 0) & (time <= 1000)).all()
    if seen is None:
        assert told is None
    else:
        torch.testing.assert_close(told, seen, check_dtype=False)
    model.sample(2, steps=1, condition=None if given is None else given.numpy(), seed=0)
    assert network.seen[-1][0].shape == (2, 2, 3)
    assert network.seen[-1][1].shape == (2,)


def test_the_null_class_is_the_number_after_the_last():
    network = Probe()
    condition = zoo.Condition.classes(3, required=False)
    model = zoo.Diffusion(network, (2,), condition=condition, class_dropout=1.0)
    model.loss(torch.zeros(4, 2), condition=torch.tensor([0, 1, 2, 0]))
    assert network.seen[0][2].tolist() == [3] * 4


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda x: x[:, :1], r"returned a tensor \[n, 1\], expected \[n, 2\]"),
        (lambda x: x.sum(1), r"returned a tensor \[n, \], expected \[n, 2\]"),
        (lambda x: x[:, None], r"returned a tensor \[n, 1, 2\], expected \[n, 2\]"),
        (lambda x: (x, None), "returned tuple, not a tensor"),
    ],
)
def test_an_output_that_would_be_broadcast_or_is_no_tensor_is_refused(answer, told):
    model = zoo.Diffusion(Probe(answer), (2,))
    with pytest.raises(ConfigError, match=told):
        model.loss(torch.zeros(3, 2))
    with pytest.raises(ConfigError, match=told):
        model.sample(2, seed=0)


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((lambda x, t, c: x, (2,)), {}, r"torch\.nn\.Module, not function"),
        ((Probe(), (2.0,)), {}, "whole numbers above 0"),
        ((Probe(), (0,)), {}, "whole numbers above 0"),
        ((Probe(), (2,)), {"likelihood": "no"}, "likelihood must be true or false"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, options, told):
    with pytest.raises(ConfigError, match=told):
        zoo.Diffusion(*arguments, **options)


# -- without a likelihood ---------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(2, 8), nn.Linear(8, 2)

    def forward(self, x, time, condition=None):
        h = self.inner(x).reshape(-1, 1, 4, 2)
        return self.outer(F.scaled_dot_product_attention(h, h, h).reshape(-1, 8))


def test_without_a_likelihood_there_is_no_divergence_graph_and_a_sentence():
    whole, sampling = zoo.Diffusion(Attention(), (2,)), zoo.Diffusion(Attention(), (2,), likelihood=False)
    assert {graph.name for graph in whole.programs().graphs} == {"step", "divergence"}
    programs = sampling.programs()
    assert ([graph.name for graph in programs.graphs], programs.log_prob) == (["step"], None)
    assert sampling.density == "none"
    for score in (sampling.log_prob, sampling.log_prob_with_errors):
        with pytest.raises(UsageError, match="built with likelihood = False and cannot score data"):
            score(torch.zeros(1, 2))
    with pytest.raises(ConfigError, match="no forward-mode derivative") as caught:
        whole.log_prob(torch.zeros(1, 2))
    assert "likelihood = False" in caught.value.hint
    # noise of data takes the ODE, but no derivative
    assert sampling.encode(torch.zeros(1, 2), steps=2).shape == (1, 2)


def test_a_network_without_a_forward_mode_derivative_exports_without_a_likelihood(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from zoo.exporting import export
    from zoo.runtime import load

    torch.manual_seed(0)
    model = zoo.Diffusion(Attention(), (2,), likelihood=False).eval()
    bundle = load(export(model, tmp_path / "sampling"))
    assert (bundle.manifest.density, bundle.manifest.log_prob) == ("none", None)
    np.testing.assert_allclose(bundle.sample(8, seed=3, steps=4), model.sample(8, seed=3, steps=4).numpy(), atol=1e-5)
    with pytest.raises(ConfigError, match="no forward-mode derivative"):
        export(zoo.Diffusion(Attention(), (2,)).eval(), tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


class Mapped(nn.Module):
    """A network with another function between two layers."""

    def __init__(self, function):
        super().__init__()
        self.inner, self.outer, self.function = nn.Linear(2, 4), nn.Linear(4, 2), function

    def forward(self, x, time, condition=None):
        return self.outer(self.function(self.inner(x)))


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return 2 * x

    @staticmethod
    def backward(context, gradient):
        return 2 * gradient


def chosen(x):
    return torch.cond(x.sum() > 0, lambda y: 2 * y, lambda y: -y, (x,))


def odd(x):
    if torch._C._functorch.is_gradtrackingtensor(x):
        raise RuntimeError("not like this")
    return x


@pytest.mark.parametrize("function", [Twice.apply, chosen, odd], ids=["autograd", "branch", "other words"])
def test_whatever_fails_only_in_the_derivative_is_told_with_the_way_without_it(function):
    model = zoo.Diffusion(Mapped(function), (2,))
    assert model.sample(1, seed=0, steps=1).shape == (1, 2)
    with pytest.raises(ConfigError, match="the network has no forward-mode derivative") as caught:
        model.log_prob(torch.zeros(1, 2), steps=1)
    assert "likelihood = False" in caught.value.hint


def test_what_fails_without_a_derivative_too_is_not_told_to_be_of_it():
    def broken(x):
        raise RuntimeError("not like this")

    with pytest.raises(RuntimeError, match="not like this"):
        zoo.Diffusion(Mapped(broken), (2,)).log_prob(torch.zeros(1, 2), steps=1)


def test_a_derivative_that_is_not_that_of_the_values_is_told_with_the_way_without_it(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from zoo.errors import ProofError
    from zoo.exporting import export

    torch.manual_seed(0)
    model = zoo.Diffusion(Mapped(lambda h: h + (torch.round(h) - h).detach()), (2,)).eval()
    with pytest.raises(ProofError, match="graph divergence gives a trace of") as caught:
        export(model, tmp_path / "whole")
    assert "likelihood = false" in caught.value.hint


def test_every_architecture_takes_the_setting():
    from zoo_diffusion.mlp import MLPDiffusion

    assert MLPDiffusion(event_shape=[2], hidden=8, blocks=1, likelihood=False).density == "none"


# -- velocities in both directions ------------------------------------------------------------------------------------


def test_one_velocity_is_the_other_backwards():
    alpha, sigma = (torch.as_tensor(a) for a in RectifiedFlow().alpha_sigma(0.3))
    x0, noise = torch.randn(2, 5, dtype=torch.float64)
    forward, back = (target(name, x0, noise, alpha, sigma) for name in ("velocity", "velocity-to-data"))
    torch.testing.assert_close(back, x0 - noise)
    torch.testing.assert_close(back, -forward)
    assert slope("velocity-to-data", alpha, sigma) == -slope("velocity", alpha, sigma)
    x = alpha * x0 + sigma * noise
    torch.testing.assert_close(denoised("velocity-to-data", back, x, alpha, sigma), x0)


def test_a_network_of_flow_matching_with_data_at_one_samples_as_its_own_euler_does():
    """dz/ds = F(z, s) from noise at s = 0 to data at s = 1, written out here in even steps."""

    class Known(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))

        def forward(self, x, time, condition=None):
            return self.layers(torch.cat([x, time[:, None]], dim=1))

    torch.manual_seed(1)
    network, steps = Known().double(), 10
    path = {"name": "rectified-flow", "data_at_one": True, "time_scale": 1.0}
    model = zoo.Diffusion(network, (2,), path=path, prediction="velocity-to-data").double()
    noise = torch.randn(4, 2, dtype=torch.float64)
    found = model.sample(4, noise=noise, sampler="flow-euler", steps=steps)
    z = noise
    with torch.no_grad():
        for i in range(steps):
            z = z + network(z, torch.full((4,), i / steps, dtype=torch.float64)) / steps
    torch.testing.assert_close(found.double(), z, rtol=1e-6, atol=1e-6)


def test_the_networks_time_alone_is_turned_and_older_readers_know_the_default():
    forward, back = RectifiedFlow(shift=3.0), RectifiedFlow(shift=3.0, data_at_one=True)
    t = np.linspace(0, 1, 11)
    np.testing.assert_allclose(forward.network_time(t) + back.network_time(t), 1000.0)
    np.testing.assert_array_equal(forward.log_snr(t), back.log_snr(t))
    assert "data_at_one" not in forward.describe()
    assert path_from(back.describe()) == back
    for name in ("data_at_one", "coupled"):
        with pytest.raises(ConfigError, match=f"{name} is true or false"):
            RectifiedFlow(**{name: 1})
