"""Samples of bundles whose distribution is known in closed form."""

import numpy as np
import pytest

from zoo import noise
from zoo.errors import ConditionError, RuntimeFailure, UnknownNameError, UsageError
from zoo.noise import Stream
from zoo.paths import CosineLogSNR
from zoo.runtime import load
from zoo.samplers import BUILTIN
from zoo.samplers.ddim import ddim
from zoo.samplers.ddpm import ddpm


def reference(table, mean, std, *, n, shape, seed):
    """The loop of `zoo.samplers.table` in float64, around the exact denoiser of N(mean, std²)."""
    x = table.initial_scale * noise.normal(seed, n, shape).astype(float)
    for row in table:
        gain = row.alpha * std**2 / (row.alpha**2 * std**2 + row.sigma**2)
        d = (mean + gain * (x - row.alpha * mean)).clip(-row.clip, row.clip)
        fresh = noise.normal(seed, n, shape, step=row.index, stream=Stream.STEP)
        x = row.matrix[0, 0] * x + row.matrix[0, 1] * d + row.noise_scale * fresh
    return x


def test_a_flow_is_its_affine_map_of_the_specified_noise(flow, known):
    samples = load(flow, "cpu").sample(5, seed=7)
    z = noise.normal(7, 5, (2,))
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, z @ known.flow_factor.T + known.flow_mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"), [("ddim", {}), ("ddim", {"eta": 0.5}), ("ddpm", {}), ("ddpm", {"variance": "large"})]
)
def test_a_diffusion_follows_its_table(diffusion, known, name, options):
    samples = load(diffusion, "cpu").sample(9, seed=3, sampler=name, steps=12, **options)
    table = BUILTIN[name](CosineLogSNR(), 12, **options)
    expected = 3.0 + 2.0 * reference(table, 0.2, 0.4, n=9, shape=(3,), seed=3)
    np.testing.assert_allclose(samples, expected, atol=2e-5)


def test_many_steps_give_the_data_distribution(diffusion, known):
    samples = load(diffusion, "cpu").sample(20_000, seed=1, sampler="ddpm", steps=400)
    error_of_mean = known.std / np.sqrt(samples.size)
    assert abs(samples.mean() - known.mean) < 4 * error_of_mean
    assert abs(samples.std() - known.std) < 4 * error_of_mean / np.sqrt(2) + 0.002 * known.std


def test_a_finished_table_is_run_as_it_is(diffusion):
    model = load(diffusion, "cpu")
    table = ddim(CosineLogSNR(), 6)
    np.testing.assert_array_equal(
        model.sample(3, seed=0, sampler=table), model.sample(3, seed=0, sampler="ddim", steps=6)
    )


def test_samplers_can_be_brought_along(diffusion):
    model = load(diffusion, "cpu", samplers={"mine": ddpm})
    np.testing.assert_array_equal(
        model.sample(2, seed=0, sampler="mine", steps=4),
        load(diffusion, "cpu").sample(2, seed=0, sampler="ddpm", steps=4),
    )
    with pytest.raises(UnknownNameError, match="no sampler named 'ddim'"):
        model.sample(2)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 50])
@pytest.mark.parametrize("bundle", ["flow", "diffusion", "classes"])
def test_the_batch_split_changes_nothing(bundle, batch_size, request):
    model = load(request.getfixturevalue(bundle), "cpu")
    options = {} if bundle == "flow" else {"sampler": "ddpm", "steps": 5}
    whole = model.sample(8, seed=11, batch_size=8, **options)
    np.testing.assert_allclose(model.sample(8, seed=11, batch_size=batch_size, **options), whole, atol=1e-6)
    # and sample i is the same whether or not others follow it
    np.testing.assert_allclose(model.sample(5, seed=11, **options), whole[:5], atol=1e-6)


@pytest.mark.parametrize("bundle", ["flow", "diffusion"])
def test_a_seed_decides(bundle, request):
    model = load(request.getfixturevalue(bundle), "cpu")
    np.testing.assert_array_equal(model.sample(4, seed=5), model.sample(4, seed=5))
    assert not np.array_equal(model.sample(4, seed=5), model.sample(4, seed=6))
    assert not np.array_equal(model.sample(4), model.sample(4))


