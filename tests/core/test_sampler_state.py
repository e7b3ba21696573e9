"""States: begun from noise or data, cut into parts, saved and loaded; around a denoiser known in closed form."""

import dataclasses
import inspect

import numpy as np
import pytest

from zoo import noise
from zoo.errors import DataError, UsageError, ZooError
from zoo.noise import Stream
from zoo.paths import path_from
from zoo.programs import Iterate
from zoo.samplers import BUILTIN, GAUSSIAN, inversion, spaced_times, table_for
from zoo.samplers.state import RowInputs, SamplerState, begin, encoded, to_data

EVENT = (2, 3)
PROGRAM = Iterate("step", path=path_from("vp-linear").describe(), shift=3.0, scale=2.0, null_class=4)
#: all but those made for one kind of path
SAMPLERS = sorted(name for name in GAUSSIAN if not name.startswith("flow-"))


def denoise(x, alpha, sigma):
    """The posterior mean for data N(0.3, 0.5²) in state units."""
    return 0.3 + alpha * 0.25 / (alpha**2 * 0.25 + sigma**2) * (x - alpha * 0.3)


def run(state, rows=None, program=PROGRAM):
    """What a runtime does, in float64."""
    slots, index = state.slots.astype(np.float64), state.row
    with RowInputs(program, state, np.float64) as inputs:
        for row in state.remaining(rows):
            given = inputs(row)
            d = denoise(slots[0], row.alpha, row.sigma)
            d = given["mask"] * d + (1 - given["mask"]) * given["known"]
            slots = np.tensordot(given["matrix"], np.concatenate([slots, d[None]]), 1)
            slots[0] += given["noise_scale"] * given["noise"]
            index = row.index + 1
    return state.moved(slots, index)


def started(n=4, program=PROGRAM, sampler="ddim", steps=6, strength=None, **given):
    options = {name: given.pop(name) for name in ("eta", "spacing") if name in given}
    table = table_for(program, sampler, steps, strength=strength, **options)
    return begin(program, table, EVENT, n, seed=5, strength=strength, dtype=np.float64, **given)


@pytest.fixture
def data():
    return 3.0 + 2.0 * np.random.default_rng(1).normal(0.3, 0.5, (4, *EVENT))


