"""Composition of conditions: the formula of Liu et al. (2022), of which guidance is the case of one condition."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.conditions import Condition, Part
from zoo.errors import DataError, UsageError
from zoo.noise import normal
from zoo.runtime import load
from zoo.runtime.session import Session
from zoo.samplers.guidance import Weighted
from zoo.samplers.state import SamplerState
from zoo_diffusion.diffusion import Diffusion

BUNDLES = Path(__file__).parents[1] / "bundles" / "parts"
_spec = importlib.util.spec_from_file_location("small_parts", BUNDLES.parents[1] / "small_parts.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

FIRST = {"state": [4.0, 6.0], "prompt": "ab"}
SECOND = {"state": [6.0, 1.0], "prompt": "cabba"}
THIRD = {"image": np.full((1, 4, 4), 0.5, np.float32), "state": [1.0, 2.0]}
MEANS = torch.tensor([0.5, -1.0, 2.0, 0.25])  # the last is the null class's


class Exact(torch.nn.Module):
    """The perfect predictor of the noise of x₀ ~ N(m(c), 1), m one of :data:`MEANS` or of numbers."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, time, condition):
        alpha, sigma = (torch.from_numpy(a).to(x)[:, None] for a in levels(time.numpy()))
        mean = MEANS.to(x)[condition.long()] if isinstance(condition, torch.Tensor) else condition["where"][:, 0]
        return sigma * (x - alpha * mean[:, None])


def levels(time):
    """α and σ at the time that a network of ``vp-linear`` gets: those of the discrete schedule, interpolated."""
    path = Diffusion(torch.nn.Linear(1, 1), (1,)).path
    t = np.linspace(0, 1, 100_001)
    alpha, sigma = path.alpha_sigma(t)
    return tuple(np.interp(time, path.network_time(t), values) for values in (alpha, sigma))


def exact(condition):
    model = Diffusion(Exact(), (2,), condition=condition, prediction="epsilon", likelihood=False)
    return model.double().eval()


CLASSES = exact(Condition.classes(3, required=False))
WHERE = exact(Condition((Part("where", "numbers", (1,), null=0.25),)))


@pytest.mark.parametrize(
    ("model", "given"),
    [(CLASSES, (0, 1, 2)), (WHERE, [{"where": [m]} for m in (0.5, -1.0, 2.0)])],
    ids=["classes", "numbers"],
)
def test_a_composition_is_the_formula(model, given):
    """Of Gaussians of one width, noise predictions are linear in their means: the composition is of the mean's sum."""
    weights = (1.5, 0.75, -0.5)
    found = model.sample(3, seed=1, steps=5, sampler="ddim", compose=list(zip(given, weights, strict=True)))
    table = model.table("ddim", 5)
    x = table.initial_scale * normal(1, 3, (2,)).astype(np.float64)
    for row in table:
        eps = [row.sigma * (x - row.alpha * float(mean)) for mean in MEANS]
        composed = eps[3] + sum(w * (each - eps[3]) for w, each in zip(weights, eps[:3], strict=True))
        x = row.matrix[0, 0] * x + row.matrix[0, 1] * (x - row.sigma * composed) / row.alpha
    np.testing.assert_allclose(found, x, atol=2e-3)


@pytest.fixture(scope="module")
def bundle():
    return load(BUNDLES / "policy", "cpu")


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5, -1.5])
def test_one_condition_is_guidance_bit_for_bit(bundle, weight):
    for model in (bundle, small.policy()):
        composed = model.sample(3, seed=2, compose=[(FIRST, weight)])
        np.testing.assert_array_equal(composed, model.sample(3, seed=2, condition=FIRST, guidance=weight))
    away = {"seed": 2, "negative": SECOND}
    composed = bundle.sample(2, compose=[(FIRST, weight)], **away)
    np.testing.assert_array_equal(composed, bundle.sample(2, condition=FIRST, guidance=weight, **away))


