"""Frames of a run, runs that are awaited, and sessions that are warm."""

import asyncio
import threading
import time

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.runtime import load


@pytest.fixture(scope="module")
def model(classes):
    return load(classes, "cpu")


def test_frames_are_previews_and_the_last_one_is_the_samples(model):
    previews = {}

    def preview(row, part, x):
        previews[row] = x

    samples = model.sample(5, seed=2, sampler="ddim", steps=4, condition=1, preview=preview)
    frames = list(model.stream(5, seed=2, sampler="ddim", steps=4, condition=1, batch_size=2))
    assert [(f.step, f.steps, f.final) for f in frames] == [(1, 4, False), (2, 4, False), (3, 4, False), (4, 4, True)]
    np.testing.assert_allclose(frames[-1].x, samples, atol=1e-6)
    for row, frame in enumerate(frames[:-1]):
        assert frame.x.dtype == np.float32
        np.testing.assert_allclose(frame.x, previews[row], atol=1e-6)


def test_frames_are_the_takers_own(model):
    frames = model.stream(1, seed=0, steps=3)
    first = next(frames)
    before = first.x.copy()
    next(frames)
    np.testing.assert_array_equal(first.x, before)


def test_whoever_stops_taking_frames_stops_the_run(model, monkeypatch):
    taken = []
    advance = type(model).advance
    monkeypatch.setattr(type(model), "advance", lambda self, *a, **k: taken.append(1) or advance(self, *a, **k))
    frames = model.stream(2, seed=0, steps=10)
    next(frames)
    frames.close()
    assert len(taken) == 1


def test_what_is_wrong_is_said_before_the_first_frame(model):
    with pytest.raises(UsageError, match="number of samples"):
        model.stream(0)


def test_a_model_of_one_call_has_one_frame(flow):
    model = load(flow, "cpu")
    (frame,) = model.stream(3, seed=4)
    assert frame.final
    np.testing.assert_array_equal(frame.x, model.sample(3, seed=4))
    with pytest.raises(UsageError, match="samples in one call"):
        model.stream(3, steps=2)


def test_runs_that_are_awaited_run_in_threads_and_between_one_another(model):
    names = set()

    async def watch(seed):
        last = None
        async for frame in model.stream_async(2, seed=seed, steps=3):
            last = frame
            names.add(threading.current_thread().name)
        return last.x

    async def everything():
        return await asyncio.gather(*(watch(seed) for seed in range(3)), model.sample_async(2, seed=0, steps=3))

    *streamed, whole = asyncio.run(everything())
    for seed, x in enumerate(streamed):
        np.testing.assert_allclose(x, model.sample(2, seed=seed, steps=3), atol=1e-6)
    np.testing.assert_array_equal(whole, model.sample(2, seed=0, steps=3))
    assert names == {threading.current_thread().name}, "frames arrive where they are awaited"


def slowly(monkeypatch, model, calls, seconds=0.05):
    """Let each call of a graph take a while, and be counted."""
    kind = type(model.session(model.manifest.sample.graph))
    for name in ("run", "run_on"):
        own = getattr(kind, name)

        def slow(self, *args, own=own, **kwargs):
            calls.append(1)
            time.sleep(seconds)
            return own(self, *args, **kwargs)

        monkeypatch.setattr(kind, name, slow)


@pytest.mark.parametrize("way", ["sample", "stream"])
def test_a_run_that_is_cancelled_stops_between_steps(model, monkeypatch, way):
    calls = []
    slowly(monkeypatch, model, calls)

    async def begun():
        if way == "sample":
            return await model.sample_async(2, seed=0, steps=200)
        return [frame async for frame in model.stream_async(2, seed=0, steps=200)]

    async def cancel():
        task = asyncio.create_task(begun())
        while len(calls) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before = len(calls)
        await asyncio.sleep(0.6)
        return before

    before = asyncio.run(cancel())
    # the call that was being made, and one more that had begun when it was asked whether to go on
    assert len(calls) <= before + 2
    assert 3 <= len(calls) < 100


def test_a_model_of_one_call_stops_between_batches_and_leaves_the_loop_free(flow, monkeypatch):
    model, calls = load(flow, "cpu"), []
    slowly(monkeypatch, model, calls)
    turns = []

    async def others():
        while True:
            turns.append(1)
            await asyncio.sleep(0.01)

    async def cancel():
        watching = asyncio.create_task(others())

        async def frames():
            return [frame async for frame in model.stream_async(100, seed=0, batch_size=1)]

        task = asyncio.create_task(frames())
        while len(calls) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        watching.cancel()
        before = len(calls)
        await asyncio.sleep(0.6)
        return before

    before = asyncio.run(cancel())
    assert len(turns) > 3, "a graph ran where others wait for their turn"
    assert len(calls) <= before + 2


def test_whoever_waits_sees_progress(model):
    seen = []

    async def wait():
        return await model.sample_async(1, seed=0, steps=3, progress=lambda done, total: seen.append((done, total)))

    asyncio.run(wait())
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_warming_up_loads_what_requests_need(classes, flow):
    for folder in (classes, flow):
        model = load(folder, "cpu")
        model.warm_up(2)
        assert {model.manifest.sample.graph, model.manifest.log_prob.graph} <= set(model.session.loaded)
