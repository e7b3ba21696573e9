"""The diffusion model, most of it with a network whose right answer is known in closed form."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.conditions import Condition
from zoo.errors import ConditionError, ConfigError, DataError, UnknownNameError, UsageError
from zoo.paths import CosineLogSNR
from zoo.samplers import Guidance
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.graphs import DivergenceModule, GaussianStep
from zoo_diffusion.mlp import MLPDiffusion

MEAN, STD = 0.25, 0.5
PATH = CosineLogSNR()


class GaussianNetwork(torch.nn.Module):
    """The perfect v-predictor of x₀ ~ N(m, STD²), m = ±MEAN for classes 0 and 1 and 0 for the null class."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, time, condition=None):
        a, b = PATH._ends()
        shape = (-1, *[1] * (x.ndim - 1))
        log_snr = -2 * torch.log(torch.tan(a * time / 1000 + b)).reshape(shape)
        alpha, sigma = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
        mean = MEAN * torch.ones(())
        if condition is not None:
            mean = torch.tensor([MEAN, -MEAN, 0.0]).to(x)[condition.long()].reshape(shape)
        x0 = mean + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * mean)
        noise = (x - alpha * x0) / sigma
        return alpha * noise - sigma * x0


@pytest.fixture(scope="module")
def gaussian():
    return Diffusion(GaussianNetwork(), (3,), shift=10.0, scale=4.0)


@pytest.fixture(scope="module")
def classes():
    condition = Condition.classes(2, required=False)
    return Diffusion(GaussianNetwork(), (3,), condition=condition, shift=10.0, scale=4.0)


@pytest.mark.sample("options2")
@pytest.mark.parametrize("options", [{"sampler": "ddim"}, {"sampler": "ddpm"}, {"sampler": "ddim", "eta": 0.7}])
def test_samples_follow_the_data_in_data_units(gaussian, options):
    x = gaussian.sample(20_000, seed=1, steps=300, **options)
    assert abs(x.mean() - (10 + 4 * MEAN)) < 0.05
    assert abs(x.std() - 4 * STD) < 0.05


def test_log_prob_is_the_density_in_data_units(gaussian):
    x = 10 + 4 * torch.tensor([[MEAN, 0.0, 1.0], [0.9, -0.3, 0.1]])
    exact = torch.distributions.Normal(10 + 4 * MEAN, 4 * STD).log_prob(x).sum(1)
    torch.testing.assert_close(gaussian.log_prob(x, steps=64), exact, atol=5e-3, rtol=0)


def test_the_density_of_an_infinity_is_zero_and_that_of_nan_is_nan(gaussian):
    x = torch.full((4, 3), 10.0)
    x[1, 0], x[2, 2], x[3, 1] = math.inf, -math.inf, math.nan
    for score, options in ((gaussian.log_prob, {"steps": 4}), (gaussian.elbo, {"steps": 4, "terms": 2})):
        found = score(x, **options)
        torch.testing.assert_close(found[:1], score(x[:1], **options))
        assert (found[1:3] == -math.inf).all()
        assert found[3].isnan()
    value = gaussian.log_prob_with_errors(x, steps=2).value
    assert np.isfinite(value[0])
    assert (value[1:3] == -np.inf).all()
    assert np.isnan(value[3])


def test_samples_of_a_seed_are_the_same_alone_and_together(gaussian):
    many = gaussian.sample(5, seed=3, steps=5, sampler="ddpm")
    torch.testing.assert_close(gaussian.sample(2, seed=3, steps=5, sampler="ddpm"), many[:2])
    assert not torch.allclose(gaussian.sample(5, seed=4, steps=5, sampler="ddpm"), many)


def test_classes_move_the_samples_and_guidance_moves_them_further(classes):
    def mean(**options):
        return (classes.sample(4000, seed=0, steps=200, **options).mean() - 10) / 4

    assert abs(mean(condition=0) - MEAN) < 0.02
    assert abs(mean(condition=1) + MEAN) < 0.02
    assert abs(mean(condition=0, guidance=0.0)) < 0.02
    # D is linear in the class's mean here, so guidance w gives the mean w·MEAN exactly
    assert abs(mean(condition=0, guidance=3.0) - 3 * MEAN) < 0.02


def test_without_a_class_the_null_class_is_scored(classes):
    x = torch.full((1, 3), 10.0)
    null = torch.distributions.Normal(10.0, 4 * STD).log_prob(x).sum(1)
    torch.testing.assert_close(classes.log_prob(x, steps=32), null, atol=5e-3, rtol=0)
    assert classes.log_prob(x, condition=0, steps=16) < null - 0.1


