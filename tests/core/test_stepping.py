"""Sampling in steps around an engine that is neither PyTorch nor ONNX Runtime: a denoiser known in closed form."""

import contextlib

import numpy as np
import pytest

from zoo import noise
from zoo.errors import DataError, UsageError, ZooError
from zoo.noise import Stream
from zoo.paths import path_from
from zoo.programs import Iterate
from zoo.samplers import BUILTIN, Guidance, SamplingOptions, table_for
from zoo.samplers.runs import Engine
from zoo.samplers.stepping import StepSampler

EVENT = (2, 3)
PROGRAM = Iterate("step", path=path_from("vp-linear").describe(), shift=3.0, scale=2.0, steps=6)


class ClosedForm(Engine):
    """The posterior mean for data N(0.3, 0.5²) in state units, of data whose latents are its halves."""

    name, program, event_shape, state_shape, dtype = "closed", PROGRAM, EVENT, EVENT, np.float64

    def __init__(self, size=None):
        self.size = size

    def condition(self, condition, n):
        return None

    def centred(self, x):
        return np.asarray(x) + 0.5 if np.asarray(x).dtype.kind == "i" else x

    def to_latent(self, x):
        return x / 2

    def to_data(self, latent):
        return latent * 2

    def batches(self, n, batch_size):
        size = batch_size or n
        return [slice(first, min(first + size, n)) for first in range(0, n, size)]

    def stepping(self, state, *, denoises):
        def step(slots, row, given):
            gain = row.alpha * 0.25 / (row.alpha**2 * 0.25 + row.sigma**2)
            d = 0.3 + gain * (slots[0] - row.alpha * 0.3)
            d = given["mask"] * d + (1 - given["mask"]) * given["known"]
            slots = np.tensordot(given["matrix"], np.concatenate([slots, d[None]]), 1)
            slots[0] += given["noise_scale"] * given["noise"]
            return slots, d

        return contextlib.nullcontext((state.slots, step))

    def fetch(self, values):
        return values


@pytest.fixture
def sampler():
    return StepSampler(ClosedForm())


def begun(steps, /, n=5, **options):
    return steps.begin(n, seed=7, condition=None, options=SamplingOptions(**options))


def test_samples_are_those_of_the_equations(sampler):
    table = table_for(PROGRAM, "ddpm", 6)
    x = table.initial_scale * noise.normal(7, 5, EVENT).astype(float)
    for row in table:
        gain = row.alpha * 0.25 / (row.alpha**2 * 0.25 + row.sigma**2)
        d = 0.3 + gain * (x - row.alpha * 0.3)
        fresh = noise.normal(7, 5, EVENT, step=row.index, stream=Stream.STEP).astype(float)
        x = row.matrix[0, 0] * x + row.matrix[0, 1] * d + row.noise_scale * fresh
    np.testing.assert_allclose(sampler.finish(begun(sampler, sampler="ddpm")), 2 * (3 + 2 * x), rtol=1e-12)


@pytest.mark.parametrize("name", ["ddpm", "unipc"])
def test_batches_and_stops_change_nothing(sampler, name):
    state = begun(sampler, sampler=name)
    told, seen = [], []
    whole = sampler.finish(state)
    half = sampler.advance(
        state,
        2,
        batch_size=2,
        progress=lambda *call: told.append(call),
        preview=lambda row, part, x: seen.append((row, part.start, x.shape)),
    )
    assert (state.row, half.row, half.done) == (0, 2, False)
    assert told == [(i, 6) for i in range(1, 7)]
    assert [call[:2] for call in seen] == [(0, 0), (1, 0), (0, 2), (1, 2), (0, 4), (1, 4)]
    assert {call[2][1:] for call in seen} == {EVENT}
    np.testing.assert_allclose(sampler.finish(half, batch_size=3), whole, rtol=1e-12)


def test_data_is_encoded_and_comes_back(sampler):
    x = sampler.finish(begun(sampler, sampler="heun", steps=60))
    z = sampler.encode(x, condition=None, steps=60)
    again = sampler.finish(begun(sampler, noise=z, sampler="heun", steps=60, own={"spacing": "karras"}))
    np.testing.assert_allclose(again, x, atol=0.02)


def test_data_to_start_from_goes_through_the_codec(sampler):
    whole = np.arange(6).reshape(EVENT)
    kept = sampler.finish(begun(sampler, init=whole, strength=0))
    np.testing.assert_allclose(kept, np.broadcast_to(whole + 0.5, kept.shape))
    mask = np.eye(2, 3)
    x = sampler.finish(begun(sampler, init=whole, mask=mask))
    keep = np.broadcast_to(mask == 0, x.shape)
    np.testing.assert_allclose(x[keep], np.broadcast_to(whole + 0.5, x.shape)[keep])


def test_what_a_model_cannot_take_is_refused_before_its_network_runs():
    class Latent(ClosedForm):
        state_shape = (2,)

        def stepping(self, *_, **__):
            pytest.fail("it ran")

    latent = StepSampler(Latent())
    for options, error, match in (
        ({"init": np.zeros(EVENT), "mask": np.ones(EVENT)}, UsageError, "closed cannot keep a part of its data"),
        ({"strength": 0.5}, UsageError, "strength needs data"),
        ({"init": np.zeros(4)}, DataError, "data to start from has shape"),
        ({"noise": np.zeros(EVENT)}, DataError, "noise to start from has shape"),
        ({"guidance": 2.0}, UsageError, "null class"),
        ({"own": {"eta": 0.5, "colour": "red"}}, UsageError, "sampler ddim"),
        # names of arguments inside are options that samplers do not have, like any other
        *(({"own": {name: 1}}, UsageError, "sampler ddim") for name in ("samplers", "program", "own", "dtype", "path")),
    ):
        with pytest.raises(error, match=match):
            begun(latent, **options)
    sampler = StepSampler(ClosedForm())
    for rows in (0, -1, True, 1.5):
        with pytest.raises(UsageError, match="number of rows"):
            sampler.advance(begun(sampler), rows)
    with pytest.raises(DataError, match="this model's are"):
        latent.finish(begun(sampler))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"strength": 1.5}, r"strength lies in \[0, 1\]"),
        ({"strength": True}, r"strength lies in \[0, 1\]"),
        ({"guidance": "much"}, "guidance is a weight or a Guidance, not 'much'"),
        ({"guidance": True}, "guidance is a weight or a Guidance, not True"),
        ({"guidance": float("nan")}, "guidance must be a finite number"),
    ],
)
def test_options_are_checked_where_they_are_made(options, match):
    with pytest.raises(ZooError, match=match):
        SamplingOptions(**options)
    with pytest.raises(ZooError, match=match):
        table_for(PROGRAM, **options)


def test_options_know_what_is_given():
    options = SamplingOptions("ddim", mask=np.ones(2), own={"eta": 0.5, "spacing": None})
    assert options.given == ("sampler", "mask", "eta")
    assert options.own == {"eta": 0.5, "spacing": None}
    assert SamplingOptions().given == ()
    assert SamplingOptions(guidance=np.float32(2)).guidance == 2
    assert SamplingOptions(guidance=Guidance(2.0, rescale=0.5)).given == ("guidance",)
    with pytest.raises(AttributeError):
        options.steps = 4


def test_a_finished_table_is_run_as_it_is(sampler):
    table = BUILTIN["ddim"](path_from("vp-linear"), 3)
    assert begun(sampler, sampler=table).table is not None
    assert len(begun(sampler, sampler=table).table) == 3
