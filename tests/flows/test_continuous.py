"""Continuous flows: derivatives by hand, the order of the integration, both objectives, and both ways to write them."""

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.data import Dataset, Split  # noqa: E402 - after the check for torch
from zoo.errors import ConfigError, ZooError  # noqa: E402
from zoo.metrics.density import held_out_density  # noqa: E402
from zoo.training.loop import train  # noqa: E402
from zoo.training.pairing import paired  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402
from zoo_data.densities import moons  # noqa: E402
from zoo_flows.cnf import CNF  # noqa: E402
from zoo_flows.transforms import Continuous, VelocityMLP  # noqa: E402
from zoo_flows.transforms.continuous import step_doubling_error  # noqa: E402
from zoo_flows.transforms.velocity import ACTIVATIONS, random_signs, unit_vectors  # noqa: E402

CLASSES, VECTOR = {"kind": "classes", "size": 2}, {"kind": "vector", "size": 1}


def network(scramble, size=4, *, scale=0.4, **changes):
    return scramble(VelocityMLP(size, **{"hidden": 12, "layers": 2, **changes}), scale=scale).double()


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Rotation(torch.nn.Module):
    """x' = A·x, whose solution is known, with the interface of a velocity network."""

    size, context = 2, None

    def __init__(self):
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.tensor([[0.3, -2.0], [1.5, -0.5]], dtype=torch.float64))

    def forward(self, x, t, context=None):
        return x @ self.matrix.T

    def pushed(self, x, t, context, directions):
        return self(x, t), (directions @ self.matrix.T).expand(-1, len(x), -1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layers", [1, 3])
def test_derivatives_by_hand_are_those_of_autograd(scramble, activation, layers):
    made = network(scramble, activation=activation, layers=layers, context=2, scale=0.8)
    x, context, t = normal(5, 4), normal(5, 2, seed=1), torch.linspace(0, 1, 5).double()
    value, derivatives = made.pushed(x, t, context, unit_vectors(x))
    _, along = made.pushed(x, t, context, directions := random_signs(x))
    torch.testing.assert_close(value, made(x, t, context), rtol=0, atol=0)
    for i in range(5):
        one = slice(i, i + 1)
        jacobian = torch.autograd.functional.jacobian(lambda y, one=one: made(y[None], t[one], context[one])[0], x[i])
        torch.testing.assert_close(derivatives[:, i].T, jacobian, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(along[0, i], jacobian @ directions[0, i], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_derivatives_however_far_out(activation):
    x = torch.linspace(-200, 200, 4001, dtype=torch.float64, requires_grad=True)
    value = ACTIVATIONS[activation].value(x)
    (expected,) = torch.autograd.grad(value.sum(), x)
    slope = ACTIVATIONS[activation].slope(x, value)
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_a_linear_equation_is_solved_by_the_exponential_of_its_matrix():
    transform, x = Continuous(Rotation(), steps=200), normal(6, 2)
    matrix = transform.network.matrix
    z, log_det = transform(x)
    torch.testing.assert_close(z, x @ torch.linalg.matrix_exp(matrix).T, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_det, matrix.trace().expand(6), rtol=0, atol=1e-13)
    torch.testing.assert_close(transform.data(z), x, rtol=0, atol=1e-9)
    way = Continuous(Rotation(), steps=200).way(x)
    torch.testing.assert_close(way.frobenius, matrix.square().sum().expand(6), rtol=0, atol=1e-12)
    times = torch.linspace(0, 1, 2001, dtype=torch.float64)
    velocities = torch.stack([x @ torch.linalg.matrix_exp(t * matrix).T @ matrix.T for t in times])
    torch.testing.assert_close(
        way.kinetic, torch.trapezoid(velocities.square().sum(2), times, dim=0), rtol=1e-5, atol=0
    )


@torch.no_grad()
def test_twice_the_steps_leave_a_sixteenth_of_the_error_and_doubling_says_how_much(scramble):
    made, x = network(scramble, scale=0.25), normal(30, 4)
    truth, true_log_det = Continuous(made, steps=1280)(x)
    errors, log_errors = [], []
    for steps in (40, 80, 160):
        transform = Continuous(made, steps=steps)
        z, log_det = transform(x)
        errors.append((z - truth).abs().amax(1))
        log_errors.append((log_det - true_log_det).abs())
        said, said_log_det = step_doubling_error(transform, x)
        torch.testing.assert_close(said, errors[-1], rtol=0.1, atol=0.1 * errors[-1].max().item())
        torch.testing.assert_close(said_log_det, log_errors[-1], rtol=0.1, atol=0.1 * log_errors[-1].max().item())
    for each in (errors, log_errors):
        for coarse, fine in itertools.pairwise(each):
            assert (coarse.mean() / fine.mean()).log2().item() == pytest.approx(4.0, abs=0.4)


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-6)])
def test_round_trips_at_default_sizes(scramble, dtype, tolerance):
    torch.manual_seed(0)
    model = scramble(CNF(event_shape=[6]), scale=0.15).to(dtype).eval()
    x = 3.0 * normal(300, 6, dtype=dtype)
    z, log_det = model.to_noise(x)
    assert (z - x).abs().max() > 0.5
    back, inverse_log_det = model.to_data(z)
    torch.testing.assert_close(back, x, rtol=0, atol=tolerance)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=0, atol=tolerance)
    torch.testing.assert_close(model.inverse(z), back, rtol=0, atol=tolerance)