def test_the_loss_of_a_perfect_network_is_that_of_the_posterior(gaussian):
    """E|v - v̂|² is the posterior variance of v: (α²+σ²)·Var[x₀|x_t]/σ² averaged over t."""
    torch.manual_seed(0)
    x = 10 + 4 * (MEAN + STD * torch.randn(4000, 3))
    t = np.linspace(0.0005, 0.9995, 1000)
    alpha, sigma = gaussian.path.alpha_sigma(t)
    expected = (STD**2 / (alpha**2 * STD**2 + sigma**2)).mean()
    assert abs(gaussian.loss(x).item() - expected) < 0.02


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_every_prediction_trains_samples_and_scores(tiny, prediction):
    model = tiny(prediction=prediction)
    x = torch.rand(4, 1, 8, 8) * 16
    loss = model.loss(x, condition=torch.tensor([0, 1, 2, 0]))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    samples = model.sample(2, seed=0)
    assert samples.shape == (2, 1, 8, 8)
    assert samples.min() >= 0
    assert samples.max() <= 16
    assert torch.isfinite(model.log_prob(x, steps=2)).all()


def test_the_hutchinson_trace_is_that_of_the_jacobian(tiny):
    model = tiny().double()
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    scalars = [torch.tensor(v, dtype=torch.float64) for v in (300.0, 0.8, 0.6)]
    condition = torch.tensor([1], dtype=torch.int32)
    jacobian = torch.autograd.functional.jacobian(lambda y: model.denoise(y, *scalars, condition), x).reshape(64, 64)
    module = DivergenceModule(model)
    unit = torch.eye(64, dtype=torch.float64).reshape(64, 1, 1, 8, 8)
    with torch.no_grad():
        traces = sum(module(x, *scalars, probe, condition)[1].item() for probe in unit)
    assert abs(traces - jacobian.diagonal().sum().item()) < 1e-8


def test_the_step_keeps_history(tiny):
    """A made-up two-slot row: x' = ½x + 2h + D + 3·noise, h' = x."""
    model = tiny(condition=None)
    state, fresh = torch.randn(2, 5, 1, 8, 8), torch.randn(5, 1, 8, 8)
    scalars = [torch.tensor(v) for v in (500.0, 0.7, 0.7, float("inf"), 3.0, 0.0)]
    matrix = torch.tensor([[0.5, 2.0, 1.0], [1.0, 0.0, 0.0]])
    with torch.no_grad():
        out, d = GaussianStep(model)(state, *scalars, matrix, fresh, torch.ones(1), torch.zeros(()), torch.ones(()))
        expected = model.denoise(state[0], *scalars[:3], None)
    torch.testing.assert_close(d, expected)
    torch.testing.assert_close(out[0], 0.5 * state[0] + 2 * state[1] + d + 3 * fresh)
    torch.testing.assert_close(out[1], state[0])


@pytest.mark.parametrize("more", [0, 1])
def test_a_further_column_is_d_before_it_is_clipped(tiny, more):
    """After guidance and its rescaling, and with known parts mixed in, as D itself."""
    model = tiny().double()
    kind = {"dtype": torch.float64}
    state, (known, fresh) = torch.randn(2, 2, 5, 1, 8, 8, **kind)
    time, alpha, sigma, clip, scale, rescale = (torch.tensor(v, **kind) for v in (500.0, 0.7, 0.7, 0.3, 3.0, 0.4))
    matrix, mask = torch.randn(2, 3 + more, **kind), torch.randint(2, (5, 1, 8, 8)).double()
    weights, classes = torch.tensor([1.5, -0.5], **kind), torch.tensor([[0, 1, 2, 0, 1], [3] * 5])
    with torch.no_grad():
        row = (matrix, fresh, weights, known, mask, classes)
        out, d = GaussianStep(model)(state, time, alpha, sigma, clip, scale, rescale, *row)
        outputs = [model.predict(state[0], time, alpha, sigma, each)[0] for each in classes]
        guided = 1.5 * outputs[0] - 0.5 * outputs[1]
        of_class, of_guided = (each.flatten(1).std(1, correction=0) for each in (outputs[0], guided))
        guided = guided * (0.4 * of_class / of_guided + 0.6)[:, None, None, None]
        unclipped = model.denoised(guided, state[0], alpha, sigma)
    both = [mask * each + (1 - mask) * known for each in (unclipped.clamp(-0.3, 0.3), unclipped)]
    assert (both[0] - both[1]).abs().max() > 0.1
    torch.testing.assert_close(d, both[0])
    columns = torch.stack([*state, *both][: 3 + more])
    expected = torch.tensordot(matrix, columns, 1)
    expected[0] += 3 * fresh
    torch.testing.assert_close(out, expected)


