"""PixelCNN: nothing looks ahead, levels have the probabilities of a softmax, and samples need each pixel once."""

import itertools
import math

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError, UnknownNameError  # noqa: E402 - after the check for torch
from zoo_flows.pixelcnn import PixelCNN  # noqa: E402
from zoo_flows.transforms import HistogramMap, Interval, SplineMap  # noqa: E402
from zoo_flows.transforms.masked_convolutions import MaskedCNN, MaskedConvolution  # noqa: E402

SHAPE = (2, 3, 4)


def order():
    """The turn of each component: pixel by pixel, and channels within."""
    channels, height, width = SHAPE
    pixel = torch.arange(height * width).repeat(channels)
    return pixel * channels + torch.arange(channels).repeat_interleave(height * width)


@pytest.fixture
def make_model(scramble):
    def make(scale=0.5, **config):
        torch.manual_seed(0)
        small = {"event_shape": [1, 2, 2], "width": 6, "blocks": 1, "field": 1, "reach": 1}
        return scramble(PixelCNN(**{**small, **config}), scale=scale).eval()

    return make


@pytest.mark.parametrize("level", [None, 0.25])
@pytest.mark.parametrize(("field", "reach", "blocks"), [(4, 2, 3), (1, 1, 2), (3, 1, 0)])
def test_parameters_depend_on_components_before_alone(scramble, level, field, reach, blocks):
    torch.manual_seed(0)
    network = MaskedCNN(SHAPE, 3, context=2, width=8, blocks=blocks, field=field, reach=reach, level=level)
    scramble(network, scale=0.5).double()
    x, context = 2.0 * torch.rand(24, dtype=torch.float64) - 1.0, torch.randn(1, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: network(v[None], context)[0], x)  # [24, 3, 24]
    sees, turn = jacobian.abs().amax(1) > 0, order()
    earlier = turn.unsqueeze(1) > turn.unsqueeze(0)
    assert not (sees & ~earlier).any()
    if (field, blocks) == (4, 3):  # far enough for everything before
        assert torch.equal(sees, earlier)
    by_context = torch.autograd.functional.jacobian(lambda c: network(x[None], c)[0], context)
    assert by_context.any()


def test_it_sees_as_far_as_its_taps():
    torch.manual_seed(0)
    network = MaskedCNN((1, 9, 9), 1, width=8, blocks=2, field=2, reach=1)
    torch.nn.init.normal_(network.out.weight)
    x = torch.randn(1, 81)
    jacobian = torch.autograd.functional.jacobian(network, x).flatten(0, 2).squeeze(1)
    sees = (jacobian.reshape(81, 9, 9)[6 * 9 + 4] != 0).nonzero()
    assert sees[:, 0].min() == 6 - 2 - 2
    assert (sees[:, 1].min(), sees[:, 1].max()) == (0, 4 + 2 + 2)