def test_threads_change_nothing(diffusion):
    one, two = (load(diffusion, "cpu", threads=k).sample(4, seed=0) for k in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_guidance_weighs_class_and_null_class(classes, known, guidance):
    """D is linear in the mean, so guided means are w·class + (1 - w)·null."""
    samples = load(classes, "cpu").sample(6, condition="high", seed=2, guidance=guidance, steps=8)
    means = (known.class_means - 2.0) / 2.0
    guided = guidance * means[2] + (1 - guidance) * means[3]
    table = ddim(CosineLogSNR(), 8).with_clip(1.0)
    state = reference(table, guided, known.class_std / 2.0, n=6, shape=(1, 2, 2), seed=2)
    np.testing.assert_allclose(samples, (2.0 + 2.0 * state).clip(0, 4), atol=2e-5)


def test_classes_come_in_turn(classes):
    model = load(classes, "cpu")
    turn = model.sample(7, seed=4)
    np.testing.assert_array_equal(turn, model.sample(7, seed=4, condition=[0, 1, 2, 0, 1, 2, 0]))
    np.testing.assert_allclose(model.sample(7, seed=4, batch_size=2), turn, atol=1e-6)
    np.testing.assert_array_equal(model.sample(2, seed=4, condition="low"), model.sample(2, seed=4, condition=0))
    assert turn.min() >= 0.0
    assert turn.max() <= 4.0


@pytest.mark.parametrize(("bundle", "batches", "calls"), [("flow", 3, 3), ("diffusion", 3, 60)])
def test_progress_counts_graph_calls_over_all_batches(bundle, batches, calls, request):
    seen = []
    load(request.getfixturevalue(bundle), "cpu").sample(
        6, seed=0, batch_size=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(i + 1, calls) for i in range(calls)]


def test_a_break_down_is_reported_with_its_step(broken_diffusion):
    with pytest.raises(RuntimeFailure, match=r"step 7 of 10: graph step\.onnx .* 4 of 4 samples, first in sample 0"):
        load(broken_diffusion, "cpu").sample(4, seed=0, steps=10)
    assert np.isfinite(load(broken_diffusion, "cpu").sample(4, seed=0, steps=1)).all()


@pytest.mark.parametrize(
    ("bundle", "n", "options", "error", "message"),
    [
        ("flow", 0, {}, UsageError, "1 or more, not 0"),
        ("flow", -1, {}, UsageError, "1 or more, not -1"),
        ("flow", 2.5, {}, UsageError, "1 or more, not 2.5"),
        ("flow", True, {}, UsageError, "1 or more, not True"),
        ("flow", 2**33, {}, UsageError, "at most 4294967296"),
        ("flow", 1, {"seed": -1}, UsageError, "seed"),
        ("flow", 1, {"batch_size": 0}, UsageError, "samples in a batch"),
        ("flow", 1, {"steps": 5}, UsageError, "in one call and has no option steps"),
        ("flow", 1, {"eta": 5}, UsageError, "no option eta"),
        ("flow", 1, {"condition": 1}, ConditionError, "takes no condition"),
        ("diffusion", 1, {"sampler": "ddin"}, UnknownNameError, "no sampler named 'ddin'"),
        ("diffusion", 1, {"steps": 0}, UsageError, "steps must be"),
        ("diffusion", 1, {"eta": 2.0}, UsageError, "eta lies in"),
        ("diffusion", 1, {"beta": 2.0}, UsageError, "sampler ddim"),
        ("diffusion", 1, {"guidance": 2.0}, UsageError, "null class"),
        ("classes", 1, {"condition": 3}, ConditionError, "no class 3"),
        ("classes", 1, {"condition": "hgih"}, ConditionError, "no class 'hgih'"),
        ("classes", 3, {"condition": [0, 1]}, ConditionError, "3 samples need"),
        ("classes", 1, {"guidance": float("nan")}, UsageError, "finite"),
    ],
)
def test_requests_without_sense_are_refused_before_anything_runs(bundle, n, options, error, message, request):
    called = []
    with pytest.raises(error, match=message):
        load(request.getfixturevalue(bundle), "cpu").sample(n, progress=lambda *_: called.append(1), **options)
    assert not called