def test_noise_is_counted_by_sample_and_row():
    state = started(eta=1.0)
    row = next(state.remaining(1))
    with RowInputs(PROGRAM, state) as inputs:
        given = inputs(row)
    np.testing.assert_array_equal(given["noise"], noise.normal(5, 4, EVENT, step=0, stream=Stream.STEP))
    np.testing.assert_allclose(state.slots[0], state.table.initial_scale * noise.normal(5, 4, EVENT).astype(float))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_stopping_saving_and_going_on_changes_nothing(sampler, tmp_path):
    whole = run(started(sampler=sampler))
    assert whole.done
    for rows in (1, len(whole.table) // 2):
        run(started(sampler=sampler), rows).save(tmp_path / "half.safetensors", about={"model": "x"})
        resumed = SamplerState.load(tmp_path / "half.safetensors")
        assert resumed.row == rows
        np.testing.assert_array_equal(run(resumed).slots, whole.slots)


def test_everything_is_saved(data, tmp_path):
    state = started(
        condition=np.arange(4, dtype=np.int32),
        other=np.full(4, 2, np.int32),
        init=data,
        mask=np.eye(2, 3),
        first=7,
    )
    state.save(str(tmp_path / "state.safetensors"))
    loaded = SamplerState.load(str(tmp_path / "state.safetensors"))
    for field in dataclasses.fields(state):
        a, b = getattr(state, field.name), getattr(loaded, field.name)
        if field.name == "table":
            for column in dataclasses.fields(a):
                np.testing.assert_array_equal(getattr(a, column.name), getattr(b, column.name))
        else:
            np.testing.assert_array_equal(a, b)


def test_parts_go_on_as_they_would_together(data):
    state = started(sampler="ddpm", init=data, strength=0.5, mask=np.eye(2, 3), condition=np.arange(4))
    whole = run(state).slots
    np.testing.assert_allclose(run(state.part(slice(1, 3))).slots, whole[:, 1:3], rtol=0, atol=1e-14)
    inner = state.part(slice(1, 4)).part(slice(1, 2))
    assert inner.first == 2
    np.testing.assert_allclose(run(inner).slots, whole[:, 2:3], rtol=0, atol=1e-14)


# -- from data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_strength_takes_the_last_steps_of_the_same_grid(sampler):
    path = path_from(PROGRAM.path)
    whole = spaced_times(path, 10, inspect.signature(BUILTIN[sampler]).parameters["spacing"].default)
    table = table_for(PROGRAM, sampler, 10, strength=0.35)
    # a sampler may add noise before its first evaluation, or evaluate in between, but not after the end
    assert table.time[0] >= path.network_time(whole[-4]) - 1e-9
    assert table.time[0] <= path.network_time(whole[-6])
    assert len(table) < len(table_for(PROGRAM, sampler, 10))


def test_a_little_strength_changes_little_and_none_nothing(data):
    def distance(strength):
        return np.abs(to_data(PROGRAM, run(started(init=data, strength=strength, steps=50))) - data).mean()

    assert distance(0) == pytest.approx(0, abs=1e-12)
    distances = [distance(s) for s in (0.02, 0.3, 0.6, 1.0)]
    assert distances == sorted(distances)
    assert distances[0] < 0.2 * distances[-1]


def test_strength_starts_at_the_marginal_of_its_time(data):
    state = started(init=data, strength=0.5, steps=10)
    alpha, sigma = state.table.alpha[0], state.table.sigma[0]
    expected = alpha * (data - 3.0) / 2.0 + sigma * noise.normal(5, 4, EVENT)
    np.testing.assert_allclose(state.slots[0], expected, atol=1e-7)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_known_comes_out_as_it_was(sampler, data):
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    x = to_data(PROGRAM, run(started(sampler=sampler, init=data, mask=mask)))
    keep = np.broadcast_to(mask == 0, data.shape)
    np.testing.assert_allclose(x[keep], data[keep], atol=1e-9)
    free = to_data(PROGRAM, run(started(sampler=sampler)))
    # this denoiser takes every number for itself, so that the others come out as without a mask
    np.testing.assert_allclose(x[~keep], free[~keep], atol=1e-9)


def test_known_parts_follow_the_path_on_the_way(data):
    """What the network sees there is α·x₀ + σ·ε at every row of a deterministic sampler."""
    state = started(init=data, mask=np.zeros(EVENT), steps=5)
    for index in range(1, 5):
        state = run(state, 1)
        alpha, sigma = state.table.alpha[index], state.table.sigma[index]
        expected = alpha * (data - 3.0) / 2.0 + sigma * noise.normal(5, 4, EVENT)
        np.testing.assert_allclose(state.slots[0], expected, atol=1e-7)


def test_data_under_the_mask_does_not_shine_through(data):
    a = started(init=data, mask=np.ones(EVENT))
    b = started(init=data + 5.0, mask=np.ones(EVENT))
    np.testing.assert_array_equal(a.slots, b.slots)


# -- to noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["vp-linear", "cosine-log-snr", "ddpm-linear", "ve", "edm", "rectified-flow"])
@pytest.mark.parametrize("order", [1, 2])
def test_encoding_and_sampling_gives_the_data_back(path, order, data):
    program = dataclasses.replace(PROGRAM, path=path_from(path).describe())

    def error(steps):
        table = inversion(path_from(path), steps, order=order)
        state = run(begin(program, table, EVENT, 4, seed=0, init=data, dtype=np.float64), program=program)
        z = encoded(state, path_from(path))
        bound = {"noise_max": 80.0} if path == "rectified-flow" else {}
        spacing = {"name": "karras", **bound}
        back = run(started(program=program, sampler="heun", steps=400, noise=z, spacing=spacing), program=program)
        return np.abs(to_data(program, back) - data).max(), z

    (coarse, _), (fine, z) = error(20), error(160)
    assert fine < 0.02 * np.abs(data - 3.0).max()
    assert fine < coarse / (4 if order == 1 else 10) or fine < 2e-3
    # data N(0.3, 0.5²) is normal noise at the other end
    np.testing.assert_allclose(z, ((data - 3) / 2 - 0.3) / 0.5, atol=0.06)


def test_inversion_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match="orders 1 and 2"):
        inversion(path_from("edm"), 10, order=3)
    with pytest.raises(UsageError, match="steps"):
        inversion(path_from("edm"), 0)


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"mask": np.ones(EVENT)}, "a mask needs data"),
        ({"strength": 0.5}, "strength needs data"),
        ({"init": np.zeros((5, *EVENT))}, r"start from has shape \(5, 2, 3\), expected \[4, 2, 3\] or \[2, 3\]"),
        ({"init": np.full(EVENT, np.nan)}, "start from has values that are not finite"),
        ({"init": "abc"}, "not an array of numbers"),
        ({"init": np.zeros(EVENT), "mask": np.ones((3, 3))}, "the mask has shape"),
        ({"init": np.zeros(EVENT), "mask": np.full(EVENT, 2.0)}, "a mask has values from 0"),
        ({"noise": np.zeros((4, 3, 2))}, "noise to start from has shape"),
    ],
)
def test_bad_edits_are_refused(given, match):
    with pytest.raises(ZooError, match=match):
        started(**given)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), "half", True])