def test_a_masked_convolution_is_one_with_a_kernel_that_is_zero_ahead():
    torch.manual_seed(0)
    for reach, here in itertools.product((1, 2, 3), (False, True)):
        masked = MaskedConvolution(2, 5, reach, here=here).double()
        kernel = torch.zeros(5, 2, 2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
        taps = [*masked.taps, (0, 0)] if here else masked.taps
        for index, (row, column) in enumerate(taps):
            kernel[:, :, reach + row, reach + column] = masked.weight[index].T
        x = torch.randn(3, 2, 6, 7, dtype=torch.float64)
        torch.testing.assert_close(masked(x), torch.nn.functional.conv2d(x, kernel, masked.bias, padding=reach))


@torch.no_grad()
@pytest.mark.parametrize("shape", [[1, 2, 2], [2, 1, 2]])
def test_probabilities_of_all_images_sum_to_one(make_model, shape):
    model = make_model(event_shape=shape, levels=3, scale=1.0).double()
    images = torch.tensor(list(itertools.product(range(3), repeat=4)), dtype=torch.float64).reshape(-1, *shape)
    density = model.log_prob(images + 0.5).exp()
    assert density.std() > 1e-3
    assert float(density.sum()) == pytest.approx(1.0, abs=1e-12)


@torch.no_grad()
def test_a_level_costs_what_the_categorical_distribution_says(make_model):
    model = make_model(event_shape=[2, 3, 3], levels=7, scale=0.3).double()
    (transform,) = model.transforms
    x = 7.0 * torch.rand(5, 2, 3, 3, dtype=torch.float64)
    logits = transform.network(Interval(0.0, 7.0)(x.flatten(1))[0])
    expected = torch.distributions.Categorical(logits=logits).log_prob(x.floor().flatten(1)).sum(1)
    # a share of a millionth is put aside for every bin
    torch.testing.assert_close(model.log_prob(x), expected, rtol=0, atol=1e-3)
    assert not torch.equal(model.log_prob(x), model.log_prob((x + 1.0) % 7.0))


@torch.no_grad()
def test_sampling_computes_each_pixel_once(make_model, monkeypatch):
    model = make_model(event_shape=[2, 3, 4], levels=5, blocks=2).double()
    steps, passes = [], []
    step, forward = MaskedCNN.step, MaskedCNN.forward
    monkeypatch.setattr(MaskedCNN, "step", lambda self, *given: steps.append(1) or step(self, *given))
    monkeypatch.setattr(MaskedCNN, "forward", lambda self, *given: passes.append(1) or forward(self, *given))
    x = model.sample(6, seed=0)
    assert (len(steps), len(passes)) == (12, 0)
    assert ((x >= 0) & (x <= 5)).all()
    z, _ = model.to_noise(x)
    torch.testing.assert_close(model.to_data(z)[0], x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", [{}, {"levels": 5}, {"map": "affine", "event_shape": [2, 2, 2]}])
def test_gradients_pass_through_the_inverse(make_model, config):
    (transform,) = make_model(**config).double().transforms
    z = 1.9 * torch.rand(3, transform.network.size, dtype=torch.float64) - 0.95
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: transform.inverse(z), (z,))
    with torch.no_grad():
        kept = transform.inverse(z)
    for a, b in zip(kept, transform.inverse(z), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_it_begins_at_the_distribution_of_all_pixels_together():
    torch.manual_seed(0)
    model = PixelCNN(event_shape=[1, 4, 4], levels=8, width=4, blocks=1)
    levels = torch.distributions.Categorical(torch.tensor([0.5, 0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.2])).sample((2000, 1, 4, 4))
    x = levels + torch.rand(levels.shape)
    model.prepare(x)
    counts = levels.flatten().bincount(minlength=8).double()
    entropy = torch.distributions.Categorical(counts / counts.sum()).entropy()
    assert float(-model.log_prob(x).mean()) == pytest.approx(16 * float(entropy), rel=1e-3)


def test_a_spline_begins_nearer_to_normal_than_the_identity():
    torch.manual_seed(0)
    model = PixelCNN(event_shape=[2, 4, 4], width=4, blocks=1, bins=16)
    x = torch.rand(2000, 2, 4, 4).pow(4)
    (transform,) = model.transforms
    with torch.no_grad():
        model.prepare(x)
        fitted = model.log_prob(x).mean()
        transform.network.out.bias.zero_()
        assert fitted > model.log_prob(x).mean() + 2.0


@torch.no_grad()
def test_sums_of_a_histogram_never_leave_the_levels():
    """Uniform noise may be rounded up to the next level, and the shares' sum to more than 1: neither costs all mass."""
    torch.manual_seed(0)
    histogram = HistogramMap(256)
    parameters = 8.0 * torch.randn(256, 1, 4000)
    top = torch.ones(1, 1, 4000)
    z, log_slope = histogram.forward(top, parameters)
    assert (z.abs() <= 1.0).all()
    assert log_slope.isfinite().all()
    model = PixelCNN(event_shape=[1, 4, 4], levels=256, width=4)
    assert model.log_prob(torch.full((1, 1, 4, 4), 256.0)).isfinite().all()
    assert model.log_prob(torch.full((1, 1, 4, 4), 256.5)).item() == -math.inf
    assert model.log_prob(torch.full((1, 1, 4, 4), -0.5)).item() == -math.inf


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_histogram_and_its_inverse_agree(dtype):
    torch.manual_seed(0)
    histogram = HistogramMap(16, 2.0)
    parameters = torch.randn(16, 1, 500).to(dtype)
    x = (4.0 * torch.rand(1, 1, 500) - 2.0).to(dtype)
    z, log_slope = histogram.forward(x, parameters)
    back, inverse_slope = histogram.inverse_with_slope(z, parameters)
    assert z.dtype == back.dtype == log_slope.dtype == dtype
    resolution = torch.finfo(dtype).eps
    torch.testing.assert_close(back, x, rtol=0, atol=400 * resolution)
    if dtype == torch.float64:
        torch.testing.assert_close(log_slope, -inverse_slope, rtol=0, atol=1e-12)
    knots = torch.linspace(-2.0, 2.0, 17, dtype=dtype).expand(1, 1, 17)
    shares = torch.softmax(parameters[:, :, :1].double(), 0)
    z, _ = histogram.forward(knots, parameters[:, :, :1])
    expected = 4.0 * torch.cat([torch.zeros(1), shares.flatten().cumsum(0)]) - 2.0
    torch.testing.assert_close(z.flatten().double(), expected, rtol=0, atol=max(1e-4, 8 * resolution))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_shape": [4]}, r"pixels need an event_shape \[channels, height, width\], not \[4\]"),
        ({"map": "histogram"}, "a histogram has a bin for each level, so it needs levels"),
        ({"levels": 5, "alpha": 0.1}, "alpha is that of a logit"),
        ({"levels": 5, "bins": 4}, "bins are those of splines"),
        ({"levels": 5, "bound": 4.0}, "bound is that of splines"),
        ({"levels": 1}, "2 levels or more"),
        ({"width": 0}, "width must be 1 or more"),
        ({"blocks": -1}, "blocks must be 0 or more"),
        ({"field": 0}, "field must be 1 or more"),
        ({"reach": 0}, "reach must be 1 or more"),
        ({"bounds": {"0": [0.0, 1.0]}}, "bounds are those of columns"),
    ],
)
def test_what_it_cannot_be_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        PixelCNN(**{"event_shape": [1, 4, 4], **config})


def test_another_map_is_named():
    with pytest.raises(UnknownNameError, match="histogram"):
        PixelCNN(event_shape=[1, 4, 4], map="cubic")


def test_defaults_follow_the_data():
    kinds = [PixelCNN(event_shape=[1, 4, 4], **given).transforms[0].map for given in ({}, {"levels": 9})]
    assert [type(each) for each in kinds] == [SplineMap, HistogramMap]
    assert kinds[1].bins == 9
