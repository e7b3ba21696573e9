"""Contractions: bounded whatever their weights are, with determinants exact or estimated, and an inverse."""

import math
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError  # noqa: E402 - after the check for torch
from zoo_flows.residual import ResidualFlow  # noqa: E402
from zoo_flows.transforms import LipschitzCNN, LipschitzMLP, Residual  # noqa: E402
from zoo_flows.transforms.lipschitz import ACTIVATIONS  # noqa: E402
from zoo_flows.transforms.roulette import estimated_log_det  # noqa: E402
from zoo_flows.transforms.spectral import convolution_bound, spectral_bound  # noqa: E402

#: of four components each
KINDS = {
    "mlp": partial(LipschitzMLP, 4),
    "cnn": partial(LipschitzCNN, (1, 2, 2)),
    "rgb": partial(LipschitzCNN, (2, 1, 2)),
}


def network(scramble, *, scale=0.4, kind="mlp", **changes):
    return scramble(KINDS[kind](**{"hidden": 12, **changes}), scale=scale).double()


@torch.no_grad()
@pytest.mark.parametrize("shape", [(64, 64), (2, 64), (64, 3), (1, 1)])
def test_the_spectral_bound_is_never_too_small_and_hardly_too_large(shape):
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-8, 1.0, 1e8):
        weight = scale * torch.randn(shape, generator=generator)
        exact = torch.linalg.matrix_norm(weight.double(), 2).item()
        assert exact * (1 - 1e-5) <= spectral_bound(weight).item() <= exact * min(shape) ** (1 / 512) * (1 + 1e-5)


def test_the_spectral_bound_has_a_gradient_where_singular_values_are_equal_or_0():
    for weight in (torch.eye(5), torch.zeros(5, 3), torch.ones(3, 5)):
        weight.requires_grad_()
        spectral_bound(weight).backward()
        assert weight.grad.isfinite().all()
    assert spectral_bound(torch.eye(64)).item() == pytest.approx(64 ** (1 / 512), rel=1e-5)