def test_strength_outside_its_range_is_refused(strength):
    with pytest.raises(UsageError, match=r"strength lies in \[0, 1\]"):
        table_for(PROGRAM, strength=strength)


def test_strength_needs_a_sampler_with_a_spacing():
    def fixed(path, steps):
        return BUILTIN["ddim"](path, steps)

    with pytest.raises(UsageError, match="takes no spacing"):
        table_for(PROGRAM, "fixed", 5, strength=0.5, samplers={"fixed": fixed})
    with pytest.raises(UsageError, match="finished table"):
        table_for(PROGRAM, BUILTIN["ddim"](path_from("vp-linear"), 5), strength=0.5)


def _without(name):
    return lambda arrays, about: arrays.pop(name)


@pytest.mark.parametrize(
    "change",
    [
        _without("slots"),
        _without("table/time"),
        lambda arrays, about: about.update(row="99"),
        lambda arrays, about: about.update(row="-1"),
        lambda arrays, about: about.update(row="x"),
        lambda arrays, about: about.update(seed="-5"),
        lambda arrays, about: about.update(version="2"),
        lambda arrays, about: about.update(format="pt"),
        lambda arrays, about: arrays.update(slots=arrays["slots"][0]),
        lambda arrays, about: arrays.update(slots=np.concatenate([arrays["slots"]] * 2)),
        lambda arrays, about: arrays.update(condition=np.zeros(3, np.int32)),
        lambda arrays, about: arrays.update(known=np.zeros((4, 2, 3), np.float32)),
        lambda arrays, about: arrays.update({"table/time": np.zeros(2)}),
    ],
)
def test_a_damaged_state_is_refused(change, tmp_path):
    from zoo import weights

    path = tmp_path / "state.safetensors"
    started().save(path)
    arrays, about = weights.read(path), weights.metadata(path)
    change(arrays, about)
    weights.write(path, arrays, metadata=about)
    with pytest.raises(DataError, match=r"sampler state"):
        SamplerState.load(path)


def test_a_finished_table_takes_the_strength_that_it_was_made_for():
    table = table_for(PROGRAM, "ddim", 10, strength=0.4)
    assert table.strength == 0.4
    assert table_for(PROGRAM, table, strength=0.4) is table
    with pytest.raises(UsageError, match="its strength cannot be changed"):
        table_for(PROGRAM, table, strength=0.5)
