"""The specified noise: published vectors, the normal distribution, and independence of batching."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from zoo import noise
from zoo.errors import UsageError
from zoo.noise import Stream

VECTORS = json.loads((Path(__file__).parent / "golden" / "noise.json").read_text())
#: counter, key, result: the known answers that Random123 publishes for philox4x32 with 10 rounds
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> np.ndarray:
    return np.array([int(w, 16) for w in text.split()], np.uint32)


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter, key, result):
    np.testing.assert_array_equal(noise.philox4x32(words(counter), words(key)), words(result))


def test_philox_is_vectorised_over_counters():
    counters = np.stack([words(c) for c, k, _ in KNOWN_ANSWERS])
    key = words(KNOWN_ANSWERS[1][1])
    together = noise.philox4x32(counters, key)
    alone = np.stack([noise.philox4x32(c, key) for c in counters])
    np.testing.assert_array_equal(together, alone)


def test_elements_follow_the_documented_counter():
    """Element 5 of sample 3 is word 1 of block 1 of that sample."""
    u = noise.uniform(2**40 + 7, 4, (2, 3), step=9, stream=Stream.STEP).reshape(4, 6)
    block = noise.philox4x32(np.array([1, 3, 9, 1], np.uint32), np.array([7, 2**8], np.uint32))
    assert u[3, 5] == np.float32(((int(block[1]) >> 9) + 0.5) * 2.0**-23)


@pytest.mark.parametrize("draw", [noise.normal, noise.uniform, noise.gumbel, noise.rademacher])
def test_a_sample_is_the_same_alone_and_in_a_batch(draw):
    whole = draw(11, 10, (3, 5))
    parts = np.concatenate([draw(11, 1, (3, 5)), draw(11, 6, (3, 5), first=1), draw(11, 3, (3, 5), first=7)])
    np.testing.assert_array_equal(whole, parts)
    assert whole.dtype == np.float32


def test_seed_step_and_stream_give_different_noise():
    base = noise.normal(1, 2, (8,))
    others = [
        noise.normal(2, 2, (8,)),
        noise.normal(1 + 2**32, 2, (8,)),
        noise.normal(1, 2, (8,), step=1),
        noise.normal(1, 2, (8,), stream=Stream.STEP),
        noise.normal(1, 2, (8,), first=2),
    ]
    for other in others:
        assert np.abs(base - other).min() > 0


def test_normals_are_normal():
    z = noise.normal(0, 200_000, (5,)).ravel().astype(np.float64)
    n = z.size
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / n)
    # Kolmogorov-Smirnov distance against the normal distribution; 1.95/√n is exceeded once in a thousand
    from math import erf

    quantiles = np.linspace(-4, 4, 201)
    exact = np.array([0.5 * (1 + erf(q / 2**0.5)) for q in quantiles])
    empirical = np.searchsorted(np.sort(z), quantiles) / n
    assert np.abs(empirical - exact).max() < 1.95 / np.sqrt(n)
    pairs = z.reshape(-1, 5)
    correlation = np.corrcoef(pairs.T) - np.eye(5)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(pairs))


def test_uniforms_lie_strictly_inside_the_unit_interval():
    u = noise.uniform(3, 100_000, (4,))
    assert u.min() > 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / u.size)


def test_gumbel_numbers_follow_their_distribution_and_draw_symbols():
    g = noise.gumbel(0, 100_000, (5,)).astype(np.float64)
    quantiles = np.linspace(-2, 8, 201)
    empirical = np.searchsorted(np.sort(g.ravel()), quantiles) / g.size
    # Kolmogorov-Smirnov, as for the normals below
    assert np.abs(empirical - np.exp(-np.exp(-quantiles))).max() < 1.95 / np.sqrt(g.size)
    p = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    shares = np.bincount((np.log(p) + g).argmax(1), minlength=5) / len(g)
    assert (np.abs(shares - p) < 4 * np.sqrt(p * (1 - p) / len(g))).all()


def test_noises_of_one_call_have_streams_of_their_own():
    noises = (noise.Noise("z", (3,)), noise.Noise("g", (2, 4), "gumbel"), noise.Noise("u", (5,), "uniform"))
    drawn = noise.drawn(noises, 7, 4, first=2)
    assert list(drawn) == ["z", "g", "u"]
    # the first, if it is of normals, is the noise of a model of one
    np.testing.assert_array_equal(drawn["z"], noise.normal(7, 4, (3,), first=2))
    np.testing.assert_array_equal(drawn["g"], noise.gumbel(7, 4, (2, 4), first=2, step=1))
    np.testing.assert_array_equal(drawn["u"], noise.uniform(7, 4, (5,), first=2, step=2))


def test_the_table_of_vectors_is_that_of_the_specification():
    """``golden/noise.json``, which every runtime is tested with, worked out here from the words."""
    for case in VECTORS["cases"]:
        key = np.array([case["seed"] & 0xFFFFFFFF, case["seed"] >> 32], np.uint32)
        blocks = [np.array([b, case["sample"], case["step"], 0], np.uint32) for b in range(2)]
        u = [((int(w) >> 9) + 0.5) / 2**23 for block in blocks for w in noise.philox4x32(block, key)]
        if case["distribution"] == "normal":
            pairs = [(math.sqrt(-2 * math.log(a)), 2 * math.pi * b) for a, b in zip(u[::2], u[1::2], strict=True)]
            u = [value for r, t in pairs for value in (r * math.cos(t), r * math.sin(t))]
        elif case["distribution"] == "gumbel":
            u = [-math.log(-math.log(a)) for a in u]
        np.testing.assert_allclose(case["values"], np.float32(u), rtol=1.2e-7)


def test_rademacher_signs_balance():
    signs = noise.rademacher(5, 50_000, (3,))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4 / np.sqrt(signs.size)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", None, True])
def test_a_seed_that_is_no_seed_is_refused(seed):
    with pytest.raises(UsageError, match="seed is a whole number"):
        noise.check_seed(seed)


def test_an_event_without_dimensions_is_one_number():
    assert noise.normal(0, 3, ()).shape == (3,)