@torch.no_grad()
def test_beyond_the_exact_size_training_estimates_without_bias_and_evaluation_does_not(scramble):
    torch.manual_seed(0)
    made = network(scramble)
    exact, estimating = Continuous(made, steps=8), Continuous(made, steps=8, exact=3)
    x = normal(1, 4).expand(4000, -1)
    way, guess = exact.train().way(x[:1]), estimating.train().way(x)
    torch.testing.assert_close(guess.z, way.z.expand(4000, -1))
    assert way.log_det == exact.eval()(x[:1])[1] == estimating.eval()(x[:1])[1]
    for name in ("log_det", "frobenius"):
        given, expected = getattr(guess, name), getattr(way, name)
        assert given.std() > 1e-2
        assert (given.mean() - expected).abs() < 4.5 * given.std() / math.sqrt(4000)


@pytest.mark.parametrize("exact", [6, 5])
def test_regularised_training_reaches_all_parameters(scramble, exact):
    torch.manual_seed(0)
    shape = {"event_shape": [6], "hidden": 8, "layers": 2, "steps": 4, "objective": "likelihood", "exact": exact}
    model = scramble(CNF(**shape, kinetic=0.1, jacobian=0.05)).train()
    plain = CNF(**shape).train()
    plain.load_state_dict(model.state_dict())
    x = normal(64, 6, dtype=torch.float32)
    torch.manual_seed(1)
    loss = model.loss(x)
    torch.manual_seed(1)
    assert loss > plain.loss(x)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.full
