"""Pictures drawn from pictures: how far from the truth, beside what was given."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from zoo.conditions import Condition, Part
from zoo.data import Dataset, Split
from zoo.metrics import pictures
from zoo.metrics.evaluation import Evaluation

TRUTH = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8)).astype(np.uint8)


def small(x):
    return x.reshape(*x.shape[:2], 4, 2, 4, 2).mean((3, 5)).round().astype(np.uint8)


def measured(draw, *, n=12, part=("small", (3, 4, 4), (0.0, 255.0)), given=None, levels=256, truth=TRUTH):
    """The metric of a model that draws ``draw(rows, noise)`` of the rows of the truth."""
    name, shape, (low, high) = part
    given = small(truth) if given is None else given
    random = np.random.default_rng(1)

    def sample(count, *, condition, **_):
        values, rows = condition[name], np.arange(count) % len(truth)
        np.testing.assert_array_equal(values, given[rows])
        return draw(truth[rows].astype(np.float32), random.normal(0.0, 8.0, (count, *truth.shape[1:])))

    condition = Condition((Part(name, "image", shape, minimum=low, maximum=high),))
    model = SimpleNamespace(condition=condition, manifest=SimpleNamespace(sample=object()), sample=sample)
    split = Split(truth, {name: given})
    return pictures.reconstruction(
        Evaluation(model=model, data=Dataset("shapes", split, split, split, levels=levels), samples=n)
    )


def test_the_truth_has_no_error_and_what_was_given_has_that_of_a_bicubic_filter():
    told = measured(lambda x, noise: x + 0.5)
    enlarged = np.stack(
        [
            [
                np.asarray(Image.fromarray(plane.astype(np.float32)).resize((8, 8), Image.Resampling.BICUBIC))
                for plane in x
            ]
            for x in small(TRUTH)
        ]
    ).clip(0, 255)
    error = np.sqrt(((enlarged - TRUTH) ** 2).mean((1, 2, 3))).mean()
    assert told["picture_error"]["value"] == 0.0
    assert told["picture_error"]["of_the_given"] == pytest.approx(error, rel=1e-4)
    assert told["picture_ssim"]["value"] == pytest.approx(1.0)
    assert told["picture_psnr"]["value"] == 100.0
    assert told["picture_error"]["samples"] == 12


def test_the_mean_of_several_samples_is_nearer_than_one():
    told = measured(lambda x, noise: x / 2 + 64 + noise, n=6 * 16)
    of_one, of_the_mean = (told["picture_error"][key] for key in ("value", "of_the_mean"))
    # the mean has a sixteenth of the noise's variance, and all of what is wrong with every sample
    bias = np.sqrt(((TRUTH / 2.0 - 64) ** 2).mean((1, 2, 3))).mean()
    assert of_the_mean == pytest.approx(bias, rel=0.02)
    assert of_one == pytest.approx(np.sqrt(bias**2 + 64), rel=0.02)
    assert told["picture_error"]["rounds"] == 16
    assert "of_the_mean" not in measured(lambda x, noise: x, n=6)["picture_error"]


def test_a_part_of_another_range_is_compared_in_levels():
    shares = (TRUTH / 255.0).astype(np.float32)
    told = measured(lambda x, noise: x, part=("picture", (3, 8, 8), (0.0, 1.0)), given=shares)
    assert told["picture_error"]["of_the_given"] == pytest.approx(0.0, abs=1e-3)


def test_pictures_of_another_kind_or_of_no_levels_are_left_alone():
    assert measured(lambda x, noise: x, levels=None) == {}
    assert measured(lambda x, noise: x, part=("grey", (1, 4, 4), (0.0, 255.0)), given=small(TRUTH)[:, :1]) == {}


def test_similarity_is_that_of_the_paper():
    random = np.random.default_rng(2)
    a = random.uniform(0, 255, (2, 1, 16, 16))
    b = a + random.normal(0, 20, a.shape)
    at = np.arange(11) - 5.0
    window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    expected = []
    for x, y in zip(a[:, 0], b[:, 0], strict=True):
        places = []
        for i in range(6):
            for j in range(6):
                p, q = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                both = (window * (p - mp) * (q - mq)).sum()
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                places.append((2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
        expected.append(np.mean(places))
    np.testing.assert_allclose(pictures.ssim(a, b, 255.0), expected, rtol=1e-9)
    assert pictures.psnr(a, a + 25.5, 255.0) == pytest.approx([20.0, 20.0])
