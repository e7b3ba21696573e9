"""Log-densities of bundles whose density is known in closed form."""

import math

import numpy as np
import pytest

from zoo import noise
from zoo.errors import ConditionError, DataError, UsageError
from zoo.noise import Stream
from zoo.paths import CosineLogSNR
from zoo.runtime import load
from zoo.runtime.data import events


def normal_log_prob(x, mean, std):
    return (-0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).reshape(len(x), -1).sum(1)


def path_log_prob(x, mean, std, *, shift, scale):
    """What the flow along the path gives for N(mean, std²): (state - α·m)/√(α²s² + σ²) is constant along it.

    It differs from the density itself by the ends of the path, where a little of the data is left in the noise.
    """
    mean, std = (mean - shift) / scale, std / scale
    alpha, sigma = CosineLogSNR().alpha_sigma(np.array([0.0, 1.0]))
    spread = np.sqrt(alpha**2 * std**2 + sigma**2)
    end = alpha[1] * mean + spread[1] / spread[0] * ((x - shift) / scale - alpha[0] * mean)
    return normal_log_prob(end, 0.0, 1.0) + end[0].size * (np.log(spread[1] / spread[0]) - np.log(scale))


def test_a_flow_is_scored_exactly(flow, known):
    x = np.random.default_rng(0).normal(0, 2, (20, 2)).astype(np.float32)
    np.testing.assert_allclose(load(flow, "cpu").log_prob(x), known.flow_log_prob(x.astype(float)), rtol=2e-6)


def test_a_gaussian_diffusion_is_scored_in_data_units(diffusion, known):
    x = np.random.default_rng(0).normal(known.mean, known.std, (20, 3))
    density = load(diffusion, "cpu").log_prob(x, steps=128)
    np.testing.assert_allclose(density, path_log_prob(x, known.mean, known.std, shift=3, scale=2), atol=2e-4)
    np.testing.assert_allclose(density.mean(), normal_log_prob(x, known.mean, known.std).mean(), atol=1e-3)


@pytest.mark.parametrize(("condition", "index"), [(None, 3), ("low", 0), (2, 2)])
def test_classes_and_the_null_class_are_scored(classes, known, condition, index):
    mean, std = known.class_means[index], known.class_std
    x = np.random.default_rng(1).normal(mean, std, (6, 1, 2, 2))
    density = load(classes, "cpu").log_prob(x, condition=condition, steps=128)
    np.testing.assert_allclose(density, path_log_prob(x, mean, std, shift=2, scale=2), atol=2e-4)


def test_integers_of_a_discrete_model_are_dequantised_by_the_seed(classes):
    model = load(classes, "cpu")
    x = np.random.default_rng(0).integers(0, 4, (5, 1, 2, 2))
    u = noise.uniform(9, 5, (1, 2, 2), stream=Stream.DEQUANTIZE)
    np.testing.assert_allclose(model.log_prob(x, seed=9), model.log_prob(x.astype(np.float32) + u, seed=9), rtol=1e-9)
    np.testing.assert_array_equal(model.log_prob(x, seed=9), model.log_prob(x.astype(np.uint8), seed=9))
    assert not np.array_equal(model.log_prob(x, seed=9), model.log_prob(x, seed=10))
    # floating-point data is scored as it is
    assert not np.array_equal(model.log_prob(x, seed=9), model.log_prob(x.astype(float), seed=9))


def test_dequantised_values_stay_in_their_bin():
    x = np.full((1 << 12, 16), 255)
    values = events(x, (16,), 256, seed=0)
    assert values.min() >= 255
    assert values.max() < 256
    assert np.abs(values.mean() - 255.5) < 4 * math.sqrt(1 / 12 / values.size)


def test_integers_of_a_continuous_model_are_numbers(flow):
    model = load(flow, "cpu")
    x = np.array([[1, -2], [0, 3]])
    np.testing.assert_array_equal(model.log_prob(x), model.log_prob(x.astype(np.float64)))


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("bundle", ["flow", "diffusion", "classes"])
def test_the_batch_split_changes_nothing(bundle, batch_size, request):
    model = load(request.getfixturevalue(bundle), "cpu")
    x = np.random.default_rng(0).integers(0, 4, (5, *model.event_shape))
    options = {} if bundle == "flow" else {"steps": 8, "probes": 2}
    whole = model.log_prob(x, **options)
    np.testing.assert_allclose(model.log_prob(x, batch_size=batch_size, **options), whole, rtol=1e-5)


def test_progress_counts_evaluations(diffusion):
    seen = []
    load(diffusion, "cpu").log_prob(
        np.zeros((3, 3)), steps=5, probes=2, batch_size=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(i + 1, 80) for i in range(80)]


def test_float64_and_strided_data_are_taken(flow):
    model = load(flow, "cpu")
    x = np.random.default_rng(0).normal(size=(6, 4))
    np.testing.assert_allclose(
        model.log_prob(x[:, ::2]), model.log_prob(x[:, ::2].astype(np.float32).copy()), rtol=1e-9
    )


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("bundle", "x", "message"),
    [
        ("flow", np.zeros((3, 3)), r"shape \(3, 3\), expected \(n, 2\)"),
        ("flow", np.zeros(2), r"shape \(2,\), expected \(n, 2\)"),
        ("flow", np.float32(1), r"shape \(\), expected"),
        ("flow", np.zeros((0, 2)), "no data"),
        ("flow", np.zeros((3, 2), bool), "of type bool"),
        ("flow", np.zeros((3, 2), complex), "of type complex128"),
        ("flow", np.array([["a", "b"]]), "of type <U1"),
        ("flow", np.array([[{}, 1]]), "of type object"),
        ("flow", [[1, 2], [3]], "not an array"),
        ("flow", [[0, 1], [NAN, 2], [INF, NAN]], r"3 of 6 values are not finite .* the first at \[1, 0\]: nan"),
        ("flow", [[1e300, 1]], r"1 of 2 values are not finite in float32 the first at \[0, 0\]"),
        ("classes", np.array([[[[0, 1], [4, -1]]]]), r"2 of 4 values are outside 0 to 3.* at \[0, 0, 1, 0\]: 4"),
    ],
)
def test_data_that_cannot_be_scored_is_refused(bundle, x, message, request):
    with pytest.raises(DataError, match=message):
        load(request.getfixturevalue(bundle), "cpu").log_prob(x)


@pytest.mark.parametrize(
    ("bundle", "options", "error", "message"),
    [
        ("flow", {"steps": 3}, UsageError, "no option steps"),
        ("flow", {"condition": 0}, ConditionError, "takes no condition"),
        ("diffusion", {"steps": 0}, UsageError, "number of steps"),
        ("diffusion", {"probes": -2}, UsageError, "number of probes"),
        ("diffusion", {"seed": "x"}, UsageError, "seed"),
    ],
)
def test_requests_without_sense_are_refused(bundle, options, error, message, request):
    model = load(request.getfixturevalue(bundle), "cpu")
    with pytest.raises(error, match=message):
        model.log_prob(np.zeros((1, *model.event_shape)), **options)
