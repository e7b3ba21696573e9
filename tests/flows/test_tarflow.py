"""TarFlow: nothing looks ahead, samples need each token once, and noise is for training alone."""

import math

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError, UsageError  # noqa: E402 - after the check for torch
from zoo_flows.tarflow import TarFlow  # noqa: E402
from zoo_flows.transforms import AffineMap, NoiseAugmentation, Patchwise, SplineMap, rational_quadratic  # noqa: E402
from zoo_flows.transforms.causal import Block, CausalTransformer  # noqa: E402


@pytest.fixture
def make_network(scramble):
    def make(**settings):
        torch.manual_seed(0)
        made = CausalTransformer(12, 3, 2, context=2, width=8, layers=2, heads=2, **settings)
        return scramble(made, scale=0.5).double()

    return make


def test_with_an_inner_layer_parameters_depend_on_all_components_before(make_network):
    x, context = torch.randn(12, dtype=torch.float64), torch.randn(1, 2, dtype=torch.float64)
    network = make_network(inner=4)
    jacobian = torch.autograd.functional.jacobian(lambda v: network(v[None], context)[0], x)  # [12, 2, 12]
    assert torch.equal(jacobian.abs().amax(1) > 0, torch.ones(12, 12).tril(-1).bool())
    fresh = CausalTransformer(12, 3, 2, inner=4)
    assert not fresh(torch.randn(2, 12)).any()  # begins at the parameters of the identity


@pytest.mark.parametrize("window", [[1], [1, 2], [1, 3, 7]])
def test_parameters_depend_on_the_patches_before_alone(make_network, window):
    network = make_network(window=window)
    x, context = torch.randn(12, dtype=torch.float64), torch.randn(1, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: network(v[None], context)[0], x)  # [12, 2, 12]
    blocks = jacobian.abs().amax(1).unflatten(0, (4, 3)).amax(1).unflatten(1, (4, 3)).amax(2)
    assert torch.equal(blocks > 0, torch.ones(4, 4).tril(-1).bool())
    by_context = torch.autograd.functional.jacobian(lambda c: network(x[None], c)[0], context)
    assert (by_context != 0).all()


@torch.no_grad()
def test_sampling_passes_each_token_once(scramble, monkeypatch):
    torch.manual_seed(0)
    transform = scramble(Patchwise(12, AffineMap(), patch=3, width=8, layers=2, heads=2), scale=0.5).double()
    seen = []
    forward = Block.forward
    monkeypatch.setattr(
        Block, "forward", lambda self, h, extend=None: seen.append(h.shape[1]) or forward(self, h, extend)
    )
    z = torch.randn(5, 12, dtype=torch.float64)
    x, _ = transform.inverse(z)
    assert seen == [1] * (4 * 2)
    torch.testing.assert_close(transform(x)[0], z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("map", "inner"), [(AffineMap(), 0), (AffineMap(), 3), (SplineMap(4), 3)])
