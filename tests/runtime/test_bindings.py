"""Repeated calls on the CPU are those of single ones: whatever changes from call to call."""

import numpy as np
import pytest

from zoo.errors import DataError, UsageError
from zoo.runtime import load
from zoo.runtime.bindings import _Input
from zoo.samplers import SamplingOptions

STEPS = 3


@pytest.fixture(scope="module")
def session(diffusion):
    session = load(diffusion, "cpu").session("step")
    assert session.bindings() is not None
    return session


def inputs(session, rng, n, slots, evaluations):
    sizes = {"batch": n, "slots": slots, "columns": slots + 1, "evaluations": evaluations}
    return {
        port.name: np.zeros([sizes[d] if isinstance(d, str) else d for d in port.shape], np.int32)
        if port.dtype == "int32"
        else rng.uniform(0.2, 0.8, [sizes[d] if isinstance(d, str) else d for d in port.shape]).astype(np.float32)
        for port in session.inputs
    }


def called(session, feeds, bindings=None):
    resident = {name: session.value(feeds[name]) for name in ("state", "noise")}
    shape = feeds["state"].shape
    results = {"next_state": session.value(np.zeros(shape, np.float32))}
    arrays = {name: array for name, array in feeds.items() if name not in resident}
    session.run_on(arrays, resident, results, bindings)
    return session.fetch(results["next_state"])


def test_calls_of_changing_numbers_and_shapes_are_those_of_single_calls(session):
    rng = np.random.default_rng(0)
    bindings = session.bindings()
    for n, slots, evaluations in ((2, 1, 1), (2, 1, 1), (3, 1, 2), (2, 2, 1), (2, 1, 1)):
        feeds = inputs(session, rng, n, slots, evaluations)
        np.testing.assert_array_equal(called(session, feeds, bindings), called(session, feeds))
        again = {**feeds, "time": feeds["time"] + np.float32(0.01)}  # one number alone
        np.testing.assert_array_equal(called(session, again, bindings), called(session, again))


def test_buffers_that_take_turns_keep_their_values(session):
    feeds = inputs(session, np.random.default_rng(1), 2, 1, 1)
    arrays = {name: array for name, array in feeds.items() if name != "state"}
    bindings, plain = session.bindings(), feeds["state"]
    state, spare = session.value(plain), session.value(plain)
    for turn in range(STEPS):
        arrays["time"] = np.array(0.5 + 0.1 * turn, np.float32)
        session.run_on(arrays, {"state": state}, {"next_state": spare}, bindings)
        state, spare = spare, state
        plain = session.run({**arrays, "state": plain}, ["next_state"])["next_state"]
        np.testing.assert_array_equal(session.fetch(state), plain)
    assert len(bindings._bindings) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time": np.zeros(1, np.float32)}, "input time is float32\\[1\\], expected time float32\\[\\]"),
        ({"time": np.zeros((), np.float64)}, "input time is float64\\[\\], expected time float32\\[\\]"),
        ({"other": np.zeros((), np.float32)}, "has no input other"),
        ({"time": None}, "lacks its input time"),
    ],
    ids=["shape", "type", "unknown", "missing"],
)
def test_inputs_that_do_not_fit_are_refused_after_calls_that_did(session, change, said):
    feeds = inputs(session, np.random.default_rng(2), 2, 1, 1)
    bindings = session.bindings()
    called(session, feeds, bindings)
    wrong = {name: array for name, array in {**feeds, **change}.items() if array is not None}
    with pytest.raises(DataError, match=said):
        called(session, wrong, bindings)


def test_values_of_one_run_serve_the_next_and_never_two_at_once(session):
    feeds = inputs(session, np.random.default_rng(3), 2, 1, 1)
    with session.placing() as (place, bindings), session.placing() as (other_place, other):
        first, second = place("state", feeds["state"]), other_place("state", feeds["state"])
        assert bindings is not other
        assert first.data_ptr() != second.data_ptr()
    with session.placing() as (place, again):
        assert again in (bindings, other)
        value = place("state", feeds["state"] + 1)
        assert value.data_ptr() in (first.data_ptr(), second.data_ptr())
        np.testing.assert_array_equal(session.fetch(value), feeds["state"] + 1)
    with pytest.raises(KeyboardInterrupt), session.placing() as (_, broken):
        raise KeyboardInterrupt
    with session.placing() as (_, after):  # what an error left is dropped
        assert after is not broken


def test_a_large_run_leaves_nothing_behind(session):
    kept = len(session._idle)
    with session.placing() as (place, bindings):
        place("state", np.zeros((1, 1 << 21), np.float32))
        assert not bindings.small
    assert len(session._idle) <= kept


def test_tables_of_runs_are_kept_by_all_that_they_depend_on(diffusion):
    model = load(diffusion, "cpu")
    made = model.opened.tables_made
    options = {"seed": 0, "sampler": "ddim", "steps": 3}
    first = model.sample(2, **options)
    assert len(made) == 1
    np.testing.assert_array_equal(model.sample(2, **options), first)
    assert len(made) == 1
    model.sample(2, **{**options, "eta": 1.0})
    model.sample(2, **{**options, "spacing": "linspace"})
    model.sample(2, **{**options, "steps": 4})
    assert len(made) == 4
    with pytest.raises(UsageError, match="steps"):  # True is equal to 1, and is no number of steps
        model.sample(2, **{**options, "steps": 1}), model.sample(2, **{**options, "steps": True})
    table = model.table("ddim", 3)
    table.noise_scale[:] = 5.0  # a caller's own table is not that of the next run
    np.testing.assert_array_equal(model.sample(2, **options), first)
    assert SamplingOptions(sampler="ddim", own={"spacing": np.linspace(1, 0, 2000)}).table_key is None
    assert SamplingOptions(sampler="ddim", guidance=1.0).table_key != SamplingOptions("ddim", guidance=2.0).table_key


def test_a_value_whose_memory_is_not_seen_is_copied_to(session):
    class Copied:
        """A value of a provider that gives copies."""

        def __init__(self, value):
            self.value = value
            self.data_ptr, self.update_inplace = value.data_ptr, value.update_inplace

        def numpy(self):
            return np.array(self.value.numpy())

    kept = _Input(Copied(session.value(np.zeros((2, 3), np.float32))))
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    kept.write(numbers)
    np.testing.assert_array_equal(session.fetch(kept.value), numbers)
    alone = _Input(Copied(session.value(np.zeros((), np.float32))))
    alone.write(np.array(0.5, np.float32))
    assert session.fetch(alone.value) == np.float32(0.5)
