"""When a proof takes two arrays for the same."""

import numpy as np
import pytest

from zoo.errors import ProofError
from zoo_onnx.compare import Comparison, relative_difference


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
    comparison.check("y", "here", f32(0.999), f32(1.001), exact=lambda: exact)
    assert list(comparison.largest) == ["y, beyond PyTorch's own error"]
    with pytest.raises(ProofError, match=r"ONNX Runtime is off by 0\.005 and PyTorch by 0\.0005"):
        comparison.check("y", "here", f32(1.01), f32(1.001), exact=lambda: exact)


def test_rounding_that_is_spread_is_seen_beside_the_largest_value():
    exact, torch = np.array([[1e4, 0.0], [1.0, 1.0]]), f32([1e4, 0.001], [1, 1])
    Comparison().check("y", "here", f32([1e4, 0.1], [1, 1]), torch, exact=lambda: exact)
    # beyond that, in another sample, or where PyTorch kept the digits
    for actual, expected in (
        (f32([1e4, 2.0], [1, 1]), torch),
        (f32([1e4, 0.1], [1, 1.01]), torch),
        (f32([1e4, np.nan], [1, 1]), torch),
        (f32([1e4, 0.1], [1, 1]), f32([1e4, 0.0], [1, 1])),
    ):
        with pytest.raises(ProofError, match="y differs by"):
            Comparison().check("y", "here", actual, expected, exact=lambda: exact)


def test_shape_and_type_count():
    with pytest.raises(ProofError, match="float64"):
        Comparison().check("y", "here", np.zeros(3), f32(0, 0, 0), exact=never)
    with pytest.raises(ProofError, match=r"\[2\]"):
        Comparison().check("y", "here", f32(0, 0), f32(0, 0, 0), exact=never)


def test_the_unit_is_the_absolute_size():
    assert relative_difference(f32(0.5), f32(0), unit=10.0) == pytest.approx(0.05)


def test_neighbours_say_how_far_amplified_rounding_goes():
    exact, lucky, off = np.array([1.0]), f32(1.001), f32(1.008)
    amplified = [(f32(1.002), np.array([1.0])), (f32(1.005), np.array([1.0]))]
    Comparison().check("y", "here", off, lucky, exact=lambda: exact, nearby=lambda: amplified)
    with pytest.raises(ProofError, match=r"ONNX Runtime is off by 0\.004 and PyTorch by 0\.001"):
        Comparison().check("y", "here", off, lucky, exact=lambda: exact, nearby=lambda: amplified[:1])
    with pytest.raises(ProofError, match="PyTorch by values that are not finite"):
        Comparison().check("y", "here", off, lucky, exact=lambda: exact, nearby=lambda: [(f32(np.nan), exact)])
    # where PyTorch is right, and within the factor of two, nobody asks them
    with pytest.raises(ProofError, match="y differs by"):
        Comparison().check("y", "here", off, f32(1.0001), exact=lambda: exact, nearby=never)
    Comparison().check("y", "here", f32(0.999), lucky, exact=lambda: exact, nearby=never)
