"""PixelCNN: nothing looks ahead, levels have the probabilities of a softmax, and samples need each pixel once."""

import itertools
import math

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError, UnknownNameError  # noqa: E402 - after the check for torch
from zoo_flows.bases import Logistic  # noqa: E402 - after the check for torch
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


@pytest.mark.parametrize("levels", [None, 8])
@pytest.mark.parametrize(("field", "reach", "blocks"), [(4, 2, 3), (1, 1, 2), (3, 1, 0)])
def test_parameters_depend_on_components_before_alone(scramble, levels, field, reach, blocks):
    torch.manual_seed(0)
    network = MaskedCNN(SHAPE, 3, context=2, width=16, blocks=blocks, field=field, reach=reach, levels=levels)
    scramble(network, scale=0.5).double()
    context = torch.randn(1, 2, dtype=torch.float64)
    sees = torch.zeros(24, 24, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(4):  # a ReLU may be shut in one place
            x = 2.0 * torch.rand(1, 24, dtype=torch.float64) - 1.0
            each = torch.where(torch.eye(24, dtype=torch.bool), (x + 1.5) % 2.0 - 1.0, x)
            sees |= (network(each, context.expand(24, 2)) - network(x, context)).abs().amax(2).T > 1e-12
    turn = order()
    earlier = turn.unsqueeze(1) > turn.unsqueeze(0)
    assert not (sees & ~earlier).any()
    if (field, blocks) == (4, 3):  # far enough for everything before
        assert torch.equal(sees, earlier)
    by_context = torch.autograd.functional.jacobian(lambda c: network(x, c)[0], context)
    assert by_context.any()


@torch.no_grad()
def test_a_network_of_levels_sees_which_one_a_value_lies_in_and_no_more():
    network = MaskedCNN((1, 1, 4), 2, levels=4)
    x = torch.tensor([-1.0, -0.75, -0.51, -0.5, 0.0, 0.49, 0.5, 0.99, 1.0, 1.2, -1.1])
    centres, lowest, highest = network.features(x).unbind(-1)
    assert centres.tolist() == [-0.75, -0.75, -0.75, -0.25, 0.25, 0.25, 0.75, 0.75, 0.75, 0.75, -0.75]
    assert lowest.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert highest.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]


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
    # a small share is put aside for every bin
    torch.testing.assert_close(model.log_prob(x), expected, rtol=0, atol=1e-5)
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
    levels = torch.distributions.Categorical(torch.tensor([0.5, 0.0, 0.1, 0.0, 0.1, 0.0, 0.1, 0.2])).sample(
        (2000, 1, 4, 4)
    )
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
    for end in (-1.0, 1.0):
        z, log_slope = histogram.forward(torch.full((1, 1, 4000), end), parameters)
        assert z.isfinite().all()
        assert log_slope.isfinite().all()
    model = PixelCNN(event_shape=[1, 4, 4], levels=256, width=4)
    assert model.log_prob(torch.full((1, 1, 4, 4), 256.0)).isfinite().all()
    assert model.log_prob(torch.full((1, 1, 4, 4), 256.5)).item() == -math.inf
    assert model.log_prob(torch.full((1, 1, 4, 4), -0.5)).item() == -math.inf


@torch.no_grad()
def test_what_is_no_number_has_no_density(make_model):
    model = make_model(levels=5)
    x = torch.full((2, 1, 2, 2), 2.5)
    x[0, 0, 1, 0] = math.nan
    density = model.log_density(x)
    assert density[0].isnan()
    assert density[1] == model.log_density(x[1:])


def test_edges_and_turns_are_those_of_its_levels(make_model):
    """What the proof of an export lets through: the level alone decides, and later components alone change."""
    model = make_model(event_shape=list(SHAPE), levels=4, field=4, reach=2, blocks=2).double()
    assert model.edges == (1.0, 2.0, 3.0)
    assert sorted(model.turns, key=order().__getitem__) == list(model.turns)
    for config in ({}, {"levels": 4, "map": "affine"}):
        assert make_model(**config).edges == make_model(**config).turns == ()
    (transform,) = model.transforms
    below, above = (torch.full((1, *SHAPE), 2.5, dtype=torch.float64) for _ in range(2))
    first, second = model.turns[4:6]
    below.view(-1)[first], above.view(-1)[first] = 2.0 - 1e-6, 2.0 + 1e-6
    parameters = [transform.network(model.preprocessing[0](x.flatten(1))[0])[0] for x in (below, above)]
    changed = (parameters[0] - parameters[1]).abs().amax(1) > 1e-4
    assert changed[second]
    assert not changed[list(model.turns[:5])].any()


@torch.no_grad()
def test_a_logistic_base_is_a_uniform_variable_in_both_tails():
    noise = torch.linspace(-7.0, 7.0, 2001)
    z = Logistic(1).from_noise(noise.unsqueeze(1)).squeeze(1)
    exact = torch.special.log_ndtr(noise.double()) - torch.special.log_ndtr(-noise.double())
    torch.testing.assert_close(z.double(), exact, rtol=1e-6, atol=1e-6)
    assert (z.diff() > 0).all()
    assert torch.equal(z, -Logistic(1).from_noise(-noise.unsqueeze(1)).squeeze(1))


@torch.no_grad()
def test_a_rare_level_is_drawn_with_its_digits():
    """Where one level has nearly all mass, float32 has a digit or two of what is left of 1, and all of a tail."""
    torch.manual_seed(0)
    histogram = HistogramMap(256)
    parameters = torch.cat([torch.full((1, 1, 1000), 17.0), torch.randn(255, 1, 1000)])
    noise = torch.linspace(3.5, 5.0, 1000).reshape(1, 1, 1000)
    x = [
        histogram.inverse(Logistic(1).from_noise(noise.to(dtype)), parameters.to(dtype)).double()
        for dtype in (torch.float32, torch.float64)
    ]
    assert (x[1] > -0.9).float().mean() > 0.3  # rare levels are among them
    assert ((x[0] - x[1]).abs() * 128).max() < 0.02  # levels


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
    torch.testing.assert_close(back, x, rtol=0, atol=1000 * resolution)
    if dtype == torch.float64:
        torch.testing.assert_close(log_slope, -inverse_slope, rtol=0, atol=1e-12)
    knots = torch.linspace(-2.0, 2.0, 17, dtype=dtype).expand(1, 1, 17)
    shares = torch.softmax(parameters[:, :, :1].double(), 0)
    z, _ = histogram.forward(knots, parameters[:, :, :1])
    expected = torch.logit(shares.flatten().cumsum(0)[:-1])
    torch.testing.assert_close(z.flatten()[1:-1].double(), expected, rtol=0, atol=max(1e-5, 8 * resolution))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_shape": [4]}, r"pixels need an event_shape \[channels, height, width\], not \[4\]"),
        ({"map": "histogram"}, "a histogram has a bin for each level, so it needs levels"),
        ({"levels": 5, "alpha": 0.1}, "alpha is that of a logit"),
        ({"levels": 5, "bins": 4}, "bins are those of splines"),
        ({"levels": 5, "bound": 4.0}, "bound is that of splines"),
        ({"levels": 1}, "2 levels or more"),
        ({"levels": 200_000_000}, "a bin for each level, and 200000000 are more than 65536"),
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
