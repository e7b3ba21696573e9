"""Masked diffusion: exact probabilities, sampling of them, infilling, and the same in ONNX Runtime."""

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from zoo import runtime  # noqa: E402 - after the checks
from zoo.errors import ConditionError, ConfigError, UsageError  # noqa: E402
from zoo.exporting import export  # noqa: E402
from zoo.modality import Text, describe  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo.samplers.unmasking import unmasking  # noqa: E402
from zoo_diffusion.masked import HIDDEN, MaskedDiffusion  # noqa: E402

CONFIG = {"event_shape": [3], "levels": 3, "width": 8, "layers": 1, "heads": 2, "orders": 2}


def wild(model):
    """With weights far from those at the start, where everything is as likely."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return wild(MaskedDiffusion(**CONFIG))


@pytest.fixture(scope="module")
def everything():
    """All sequences of three symbols of three kinds."""
    return torch.tensor(list(itertools.product(range(3), repeat=3)), dtype=torch.float32)


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked") / "letters"
    card = ModelCard(
        name="letters",
        family="diffusion",
        architecture="masked",
        config=CONFIG,
        event_shape=(3,),
        data={"name": "letters", "levels": 3, "kind": describe(Text(".ab"))},
    )
    export(model, folder, card=card)
    return runtime.load(folder)


def test_probabilities_sum_to_one(model, everything):
    with torch.no_grad():
        log_p = model.log_prob(everything)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(log_p.exp().max()) > 0.1
    noisy = everything + torch.rand(everything.shape, generator=torch.Generator().manual_seed(0)) * 0.999
    torch.testing.assert_close(model.log_prob(noisy), log_p)
    outside = torch.tensor([[0.0, 1.0, 3.0], [-0.1, 0.0, 0.0]])
    assert (model.log_prob(outside) == -torch.inf).all()


def by_any_order(model, everything):
    """The probability of each sequence when positions are revealed one by one in a random order, summed up by hand."""
    total = torch.zeros(len(everything), dtype=torch.float64)
    network = model.network
    for order in itertools.permutations(range(3)):
        log_p = torch.zeros(len(everything), dtype=torch.float64)
        for i, position in enumerate(order):
            tokens = torch.full((len(everything), 3), model.levels)
            tokens[:, list(order[:i])] = everything[:, list(order[:i])].long()
            logits = network(tokens)[:, position].double().log_softmax(-1)
            log_p += logits.gather(1, everything[:, [position]].long())[:, 0]
        total += log_p.exp() / 6
    return total


@pytest.mark.full
def test_many_steps_sample_the_model_of_any_order(model, everything):
    """At 200 steps for three positions, two are hardly ever revealed in one."""
    n = 20_000
    with torch.no_grad():
        drawn = torch.floor(model.sample(n, seed=3, steps=200))
        expected = by_any_order(model, everything).numpy()
    assert expected.sum() == pytest.approx(1)
    place = (drawn @ torch.tensor([9.0, 3.0, 1.0])).long()
    found = np.bincount(place.numpy(), minlength=27) / n
    # standard deviation of a share is at most 0.0035
    np.testing.assert_allclose(found, expected, atol=0.015)
    assert np.abs(expected - 1 / 27).max() > 0.05


def test_one_step_takes_positions_for_independent(model):
    n = 20_000
    drawn = torch.floor(model.sample(n, seed=4, steps=1)).long()
    with torch.no_grad():
        marginals = model.network(torch.full((1, 3), 3)).softmax(-1)[0]
    for position in range(3):
        found = np.bincount(drawn[:, position], minlength=3) / n
        np.testing.assert_allclose(found, marginals[position].numpy(), atol=0.015)


def test_temperature_sharpens_what_is_drawn(model):
    logits = model.network(torch.full((1, 3), 3))[0, 0].detach()
    for temperature in (0.25, 4.0):
        drawn = torch.floor(model.sample(20_000, seed=5, steps=1, temperature=temperature))[:, 0].long()
        found = np.bincount(drawn, minlength=3) / 20_000
        np.testing.assert_allclose(found, (logits / temperature).softmax(0).numpy(), atol=0.015)
    with pytest.raises(UsageError, match="temperature"):
        model.sample(1, temperature=0.0)


def test_everything_is_revealed_at_the_end_and_little_at_first(model):
    state = model.begin(500, seed=0, steps=50)
    first = model.advance(state, 1)
    assert 0.9 < (first.slots == HIDDEN).mean() < 1
    assert (model.advance(state).slots != HIDDEN).all()


def test_loss_bounds_what_any_order_gives(model, everything):
    with torch.no_grad():
        expected = -float(by_any_order(model, everything).log().mean())
        torch.manual_seed(0)
        loss = float(model.loss(everything.repeat(400, 1)))
    assert expected < loss < expected + 3


def test_training_learns_what_goes_together():
    torch.manual_seed(0)
    model = MaskedDiffusion(event_shape=[2], levels=2, width=16, layers=1, heads=2)
    x = torch.randint(2, (256, 1), generator=torch.Generator().manual_seed(0)).float().repeat(1, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(x).backward()
        optimizer.step()
    drawn = torch.floor(model.eval().sample(500, seed=0, steps=40))
    assert float((drawn[:, 0] == drawn[:, 1]).float().mean()) > 0.95
    assert 0.3 < float(drawn[:, 0].mean()) < 0.7


def test_float64(everything):
    model = wild(MaskedDiffusion(**CONFIG)).double()
    assert model.sample(4, seed=0).dtype == torch.float64
    assert float(model.log_prob(everything.double()).exp().sum().detach()) == pytest.approx(1, abs=1e-12)


@torch.no_grad()
def test_the_density_of_an_infinity_is_zero_and_that_of_nan_is_nan(model, everything):
    x = everything[:4].clone().float()
    x[1, 0], x[2, -1], x[3, 0] = math.inf, -math.inf, math.nan
    found = model.log_prob(x)
    assert found[0] == model.log_prob(everything[:1].float())[0]
    assert (found[1:3] == -math.inf).all()
    assert found[3].isnan()


def test_the_bundle_is_the_model(bundle, model, everything):
    np.testing.assert_array_equal(bundle.sample(50, seed=7), model.sample(50, seed=7).numpy())
    cold = {"seed": 1, "steps": 3, "temperature": 0.5}
    np.testing.assert_array_equal(bundle.sample(9, **cold), model.sample(9, **cold).numpy())
    whole = everything.numpy().astype(np.int64)
    np.testing.assert_allclose(bundle.log_prob(whole), model.log_prob(everything).detach().numpy(), atol=1e-5)
    assert bundle.modality == Text(".ab")
    parts = bundle.sample(50, seed=7, batch_size=7)
    np.testing.assert_array_equal(parts, bundle.sample(50, seed=7))


def test_gaps_are_filled_in(bundle, model):
    known = np.array([2, 0, 0])
    mask = np.array([0.0, 1.0, 1.0], np.float32)
    for x in (
        bundle.sample(200, init=known, mask=mask, seed=0),
        model.sample(200, init=known + 0.5, mask=mask, seed=0),
    ):
        whole = np.floor(np.asarray(x))
        assert (whole[:, 0] == 2).all()
        assert len(np.unique(whole[:, 1:], axis=0)) > 2


def test_what_needs_noise_levels_is_refused(bundle, model):
    x = np.zeros((2, 3), np.int64)
    for some in (bundle, model):
        with pytest.raises(UsageError, match="no noise levels"):
            some.sample(2, sampler="ddim")
        with pytest.raises(UsageError, match="cannot start from noised data"):
            some.sample(2, init=x, strength=0.5)
        with pytest.raises(UsageError, match="takes no noise"):
            some.sample(2, noise=np.zeros((2, 3), np.float32))
    with pytest.raises(UsageError, match="no noise levels"):
        bundle.encode(x)
    from zoo.paths import CosineLogSNR, Masking

    with pytest.raises(UsageError, match="masks nothing"):
        unmasking(CosineLogSNR(), 5)
    with pytest.raises(UsageError, match="steps"):
        unmasking(Masking(), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_shape": [2, 3]},
        {"levels": 1},
        {"orders": 0},
        {"width": 9},
        {"sampling": {"sampler": "ddim"}},
        {"sampling": {"guidance": 2.0}},
    ],
)
def test_bad_configs(wrong):
    with pytest.raises(ConfigError):
        MaskedDiffusion(**{**CONFIG, **wrong})


def test_classes_and_guidance():
    condition = {"kind": "classes", "size": 2, "labels": ["a", "b"], "required": False}
    model = wild(MaskedDiffusion(**CONFIG, condition=condition, sampling={"guidance": 2.0}))
    a, b = (torch.floor(model.sample(2000, condition=c, seed=0)).numpy() for c in ("a", "b"))
    shares = [np.bincount(x[:, 0].astype(int), minlength=3) / 2000 for x in (a, b)]
    assert np.abs(shares[0] - shares[1]).max() > 0.05
    with pytest.raises(ConditionError, match="scoring needs the classes"):
        model.log_prob(torch.zeros(1, 3))
    model.loss(torch.zeros(4, 3), condition=torch.tensor([0, 1, 0, 1])).backward()
    assert model.network.classes.weight.grad[:3].abs().sum() > 0
