"""Guidance: which rows it is in, and what is refused."""

import math

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.paths import path_from
from zoo.programs import Iterate
from zoo.samplers import Guidance, evaluations, table_for
from zoo.samplers.ddim import ddim

PATH = path_from("vp-linear")
CLASSES = Iterate("step", path=PATH.describe(), null_class=3)


def test_only_the_rows_in_the_interval_are_guided():
    table = ddim(PATH, 10).with_guidance(Guidance(3.0, interval=(0.3, 5.0), rescale=0.7))
    inside = (table.noise_level >= 0.3) & (table.noise_level <= 5.0)
    assert 0 < inside.sum() < 10
    np.testing.assert_array_equal(table.guidance, np.where(inside, 3.0, 1.0))
    np.testing.assert_array_equal(table.rescale, np.where(inside, 0.7, 0.0))


def test_pure_noise_is_in_an_open_interval_only():
    flow = ddim(path_from("rectified-flow"), 4)
    assert flow.with_guidance(Guidance(2.0)).guidance[0] == 2.0
    assert flow.with_guidance(Guidance(2.0, interval=(0.0, 100.0))).guidance[0] == 1.0


def test_a_model_without_a_null_class_can_have_guidance_nowhere():
    program = Iterate("step", path=PATH.describe())
    nowhere = Guidance(2.0, interval=(1e8, 1e9))
    assert table_for(program, guidance=nowhere).guidance.max() == 1.0
    with pytest.raises(UsageError, match="null class"):
        table_for(program, guidance=Guidance(2.0))


def test_the_other_class_may_be_any():
    condition, negative = np.array([0, 1], np.int32), np.array([2, 2], np.int32)
    both, weights = evaluations(condition, 3.0, negative)
    np.testing.assert_array_equal(both, [[0, 1], [2, 2]])
    np.testing.assert_array_equal(weights, [3.0, -2.0])


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"weight": math.nan}, "finite"),
        ({"weight": math.inf}, "finite"),
        ({"interval": (2.0, 1.0)}, "lower first"),
        ({"interval": (-1.0, 1.0)}, "lower first"),
        ({"interval": (1.0,)}, "two noise levels"),
        ({"interval": (math.nan, 1.0)}, "lower first"),
        ({"rescale": 1.5}, "rescale"),
        ({"rescale": -0.1}, "rescale"),
        ({"rescale": math.nan}, "rescale"),
    ],
)
def test_what_is_no_guidance_is_refused(fields, match):
    with pytest.raises(UsageError, match=match):
        Guidance(**{"weight": 2.0, **fields})
