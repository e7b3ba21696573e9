"""Guidance, editing, stopping and going on, against the same in float64 around the exact denoiser."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from zoo import noise
from zoo.errors import DataError, UsageError
from zoo.noise import Stream
from zoo.paths import CosineLogSNR, path_from
from zoo.runtime import Guidance, SamplerState, load
from zoo.samplers import inversion, stepping

EVENT = (1, 2, 2)
STD = 0.2


@pytest.fixture(scope="module")
def model(classes):
    return load(classes, "cpu")


def denoise(x, row, mean):
    gain = row.alpha * STD**2 / (row.alpha**2 * STD**2 + row.sigma**2)
    return mean + gain * (x - row.alpha * mean)


def reference(
    model, known, n, *, condition, seed=3, negative=None, init=None, mask=1.0, strength=None, noise0=None, **options
):
    """Samples in float64, by the equations of `zoo.samplers.table` and `Guidance`."""
    table = model.table(strength=strength, **options)
    means = (known.class_means - 2.0) / 2.0
    main, other = means[condition], means[3 if negative is None else negative]
    state = np.zeros((table.slots, n, *EVENT))
    state[0] = table.initial_scale * noise.normal(seed, n, EVENT).astype(float)
    x0 = 0.0 if init is None else (init - 2.0) / 2.0
    state[0] += table.alpha[0] * x0 * (1.0 if np.ndim(mask) == 0 or (strength or 1) < 1 else 1 - mask)
    for row in table:
        both = [denoise(state[0], row, m) for m in (main, other)]
        d = row.guidance * both[0] + (1 - row.guidance) * both[1]
        stds = [np.sqrt(v.var(axis=(1, 2, 3), keepdims=True) + 1e-12) for v in (both[0], d)]
        d = d * (row.rescale * stds[0] / stds[1] + 1 - row.rescale)
        d = mask * d.clip(-row.clip, row.clip) + (1 - mask) * x0
        fresh = noise.normal(seed, n, EVENT, step=row.index, stream=Stream.STEP)
        state = np.tensordot(row.matrix, np.concatenate([state, d[None]]), 1)
        state[0] += row.noise_scale * fresh
    return (2.0 + 2.0 * state[0]).clip(0, 4)


INIT = np.array([[[3.1, 0.7], [2.2, 1.4]]])
MASK = np.array([[[1.0, 0.0], [0.0, 1.0]]])


@pytest.mark.parametrize(
    "options",
    [
        {"guidance": Guidance(3.0, interval=(0.3, 4.0))},
        {"guidance": Guidance(3.0, rescale=0.7)},
        {"guidance": 2.0, "negative": 0},
        {"init": INIT, "strength": 0.5},
        {"init": INIT, "mask": MASK},
        {"init": INIT, "mask": MASK, "strength": 0.6, "sampler": "ddpm"},
        {"init": INIT, "mask": MASK, "sampler": "dpm-solver-pp", "guidance": 1.5},
        {"init": INIT, "strength": 0.4, "sampler": "unipc"},
    ],
    ids="-".join,
)
def test_it_does_what_the_equations_say(model, known, options):
    options = {"sampler": "ddim", "steps": 8, **options}
    given = model.sample(5, seed=3, condition=2, **options)
    np.testing.assert_allclose(given, reference(model, known, 5, condition=2, **options), atol=5e-5)


def test_what_is_kept_is_kept(model):
    x = model.sample(3, seed=0, condition=1, init=INIT, mask=MASK)
    keep = np.broadcast_to(MASK == 0, x.shape)
    np.testing.assert_allclose(x[keep], np.broadcast_to(INIT, x.shape)[keep], atol=1e-5)
    whole = np.array([[[3, 0], [1, 2]]])
    kept = model.sample(2, seed=0, init=whole, strength=0.0)
    np.testing.assert_array_equal(np.floor(kept), np.broadcast_to(whole, kept.shape))


def test_encoding_leads_back(model, known):
    x = model.sample(6, seed=1, condition=2, guidance=1.0, sampler="heun", steps=40)
    z = model.encode(x, condition=2, steps=40)
    again = model.sample(6, seed=9, condition=2, guidance=1.0, noise=z, sampler="heun", steps=40, spacing="karras")
    np.testing.assert_allclose(again, x, atol=0.02)
    table = inversion(path_from(model.manifest.sample.path), 40)
    assert len(table) > 40


def test_a_flow_takes_noise_too(flow, known):
    model = load(flow, "cpu")
    z = np.array([[1.0, 0.0], [0.0, -1.0]])
    np.testing.assert_allclose(model.sample(2, noise=z), z @ known.flow_factor.T + known.flow_mean, rtol=1e-6)
    with pytest.raises(DataError, match="noise to start from has shape"):
        model.sample(2, noise=np.zeros((2, 3)))
    with pytest.raises(UsageError, match="not in steps"):
        model.encode(z)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm-solver-pp", "unipc", "heun"])
def test_stopping_saving_and_going_on_changes_nothing(model, sampler, tmp_path):
    options = {"sampler": sampler, "steps": 6, "guidance": 2.0}
    whole = model.sample(7, seed=4, **options)
    state = model.begin(7, seed=4, **options)
    for rows in (1, 3):
        model.advance(state, rows, batch_size=2).save(tmp_path / "half.safetensors")
        resumed = SamplerState.load(tmp_path / "half.safetensors")
        assert resumed.row == rows
        np.testing.assert_allclose(model.finish(resumed, batch_size=3), whole, atol=1e-6)
        np.testing.assert_array_equal(model.finish(resumed), whole)
    assert state.row == 0
    assert not state.done


def test_previews_end_at_the_samples(model):
    seen = {}

    def preview(row, part, x):
        seen[row, part.start] = x

    samples = model.sample(5, seed=2, sampler="ddim", steps=4, batch_size=3, preview=preview)
    assert sorted(seen) == [(row, first) for row in range(4) for first in (0, 2)]
    np.testing.assert_allclose(np.concatenate([seen[3, 0], seen[3, 2]]), samples, atol=1e-5)


def test_eight_threads_share_one_model(classes):
    jobs = [{"seed": seed, "sampler": name, "steps": 5} for seed in range(8) for name in ("ddpm", "unipc")]
    alone = load(classes, "cpu")
    expected = [(x := alone.sample(4, **job), alone.log_prob(x, steps=4)) for job in jobs]
    shared = load(classes, "cpu")

    def work(job):
        x = shared.sample(4, **job)
        return x, shared.log_prob(x, steps=4)

    with ThreadPoolExecutor(8) as pool:
        for given, wanted in zip(pool.map(work, jobs), expected, strict=True):
            np.testing.assert_array_equal(given[0], wanted[0])
            np.testing.assert_array_equal(given[1], wanted[1])


def test_one_batch_at_a_time_takes_memory(model, monkeypatch):
    sizes = []

    def spy(program, table, event, n, **rest):
        sizes.append(n)
        return begin(program, table, event, n, **rest)

    begin = stepping.begin
    monkeypatch.setattr(stepping, "begin", spy)
    model.sample(10, seed=0, batch_size=4, steps=2)
    assert max(sizes) <= 4


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"mask": MASK}, UsageError, "a mask needs data"),
        ({"init": INIT, "mask": np.ones((3, 5))}, DataError, "the mask has shape"),
        ({"init": INIT, "mask": MASK * 2}, DataError, "values from 0"),
        ({"init": INIT, "strength": 1.2}, UsageError, "strength lies in"),
        ({"init": np.zeros((2, 2))[None, None, None]}, DataError, "has shape"),
        ({"guidance": 2.0, "negative": 7}, Exception, "no class 7"),
        ({"noise": np.full((1, *EVENT), np.nan)}, DataError, "not finite"),
    ],
)
def test_bad_edits_are_refused(model, options, error, match):
    with pytest.raises(error, match=match):
        model.sample(1, **options)


def test_a_graph_without_the_inputs_says_so(diffusion, classes):
    model = load(diffusion, "cpu")
    with pytest.raises(UsageError, match="no inputs known and mask"):
        model.sample(1, init=np.zeros(3), mask=np.ones(3))
    with pytest.raises(DataError, match="this model's are"):
        model.finish(load(classes, "cpu").begin(1, seed=0))
    assert CosineLogSNR().name == model.manifest.sample.path["name"]