def matrix_of(kernel, height, width):
    """What a convolution with zeros around does to images of a size."""
    channels = kernel.shape[1]
    unit = torch.eye(channels * height * width, dtype=kernel.dtype).reshape(-1, channels, height, width)
    return torch.nn.functional.conv2d(unit, kernel, padding=kernel.shape[-1] // 2).flatten(1).T


@torch.no_grad()
@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (1, 8, 3, 3), (6, 6, 1, 1), (2, 2, 5, 5)])
def test_the_bound_of_a_convolution_holds_for_images_of_every_size_and_is_hardly_too_large(shape):
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        kernel = torch.randn(shape, generator=generator, dtype=torch.float64)
        bound = convolution_bound(kernel).item()
        for size in ((1, 1), (3, 2), (14, 14)):
            assert torch.linalg.matrix_norm(matrix_of(kernel, *size), 2).item() <= bound * (1 + 1e-12)
        spectrum = torch.fft.fft2(kernel, s=(160, 160)).permute(2, 3, 0, 1)
        between = 1.0 / math.cos(math.pi * (shape[-1] // 2) / 16) ** 2
        count = 1 if shape[-1] == 1 else 16 * 9
        exact = torch.linalg.matrix_norm(spectrum, 2).max().item()
        assert exact * (1 - 1e-12) <= bound <= exact * between * (count * min(shape[:2])) ** (1 / 512)


@torch.no_grad()
def test_the_bound_of_a_convolution_is_no_less_than_its_spectrum_anywhere():
    """The worst case between the frequencies that are looked at: a kernel whose spectrum peaks halfway."""
    for peak in torch.linspace(0, 2 * math.pi / 16, 9, dtype=torch.float64):
        wave = torch.exp(1j * peak * torch.arange(3))
        # a pair of channels is a complex number, whose waves are turned onto one another
        real = torch.stack([torch.stack([wave.real, -wave.imag]), torch.stack([wave.imag, wave.real])])
        kernel = torch.einsum("abk,bcl->ackl", real, real)
        assert 9.0 <= convolution_bound(kernel).item() <= 9.0 * 1.06


def test_the_bound_of_a_convolution_has_a_gradient_where_it_is_0():
    kernel = torch.zeros(3, 2, 3, 3, requires_grad=True)
    convolution_bound(kernel).backward()
    assert kernel.grad.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["mlp", "cnn", "rgb"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_points_come_nearer_by_the_bound_whatever_the_weights(scramble, kind, activation, scale):
    made = network(scramble, kind=kind, scale=scale, activation=activation, context=2, bound=0.7)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4000, 4, generator=generator, dtype=torch.float64)
    y = x + 10 ** torch.linspace(-4, 2, 4000)[:, None] * torch.randn(4000, 4, generator=generator)
    context = torch.randn(4000, 2, generator=generator, dtype=torch.float64)
    values = [made(each, context, made.weights())[0] for each in (x, y)]
    ratio = ((values[0] - values[1]).norm(dim=1) / (x - y).norm(dim=1)).max().item()
    assert ratio <= made.lipschitz() <= 0.7
    assert ratio > 0.01 * made.lipschitz()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_derivatives_and_at_most_1(scramble, activation):
    made = scramble(ACTIVATIONS[activation](), scale=2.0).double()
    x = torch.linspace(-30, 30, 6001, dtype=torch.float64, requires_grad=True)
    value, slope = made(x)
    (expected,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(slope, expected, rtol=1e-12, atol=1e-12)
    assert slope.abs().max() <= 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_jacobian_and_its_products_are_those_of_autograd(scramble, kind, layers):
    made = network(scramble, kind=kind, layers=layers)
    x, v = torch.randn(2, 4, dtype=torch.float64)
    expected = torch.autograd.functional.jacobian(lambda y: made(y[None], None, made.weights())[0][0], x)
    weights = made.weights()
    _, slopes = made(x[None], None, weights)
    torch.testing.assert_close(made.jacobian(weights, slopes)[0], expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(made.pulled_back(v[None], weights, slopes)[0], v @ expected, rtol=1e-10, atol=1e-12)


def test_the_estimator_and_its_gradient_are_unbiased():
    """500 draws of the probe for each of 400 draws of how many terms there are."""
    torch.manual_seed(0)
    matrix = torch.randn(3, 3, dtype=torch.float64)
    matrix = (0.8 * matrix / torch.linalg.matrix_norm(matrix, 2)).requires_grad_()
    exact = torch.linalg.slogdet(torch.eye(3) + matrix)[1]
    (exact_gradient,) = torch.autograd.grad(exact, matrix)
    like = torch.zeros(500, 3, dtype=torch.float64)
    values, gradients = [], []
    for _ in range(400):
        mean = estimated_log_det(lambda v: v @ matrix, like, bound=0.8).mean()
        values.append(mean.detach())
        gradients.append(torch.autograd.grad(mean, matrix)[0])
    for found, expected in ((values, exact.detach()), (gradients, exact_gradient)):
        error, mean = torch.std_mean(torch.stack(found), dim=0)
        assert error.max() / 20 < 0.02  # small enough to see a bias
        assert ((mean - expected).abs() <= 4.5 * error / 20).all()


@torch.no_grad()
def test_beyond_the_exact_size_training_estimates_and_evaluation_does_not(scramble):
    torch.manual_seed(0)
    exact = Residual(network(scramble), 4)
    estimating = Residual(exact.network, 4, exact=3).train()
    x = torch.randn(1, 4, dtype=torch.float64).expand(2000, -1)
    z, expected = exact(x)
    given, log_det = estimating(x)
    torch.testing.assert_close(given, z, rtol=0, atol=0)
    assert log_det.std() > 1e-3
    means = torch.stack([estimating(x)[1].mean() for _ in range(200)])
    assert (means.mean() - expected[0]).abs() < 4.5 * means.std() / math.sqrt(200)
    torch.testing.assert_close(estimating.eval()(x)[1], expected)


def test_a_flow_beyond_the_exact_size_gets_gradients_for_all_parameters(scramble):
    torch.manual_seed(0)
    model = scramble(ResidualFlow(event_shape=[6], transforms=2, hidden=8, exact=5)).train()
    x = torch.randn(64, 6)
    model.loss(x).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    torch.manual_seed(1)
    first = model.loss(x)
    assert first != model.loss(x)
    assert model.eval().loss(x) == model.loss(x)


@pytest.mark.parametrize("bound", [0.5, 0.9, 0.99])
@torch.no_grad()
def test_turns_follow_from_the_lipschitz_constant_and_are_enough(bound):
    made = LipschitzMLP(3, hidden=3, layers=1, bound=bound, activation="elu").double()
    for layer in made.layers:  # in the first orthant an ELU is the identity, and this the worst contraction
        layer.weight.copy_(-3.0 * torch.eye(3))
        layer.bias.zero_()
    made.layers[0].bias.fill_(1e4)
    transform = Residual(made, 3)
    assert made.lipschitz() == pytest.approx(bound, rel=1e-9)
    x = torch.randn(50, 3, dtype=torch.float64)
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        assert transform.turns(dtype) == math.ceil(math.log(tolerance) / math.log(made.lipschitz()))
    z, _ = transform(x)
    torch.testing.assert_close(transform.inverse(z)[0], x, rtol=0, atol=2e4 * 1e-13 + 1e-12 / (1 - bound) * 1e2)


def test_a_fresh_transform_needs_one_turn():
    assert Residual(LipschitzMLP(3), 3).turns(torch.float32) == 1


def test_gradients_of_the_inverse_are_those_of_all_its_turns(scramble):
    transform = Residual(network(scramble, context=2, bound=0.6), 4)
    z, context = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    wanted = [*transform.parameters(), z.requires_grad_(), context.requires_grad_()]
    weighting = torch.randn(5, 4, dtype=torch.float64)

    def repeated():
        x = z
        for _ in range(80):
            x = z - transform.network(x, context, transform.network.weights())[0]
        return x, -transform(x, context)[1]

    given, expected = (
        torch.autograd.grad((weighting * x).sum() + log_det.sum(), wanted)
        for x, log_det in (transform.inverse(z, context), repeated())
    )
    for a, b in zip(given, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_blocks_of_images_hold_at_the_size_of_digits(scramble):
    """Contractive, and inverted to 1e-6 in float64, where the Jacobian has 784 rows that nobody wants to see."""
    made = scramble(LipschitzCNN((1, 28, 28), hidden=8), scale=2.0).double()
    transform = Residual(made, 784)
    x, y = torch.randn(2, 20, 784, dtype=torch.float64)
    values = [made(each, None, made.weights())[0] for each in (x, y)]
    assert ((values[0] - values[1]).norm(dim=1) / (x - y).norm(dim=1)).max() <= made.lipschitz() <= 0.9
    z, weights = x + values[0], made.weights()
    back = z
    for _ in range(transform.turns(torch.float64)):
        back = z - made(back, None, weights)[0]
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_large_events_are_scored_in_parts(scramble, monkeypatch, kind):
    transform = Residual(network(scramble, kind=kind), 4)
    x = torch.randn(10, 4, dtype=torch.float64)
    _, whole = transform(x)
    monkeypatch.setattr("zoo_flows.transforms.residual._ENTRIES", 3 * 4 * 12)
    torch.testing.assert_close(transform(x)[1], whole, rtol=1e-12, atol=1e-12)


def test_what_is_no_contraction_is_refused():
    with pytest.raises(ConfigError, match="between 0 and 1, not 1"):
        Residual(LipschitzMLP(3, bound=1.0), 3)


@pytest.mark.sample("shape0-loop", "shape1-unroll")
@pytest.mark.parametrize("way", ["loop", "unroll"])
@pytest.mark.parametrize("shape", [{"event_shape": [9]}, {"event_shape": [1, 3, 3], "scales": 1}])
def test_both_ways_of_writing_it_are_proven(scramble, tmp_path, way, shape):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from zoo.exporting import export

    torch.manual_seed(0)
    model = scramble(ResidualFlow(**shape, transforms=1, hidden=6, layers=1, lipschitz=0.5)).eval()
    folder = export(model, tmp_path / "bundle", inverse=way)
    for name in ("inverse", "log_prob"):
        operators = [node.op_type for node in onnx.load(folder / f"{name}.onnx", load_external_data=False).graph.node]
        assert ("Loop" in operators) == (way == "loop")
