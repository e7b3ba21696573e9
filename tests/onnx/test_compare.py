"""When a proof takes two arrays for the same."""

import numpy as np
import pytest

from zoo.errors import ProofError
from zoo_onnx.compare import ROUNDINGS, Comparison, Sides, relative_difference


def f32(*values):
    return np.array(values, np.float32)


def never():
    raise AssertionError("float64 was asked for")


def test_within_the_tolerance():
    comparison = Comparison(1e-4)
    comparison.check("y", "here", f32(1, 1e6), f32(1 + 1e-5, 1e6 + 10), exact=never)
    assert 0 < comparison.largest["y"] < 1e-4


@pytest.mark.parametrize(
    ("actual", "expected"),
    [(f32(1), f32(1.001)), (f32(np.nan), f32(1)), (f32(np.inf), f32(-np.inf)), (f32(1e38), f32(np.inf))],
)
def test_beyond_it(actual, expected):
    with pytest.raises(ProofError, match="y differs by"):
        Comparison().check("y", "here", actual, expected, exact=lambda: expected.astype(np.float64))


def test_the_same_infinities_and_nans_are_equal():
    Comparison().check("y", "here", f32(np.inf, -np.inf, np.nan), f32(np.inf, -np.inf, np.nan), exact=never)


def test_float64_decides_where_rounding_is_amplified():
    exact = np.array([1.0])
    comparison = Comparison()

    def check(actual, expected, change):
        comparison.check(
            "y", "here", f32(actual), f32(expected), exact=lambda: exact, moved=lambda: [exact, exact + change]
        )

    # moving inputs and weights by their last bits changes y by 8e-5: rounding may be 16 times as much
    check(0.999, 1.001, 8e-5)
    assert comparison.largest == {}
    judged = comparison.judged["y"]
    assert (judged.cases, judged.where) == (1, "here")
    assert judged.actual_error == pytest.approx(5e-4, rel=1e-3)
    assert judged.bound == pytest.approx(ROUNDINGS * 4e-5)
    check(0.9985, 1.001, 1.6e-4)
    assert comparison.judged["y"].cases == 2
    assert comparison.judged["y"].actual_error == pytest.approx(7.5e-4, rel=1e-3)
    for actual, expected in ((0.999, 1.001), (1.0, 1.001), (0.999, 1.0)):  # either side, or both
        with pytest.raises(ProofError, match=r"ONNX Runtime is off by .* and PyTorch by .*; rounding explains 0\.0001"):
            check(actual, expected, 1e-7)


def test_float64_is_not_asked_about_what_is_far_from_it():
    def never_moved():
        raise AssertionError("the size of rounding was asked for")

    # as samples that are drawn anew for each call are: as far from float64 as from one another
    with pytest.raises(ProofError, match=r"ONNX Runtime is off by 0\.15 and PyTorch by 0\.25"):
        Comparison().check("y", "here", f32(1.3), f32(1.5), exact=lambda: np.array([1.0]), moved=never_moved)
    with pytest.raises(ProofError, match="PyTorch by values that are not finite"):
        Comparison().check("y", "here", f32(1.0), f32(np.nan), exact=lambda: np.array([1.0]), moved=never_moved)
    # however much a last bit does
    with pytest.raises(ProofError, match="y differs by"):
        Comparison().check(
            "y", "here", f32(1.0), f32(1.5), exact=lambda: np.array([1.0]), moved=lambda: [np.array([9.0])]
        )


def test_the_sides_have_names():
    with pytest.raises(ProofError, match=r"between one sample and many.*one sample is off by"):
        Comparison().check(
            "y", "here", f32(1.0), f32(1.5), exact=lambda: np.array([1.0]), sides=Sides("one sample", "many")
        )


def test_shape_and_type_count():
    with pytest.raises(ProofError, match="float64"):
        Comparison().check("y", "here", np.zeros(3), f32(0, 0, 0), exact=never)
    with pytest.raises(ProofError, match=r"\[2\]"):
        Comparison().check("y", "here", f32(0, 0), f32(0, 0, 0), exact=never)


def test_the_unit_is_the_absolute_size():
    assert relative_difference(f32(0.5), f32(0), unit=10.0) == pytest.approx(0.05)