EDITED = {"init": torch.linspace(0, 16, 64).reshape(1, 8, 8), "mask": torch.arange(64).reshape(1, 8, 8) % 3 > 0}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"guidance": Guidance(3.0, interval=(0.0, 2.0), rescale=0.7), "negative": 1},
        {"compose": [(0, 1.5), (1, -0.5)]},
        EDITED,
        {"init": EDITED["init"], "strength": 0.6},
    ],
    ids=["plain", "guided", "composed", "known parts", "strength"],
)
def test_an_unclipped_epsilon_takes_one_evaluation_a_step(tiny, options):
    """With what two evaluations give, to rounding."""
    model, calls = tiny(), []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    options = {"condition": None if "compose" in options else 2, "sampler": "ddim", "steps": 5, "seed": 3, **options}
    steps = 3 if "strength" in options else 5
    once = model.sample(2, epsilon="unclipped", **options)
    assert len(calls) == steps
    model.sampling = replace(model.sampling, unclipped_column=False)
    twice = model.sample(2, epsilon="unclipped", **options)
    assert len(calls) == steps + 2 * steps - 1
    torch.testing.assert_close(once, twice, atol=2e-4, rtol=1e-4)
    assert (model.sample(2, **options) - once).abs().max() > 0.1


def test_a_learned_variance_goes_with_an_unclipped_epsilon(tiny):
    model = tiny(variance="learned-range")
    options = {"condition": 2, "sampler": "ddim", "steps": 3, "seed": 3, "epsilon": "unclipped"}
    once = model.sample(2, **options)
    model.sampling = replace(model.sampling, unclipped_column=False)
    torch.testing.assert_close(once, model.sample(2, **options), atol=2e-4, rtol=1e-4)


def test_it_works_in_double_precision(tiny):
    model = tiny().double()
    single = tiny()
    assert model.sample(2, seed=0).dtype == torch.float64
    torch.testing.assert_close(model.sample(2, seed=0).float(), single.sample(2, seed=0), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_refused_and_autocast_is_what_they_are_told_to_use(tiny, dtype):
    model = tiny(likelihood=True)
    half = copy.deepcopy(model).to(dtype)
    x = torch.zeros(2, *model.event_shape)
    for call in (lambda: half.sample(2), lambda: half.log_prob(x.to(dtype)), lambda: half.encode(x.to(dtype))):
        with pytest.raises(UsageError, match=f"a diffusion cannot (sample|score) in {str(dtype)[6:]}"):
            call()
    with torch.autocast("cpu", torch.bfloat16):
        lowered = model.sample(4, seed=0, steps=3)
    assert lowered.dtype == torch.float32
    torch.testing.assert_close(lowered, model.sample(4, seed=0, steps=3), atol=0.1, rtol=0.1)


def test_requests_that_make_no_sense_are_refused(gaussian, model):
    with pytest.raises(UsageError, match="number of samples"):
        model.sample(0)
    with pytest.raises(UnknownNameError, match="sampler"):
        model.sample(1, sampler="magic")
    with pytest.raises(UsageError, match="steps"):
        model.sample(1, steps=0)
    with pytest.raises(UsageError, match="null class"):
        gaussian.sample(1, guidance=2.0)
    with pytest.raises(ConditionError, match="classes run from 0 to 2"):
        model.sample(2, condition=[0, 3])
    with pytest.raises(ConditionError, match="no condition"):
        gaussian.sample(1, condition=1)
    with pytest.raises(DataError, match=r"\(2, 8, 8\) given"):
        model.log_prob(torch.zeros(2, 8, 8))
    with pytest.raises(UsageError, match="no option bogus"):
        model.log_prob(torch.zeros(2, 1, 8, 8), bogus=1)


def test_a_gaussian_diffusion_takes_no_path_that_hides_symbols():
    with pytest.raises(UsageError, match="masking has no noise levels"):
        MLPDiffusion(event_shape=[2], hidden=8, blocks=1, path="masking")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": 0.0}, "scale"),
        ({"data_max": None}, "must be given together"),
        ({"prediction": "score"}, "prediction must be one of"),
        ({"sampling": {"speed": 3}}, "not speed"),
        ({"condition": None, "sampling": {"guidance": 2.0}}, "null class"),
        ({"event_shape": [8, 8]}, "channels, height, width"),
    ],
)
def test_impossible_models_are_refused(tiny, change, says):
    with pytest.raises(ConfigError, match=says):
        tiny(**change)