def test_onnx_runtime_composes_as_pytorch_and_encodes_each_condition_once(bundle, monkeypatch):
    composition = [(FIRST, 1.5), (SECOND, 0.75), (THIRD, -0.5)]
    calls, run = [], Session.run
    monkeypatch.setattr(Session, "run", lambda self, *args: calls.append(self.graph.name) or run(self, *args))
    found = bundle.sample(4, seed=3, compose=composition, batch_size=3)
    assert sorted(calls) == sorted([bundle.manifest.graphs["condition"].file] * 4)  # three, and the null
    np.testing.assert_allclose(found, small.policy().sample(4, seed=3, compose=composition), atol=1e-4)
    assert np.abs(found - bundle.sample(4, seed=3, compose=composition[:2])).max() > 1e-3
    # a weight of 0 takes no part, and where all sum to 1, neither does the null
    np.testing.assert_allclose(
        bundle.sample(2, seed=3, compose=[(FIRST, 0.0), (SECOND, 1.0)]),
        bundle.sample(2, seed=3, condition={**SECOND, "prompt": "cabba"}, guidance=1.0),
        atol=1e-5,
    )


def test_a_saved_state_holds_each_condition_as_encoded(bundle, tmp_path, monkeypatch):
    composition = [(FIRST, 2.0), (SECOND, -0.5)]
    whole = bundle.sample(3, seed=4, compose=composition)
    bundle.advance(bundle.begin(3, seed=4, compose=composition), 2).save(tmp_path / "half.safetensors")
    state = SamplerState.load(tmp_path / "half.safetensors")
    assert [each.weight for each in state.further] == [-0.5]
    assert state.further[0].condition.keys() == state.condition.keys() == state.other.keys()
    monkeypatch.setattr(bundle.opened, "sampling_condition", None)  # nothing is encoded again
    np.testing.assert_array_equal(bundle.finish(state), whole)
    np.testing.assert_allclose(small.policy().finish(state), whole, atol=1e-4)
    np.testing.assert_array_equal(bundle.finish(state.part(slice(1, 3))), whole[1:])


def test_a_state_whose_further_conditions_are_not_of_its_samples_is_refused(bundle, tmp_path):
    state = bundle.begin(3, seed=4, compose=[(FIRST, 2.0), (SECOND, -0.5)])

    for wrong in (None, {name: array[:2] for name, array in state.further[0].condition.items()}):
        replace(state, further=(Weighted(wrong, 1.0),)).save(tmp_path / "wrong.safetensors")
        with pytest.raises(DataError, match="further/0"):
            SamplerState.load(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"condition": FIRST, "compose": [(FIRST, 1.0)]}, "there is no condition besides"),
        ({"guidance": 2.0, "compose": [(FIRST, 1.0)]}, "takes no guidance besides"),
        ({"compose": []}, "one pair or more"),
        ({"compose": [FIRST]}, "pairs of a condition and its weight"),
        ({"compose": [(FIRST, float("nan"))]}, "finite number"),
        ({"compose": [(FIRST, True)]}, "finite number"),
    ],
)
def test_what_is_no_composition_is_refused(bundle, options, match):
    for model in (bundle, small.policy()):
        with pytest.raises(UsageError, match=match):
            model.sample(2, seed=0, **options)


def test_models_that_cannot_compose_say_so():
    in_one_call = load(BUNDLES / "posterior", "cpu")
    with pytest.raises(UsageError, match=r"samples in one call.* compose"):
        in_one_call.sample(2, seed=0, compose=[({"state": [90.0, 110.0]}, 1.0), ({"state": [95.0, 100.0]}, 0.5)])
    without = exact(Condition((Part("where", "numbers", (1,)),)))
    for model in (without, exact(Condition.classes(3))):
        value = {"where": [1.0]} if model is without else 1
        with pytest.raises(UsageError, match="guidance needs a"):
            model.sample(2, seed=0, compose=[(value, 1.0), (value, 0.5)])
        # the null has weight 0
        assert torch.equal(
            model.sample(2, seed=0, steps=2, compose=[(value, 1.0)]), model.sample(2, seed=0, steps=2, condition=value)
        )
    wants = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    with pytest.raises(UsageError, match="no gradient"):
        WHERE.sample(1, seed=0, compose=[({"where": wants}, 1.0), ({"where": [2.0]}, 1.0)])
