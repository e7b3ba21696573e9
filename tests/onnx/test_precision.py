"""Fewer bits: rounding is lossless to store, proven as strictly as anything, and its cost is measured and bounded."""

import copy
import dataclasses
import shutil

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from zoo import weights
from zoo.bundle import GOLDEN, Bundle, open_bundle
from zoo.errors import BundleError, ProofError, UnknownNameError, UsageError
from zoo.exporting import export
from zoo.models.sources import resolve
from zoo.runtime import load
from zoo.runtime.check import check
from zoo_onnx.precision import precision
from zoo_onnx.precision.number_formats import Float, Integers
from zoo_onnx.precision.quality import compared, measure

FORMATS = {"float16": Float("float16"), "bfloat16": Float("bfloat16"), "int8": Integers(8), "int4": Integers(4)}
CHOICES = {
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8", "bound": 0.1},
    "int8-dynamic": {"quantize": "int8-dynamic"},
    "int8-weights": {"quantize": "int8-weights"},
    "int4-weights": {"quantize": "int4-weights", "bound": 0.2},
}
#: choices that leave arithmetic in float32: their bundles compute what the rounded model computes
#: the choice of the quick tier, which has others in test_precision_codings and test_graph_writing_options
SAMPLE = ("int8",)
EXACT = ("bfloat16", "int8-weights", "int4-weights")


@pytest.fixture(scope="module")
def plain(steps_bundle):
    return steps_bundle