def test_gradients_pass_through_the_inverse(scramble, map, inner):
    transform = scramble(Patchwise(6, map, patch=2, width=4, layers=1, heads=1, inner=inner), scale=0.5).double()
    z = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: transform.inverse(z), (z,))
    with torch.no_grad():
        kept = transform.inverse(z)
    for a, b in zip(kept, transform.inverse(z), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_token_is_computed_from_the_patches_of_its_window():
    """Without blocks there is no attention: what an output depends on is what its token sees, beside and above it."""
    model = TarFlow(event_shape=[1, 6, 10], patch=2, transforms=1, window=1, width=8)
    (transform,) = (each for each in model.transforms if isinstance(each, Patchwise))
    network = transform.network
    network.blocks = torch.nn.ModuleList()
    torch.nn.init.normal_(network.out.weight)
    x = torch.randn(1, 60)
    given = network(x).unflatten(1, (3, 5, 4))
    for row in range(3):
        for column in range(5):
            changed = x.clone().unflatten(1, (3, 5, 4))
            changed[0, row, column] += 1.0
            differs = (network(changed.flatten(1)).unflatten(1, (3, 5, 4)) != given).flatten(3).any(3)[0]
            # behind the end of a row the next one begins
            after = {row * 5 + column + step for step in (1, 4, 5, 6) if row * 5 + column + step < 15}
            assert {5 * r + c for r, c in differs.nonzero().tolist()} == after
    assert [*network.window] == [1, 4, 5, 6]


@torch.no_grad()
def test_values_of_a_channel_mean_the_same_everywhere():
    x = torch.randint(0, 9, (500, 2, 2, 3)).float()
    x[:, 0, 0, 0] = 0.0
    settings = {"event_shape": [2, 2, 3], "patch": 1, "levels": 9, "marginal_bins": 4, "per_channel": True}
    model = TarFlow(**settings)
    model.prepare(x + 0.5)
    torch.nn.init.normal_(model.transforms[0].parameters_of_splines)
    u = torch.full((1, 12), 4.5)
    for transform in [*model.preprocessing, model.transforms[0]]:
        u, _ = transform(u)
    first, second = u.unflatten(1, (2, 6))[0]
    assert len(set(first.tolist())) == len(set(second.tolist())) == 1
    assert first[0] != second[0]
    pooled = TarFlow(**{**settings, "marginal_bins": 0})
    pooled.prepare(x + 0.5)
    u = (x + 0.5).flatten(1)
    for transform in pooled.preprocessing:
        u, _ = transform(u)
    std, mean = torch.std_mean(u.unflatten(1, (2, 6)), dim=(0, 2))
    torch.testing.assert_close(std, torch.ones(2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mean, torch.zeros(2), rtol=0, atol=1e-4)
    with pytest.raises(ConfigError, match="per_channel is for images"):
        TarFlow(event_shape=[4], per_channel=True)


@torch.no_grad()
def test_training_begins_with_the_marginal_distribution_of_all_components():
    """Two peaks and what is between them, as of pixels: far from normal, and flat once it is known."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(4000, 6, generator=generator)
    x = torch.rand(4000, 6, generator=generator)
    x = torch.where(kinds < 0.7, 0.05 * x, torch.where(kinds < 0.9, x, 0.98 + 0.02 * x))
    settings = {"event_shape": [6], "patch": 2, "transforms": 1, "width": 8, "layers": 1}
    # of the uniform within 0.05 with 0.7, within 1 with 0.2, and within 0.02 with 0.1, a component
    p = [0.7 / 0.05 + 0.2, 0.2, 0.1 / 0.02 + 0.2]
    entropy = -6 * sum(width * each * math.log(each) for width, each in zip((0.05, 0.93, 0.02), p, strict=True))
    scores = {}
    for inner in (0, 5):
        model = TarFlow(**settings, map="spline", bins=24, inner=inner)
        model.prepare(x)
        scores[inner] = -model.log_prob(x).mean().item()
        z, _ = model.to_noise(x)
        assert z.mean().abs() < 0.05
        assert z.std().item() == pytest.approx(1.0, abs=0.1)
    assert scores[0] == pytest.approx(scores[5], abs=1e-3)
    assert entropy < scores[0] < entropy + 6 * 0.3
    affine = TarFlow(**settings)
    affine.prepare(x)
    assert -affine.log_prob(x).mean() > entropy + 6 * 1.0


@torch.no_grad()
def test_splines_are_fitted_to_all_components_of_many_data():
    """Of 400,000 values every second one is of other components than those between."""
    x = 0.1 * torch.randn(100_000, 4, generator=torch.Generator().manual_seed(0))
    x[:, 1::2] += 2.0
    spline = SplineMap(24)
    z, _ = spline.forward(x.reshape(1, -1), spline.fitted(x.flatten())[:, None])
    assert z.mean().abs() < 0.02
    assert z.std().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("bins", [4, 24])
def test_parameters_of_knots_give_these_knots(bins):
    generator = torch.Generator().manual_seed(bins)
    x, y = (torch.rand(bins, generator=generator).add(0.2).cumsum(0) for _ in range(2))
    x, y = (torch.cat([each.new_tensor([-3.0]), 6.0 * each / each[-1] - 3.0]) for each in (x, y))
    found = rational_quadratic.knots(
        rational_quadratic.parameters_between(x, y, bound=3.0)[:, None], bins=bins, bound=3.0
    )
    torch.testing.assert_close(found.whole[0, :, 0], x, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.whole[1, :, 0], y, rtol=0, atol=1e-5)
    slope = y.diff() / x.diff()
    assert ((found.inner[2, :, 0] - torch.stack([slope[1:], slope[:-1]]).amin(0)) > -1e-5).all()
    assert ((found.inner[2, :, 0] - torch.stack([slope[1:], slope[:-1]]).amax(0)) < 1e-5).all()


@torch.no_grad()
def test_patches_of_images_are_squares():
    model = TarFlow(event_shape=[2, 4, 6], patch=2)
    image = torch.arange(48.0).view(2, 4, 6)
    patches, _ = model.transforms[0](image.view(1, -1))
    torch.testing.assert_close(patches.view(6, 2, 2, 2)[4], image[:, 2:4, 2:4])


@torch.no_grad()
def test_patches_that_were_not_asked_for_fit():
    lengths = {shape: TarFlow(event_shape=shape).transforms[-1].network.patch for shape in [(5,), (1, 8, 8), (3, 4, 6)]}
    assert lengths == {(5,): 1, (1, 8, 8): 16, (3, 4, 6): 12}
    assert TarFlow(event_shape=[1, 4, 4]).transforms[-1].network.patch == 4  # not 16, which would be one patch alone


@torch.no_grad()
def test_noise_is_for_training_alone():
    model = TarFlow(event_shape=[3], transforms=1, noise=0.2)
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    model.eval()
    assert torch.equal(model.to_noise(x)[0], x)
    model.train()
    noise = model.to_noise(x)[0] - x
    assert noise.std().item() == pytest.approx(0.2, rel=0.05)
    assert not torch.equal(noise, model.to_noise(x)[0] - x)
    assert not [part for part in TarFlow(event_shape=[3]).modules() if isinstance(part, NoiseAugmentation)]


@torch.no_grad()
@pytest.mark.parametrize("condition", [None, {"kind": "classes", "size": 3}])
def test_noise_is_taken_away_by_tweedies_formula(condition):
    """Of normal data, to which a fresh flow is fitted, remains the share 1 - σ² of what they deviate by."""
    x = 3.0 + 2.0 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    model = TarFlow(event_shape=[4], noise=0.3, condition=condition)
    model.prepare(x)
    model.eval()
    expected = x.mean(0) + (1 - 0.3**2) * (x - x.mean(0))
    torch.testing.assert_close(model.denoised(x), expected, rtol=1e-4, atol=1e-4)
    noisy, clean = (model.sample(6, seed=1, denoise=denoise) for denoise in (False, True))
    torch.testing.assert_close(clean, model.denoised(noisy))
    with pytest.raises(UsageError, match="trained without noise"):
        TarFlow(event_shape=[4]).sample(2, denoise=True)