def test_kinetic_energy_makes_ways_short(tmp_path):
    """Of all ways from one normal distribution to another, the straight ones have the least energy (Finlay 2020)."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(4000, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]])
    split = Split(x.astype(np.float32))
    data = Dataset("tilted", split, split, split)
    energies, nlls = [], []
    for kinetic in (0.0, 0.3):
        torch.manual_seed(0)
        model = CNF(event_shape=[2], hidden=16, layers=2, steps=4, objective="likelihood", kinetic=kinetic)
        train(model, data, recipe(steps=100, learning_rate=1e-2), tmp_path / f"{kinetic}.safetensors")
        with torch.no_grad():
            energies.append(model.continuous.way(torch.from_numpy(split.x)).kinetic.mean().item())
        nlls.append(held_out_density(model, data)["test_nll"]["value"])
    assert energies[1] < 0.8 * energies[0]
    assert nlls[1] < nlls[0] + 0.1


def recipe(**training):
    return Recipe.from_dict(
        {
            "name": "t",
            "model": {"architecture": "cnf"},
            "data": {"name": "moons"},
            "training": {"batch_size": 256, "gradient_clip": 5.0, **training},
        }
    )


@pytest.fixture(scope="module")
def data():
    return moons(train=20_000, validation=100, test=4_000, noise=0.2)


@pytest.fixture(scope="module")
def matched(data, tmp_path_factory):
    """Trained by flow matching for a few seconds, and how good the Gaussian was that it began as."""
    torch.manual_seed(0)
    model = CNF(event_shape=[2], layers=2, steps=16)
    model.prepare(torch.from_numpy(data.train.x))
    gaussian = held_out_density(model, data)["test_gap"]["value"]
    short = recipe(steps=1500, learning_rate=1e-2, ema=0.99)
    result = train(model, data, short, tmp_path_factory.mktemp("matched") / "c.safetensors")
    model.load_state_dict({key: torch.from_numpy(value) for key, value in result.arrays.items()})
    return model.eval(), gaussian


@pytest.mark.full  # 1,500 steps
def test_flow_matching_learns_the_moons(matched, data):
    model, gaussian = matched
    learned = held_out_density(model, data)
    assert gaussian > 0.35  # nats above the entropy
    assert -4 * learned["test_nll"]["standard_error"] < learned["test_gap"]["value"] < 0.1


@torch.no_grad()
@pytest.mark.full  # of what the same training learns
def test_what_was_learned_is_a_density_and_its_samples_follow_it(matched, data):
    model, _ = matched
    axes = [torch.linspace(-3.0, 4.0, 141), torch.linspace(-2.5, 3.0, 111)]
    points = torch.cartesian_prod(*axes)
    cell = (7.0 / 140) * (5.5 / 110)
    assert model.log_prob(points).exp().double().sum().item() * cell == pytest.approx(1.0, abs=2e-3)
    x = torch.from_numpy(data.test.x)
    samples = model.sample(len(x), seed=0)
    torch.testing.assert_close(samples.mean(0), x.mean(0), rtol=0, atol=0.1)
    torch.testing.assert_close(samples.std(0), x.std(0), rtol=0.1, atol=0)
    error, log_error = model.integration_error(x[:500])
    assert error.max() < 1e-3
    assert log_error.max() < 1e-2
    assert model.integration_error(torch.randn(500, 2), direction="inverse")[0].max() < 1e-3


@torch.no_grad()
def test_flow_matching_is_the_regression_that_it_says(scramble):
    """The minimum over velocities of the loss for normal data is known, and a step from it makes the loss larger."""
    torch.manual_seed(0)
    model = CNF(event_shape=[3])
    x = torch.randn(200_000, 3)
    # f = 0 at first: E (ε - x)² = 2
    assert model.loss(x).item() == pytest.approx(2.0, abs=0.02)
    # normal to normal: f = (2t - 1)/(t² + (1 - t)²)·x leaves ∫ 1/(t² + (1 - t)²) dt = π/2
    model.continuous.network.forward = lambda y, t, context: ((2 * t - 1) / (t**2 + (1 - t) ** 2)).unsqueeze(1) * y
    assert model.loss(x).item() == pytest.approx(math.pi / 2, abs=0.02)


def test_pairing_is_the_best_order_and_stays_within_classes():
    data, noise = normal(5, 2), normal(5, 2, seed=1)
    best = min((noise[list(order)] - data).square().sum().item() for order in itertools.permutations(range(5)))
    assert (paired(noise, data) - data).square().sum().item() == pytest.approx(best)
    classes = torch.tensor([1, 0, 1, 0, 0])
    within = paired(noise, data, classes)
    for label in (0, 1):
        assert sorted(within[classes == label].tolist()) == sorted(noise[classes == label].tolist())
    assert (within - data).square().sum() < (noise - data).square().sum()
    alone = paired(noise, data, torch.arange(5))
    torch.testing.assert_close(alone, noise, rtol=0, atol=0)


def test_optimal_transport_of_classes_trains(data):
    torch.manual_seed(0)
    model = CNF(event_shape=[2], hidden=8, layers=1, coupling="optimal-transport", condition=CLASSES)
    x, condition = torch.from_numpy(data.train.x[:64]), torch.from_numpy(data.train.condition[:64])
    independent = CNF(event_shape=[2], hidden=8, layers=1, condition=CLASSES)
    assert model.loss(x, condition=condition) < 0.8 * independent.loss(x, condition=condition)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_shape": [0]}, "event_shape"),
        ({"hidden": 0}, "hidden must be 1 or more"),
        ({"layers": 0}, "layers must be 1 or more"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"kinetic": -1.0}, "kinetic must be 0 or more"),
        ({"activation": "qr"}, "no activation named 'qr'"),
        ({"objective": "qr"}, "no objective named 'qr'"),
        ({"coupling": "qr"}, "no coupling named 'qr'"),
        ({"kinetic": 0.1}, "regularise the likelihood objective"),
        ({"base": "mixture"}, "the base distribution 'normal', not 'mixture'"),
        ({"objective": "likelihood", "coupling": "optimal-transport"}, "only to the flow-matching objective"),
        ({"condition": VECTOR, "coupling": "optimal-transport"}, "a condition that is a vector"),
    ],
)
def test_what_is_no_continuous_flow_is_refused(config, message):
    with pytest.raises(ConfigError if "qr" not in message else ZooError, match=message):
        CNF(**{"event_shape": [2], **config})
    with pytest.raises(ConfigError, match="1 step or more, not 0"):
        Continuous(VelocityMLP(2), steps=0)


@pytest.mark.sample("loop")
@pytest.mark.parametrize("way", ["loop", "unroll"])
def test_both_ways_of_writing_it_are_proven(scramble, tmp_path, way):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from zoo.exporting import export

    torch.manual_seed(0)
    model = scramble(CNF(event_shape=[3], hidden=6, layers=1, steps=3, activation="tanh"), scale=0.3).eval()
    folder = export(model, tmp_path / "bundle", inverse=way)
    for name in ("inverse", "log_prob"):
        operators = [node.op_type for node in onnx.load(folder / f"{name}.onnx", load_external_data=False).graph.node]
        assert ("Loop" in operators) == (way == "loop")