@pytest.fixture(
    scope="module", params=[name if name in SAMPLE else pytest.param(name, marks=pytest.mark.full) for name in CHOICES]
)
def lowered(request, steps, tmp_path_factory):
    """A choice and its bundle."""
    return request.param, export(steps, tmp_path_factory.mktemp("lowered") / "bundle", **CHOICES[request.param])


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
@given(
    seed=st.integers(0, 1000), scale=st.sampled_from((1e-3, 1.0, 30.0)), shape=st.sampled_from(((8, 32), (16, 4, 3, 4)))
)
def test_what_is_rounded_is_stored_without_loss(format, seed, scale, shape):
    weights = (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
    weights[0] = 0
    rounded = format.rounded(weights)
    held = format.stored(rounded)
    values = held.values.astype(np.float32)
    restored = (values if held.scale is None else values * held.scale).reshape(shape)
    np.testing.assert_array_equal(restored, rounded)
    np.testing.assert_array_equal(format.rounded(rounded), rounded)
    largest = np.abs(weights).max()
    step = {"float16": 2**-10, "bfloat16": 2**-7, "int8": 1.001 / 127, "int4": 1.001 / 7}[format.name] * largest
    assert np.abs(rounded - weights).max() <= step / 2


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_other_weights_are_not_stored(format):
    assert format.stored(np.random.default_rng(0).standard_normal((16, 32)).astype(np.float32)) is None


def test_a_transposed_matrix_is_recognised():
    format = Integers(8)
    rounded = format.rounded(np.random.default_rng(0).standard_normal((24, 32)).astype(np.float32))
    held = format.stored(np.ascontiguousarray(rounded.T))
    assert held.turned
    np.testing.assert_array_equal((held.values * held.scale).astype(np.float32).T, rounded.T)


def test_the_manifest_says_what_it_costs(lowered):
    name, folder = lowered
    stated = open_bundle(folder).manifest.precision
    assert stated["weights"] == name.partition("-")[0]
    assert 0 < stated["loss"]["prediction"] <= stated["bound"]
    assert name in ("int8", "int4-weights") or stated["loss"]["prediction"] < 0.01


def test_weights_shrink(lowered, plain):
    name, folder = lowered
    before, after = ((f / "weights.safetensors").stat().st_size for f in (plain, folder))
    assert after < before * {"float16": 0.75, "bfloat16": 0.75}.get(name, 0.62)


def test_what_computes_in_float32_computes_the_rounded_model(lowered, steps):
    name, folder = lowered
    rounded = copy.deepcopy(steps)
    choice = precision(**CHOICES[name])
    choice.format.round(rounded)
    given = load(folder, "cpu").sample(3, seed=5, sampler="ddim", steps=3)
    difference = np.abs(given - rounded.sample(3, seed=5, sampler="ddim", steps=3).numpy()).max() / 8
    assert (difference < 1e-5) == (name in EXACT)
    assert (choice.arithmetic == "float32") == (name in EXACT)


def test_a_sample_is_the_same_in_any_batch(lowered):
    bundle = load(lowered[1], "cpu")
    whole = bundle.sample(5, seed=2, condition=[0, 1, 2, 0, 1])
    np.testing.assert_allclose(bundle.sample(1, seed=2, condition=0), whole[:1], atol=1e-3)
    np.testing.assert_allclose(bundle.sample(5, seed=2, condition=[0, 1, 2, 0, 1], batch_size=2), whole, atol=1e-3)


def test_the_golden_values_are_replayed(lowered):
    assert check(open_bundle(lowered[1]), "cpu").ok


def test_products_are_lowered(lowered):
    name, folder = lowered
    kinds = {node.op_type for node in onnx.load(folder / "step.onnx", load_external_data=False).graph.node}
    assert ("QuantizeLinear" in kinds) == (name == "int8")
    assert ("MatMulInteger" in kinds) == (name == "int8-dynamic")


def test_a_rounded_bundle_is_no_source_of_a_model(lowered):
    name, folder = lowered
    with pytest.raises(BundleError, match=rf"in {name.partition('-')[0]}"):
        zoo.load(folder)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dtype": "float8"}, UnknownNameError, "float8"),
        ({"quantize": "int3"}, UnknownNameError, "int3"),
        ({"dtype": "float16", "quantize": "int8"}, UsageError, "one of the two"),
        ({"bound": 0.1}, UsageError, "applies only with a dtype or a quantization"),
        ({"dtype": "float16", "bound": -1.0}, UsageError, "above 0"),
        ({"quantize": "int4-weights", "opset": 18}, UsageError, "opset 21"),
        ({"batch": 0}, UsageError, "batch"),
        ({"batch": 2, "fused": {}}, UsageError, "fused"),
    ],
)
def test_what_makes_no_sense_is_refused(gaussian, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        export(gaussian, tmp_path / "bundle", **options)
    assert not any(tmp_path.iterdir())


def test_a_model_without_layers_has_nothing_to_store(gaussian, tmp_path):
    with pytest.raises(UsageError, match="no weights to store in int8"):
        export(gaussian, tmp_path / "bundle", quantize="int8")


def test_a_loss_beyond_the_bound_is_refused(steps, tmp_path):
    with pytest.raises(ProofError, match="changes what the model predicts") as caught:
        export(steps, tmp_path / "bundle", quantize="int8-weights", bound=1e-6)
    assert "--bound" in caught.value.hint
    assert not any(tmp_path.iterdir())


def test_the_cards_metrics_are_measured_again():
    card = resolve(zoo.registry.installed(), "digits-nsf").card
    bundle = load(card.folder / card.bundle, "cpu")
    found, missing = measure(card, bundle)
    metric = card.metrics["test_bits_per_dim"]
    assert missing is None
    assert abs(found["test_bits_per_dim"] - metric["value"]) < metric["standard_error"]
    assert f"the card says {metric['value']:g}" in compared(card, found)


def test_bits_that_were_measured_with_learned_noise_are_not_measured_without_it():
    card = resolve(zoo.registry.installed(), "digits-nsf").card
    learned = {**card.metrics["test_bits_per_dim"], "noise": "learned"}
    bundle = load(card.folder / card.bundle, "cpu")
    found, _ = measure(dataclasses.replace(card, metrics={"test_bits_per_dim": learned}), bundle)
    assert not found


def test_metrics_whose_data_are_missing_are_told():
    card = resolve(zoo.registry.installed(), "digits-nsf").card
    bundle = load(card.folder / card.bundle, "cpu")
    found, missing = measure(dataclasses.replace(card, data={"name": "nowhere"}, recipe=None), bundle)
    assert not found
    assert "nowhere" in missing


def test_golden_values_are_held_to_what_rounding_differently_does(lowered):
    choice, folder = lowered
    manifest = open_bundle(folder).manifest
    assert manifest.proof["tolerance"] == 1e-4
    if manifest.precision["arithmetic"] == "float32":
        assert "tolerances" not in manifest.proof, choice
    else:
        assert set(manifest.proof["tolerances"]) <= {"graph step", "sample"}, choice
        assert all(1e-4 < value < 0.5 for value in manifest.proof["tolerances"].values()), choice
    # here it computes what it computed
    assert max(row.difference for row in check(open_bundle(folder)).rows) <= 1e-5


def test_another_network_is_not_taken_for_the_lowered_one(lowered, tmp_path):
    choice, folder = lowered
    copied = tmp_path / "bundle"
    shutil.copytree(folder, copied)
    arrays = weights.read(copied / GOLDEN)
    for name, array in arrays.items():
        if name.startswith("step/") and name.endswith("/out/denoised"):
            arrays[name] = np.clip(array + 1, -2, 2)
    weights.write(copied / GOLDEN, arrays)
    report = check(Bundle(copied, open_bundle(folder).manifest))
    assert {row.what for row in report.rows if not row.ok} == {"graph step"}, choice
