"""Symbols that two right programs draw differently, and those that only a wrong one does."""

import numpy as np
import pytest

pytest.importorskip("onnx_ir")

from zoo_onnx.flips import EDGE, Flips

EXPECTED = np.array([[1, 2, 0], [3, 1, 0], [2, 2, 2]], np.float32)


def changed(**places):
    x = EXPECTED.copy()
    for row, symbols in places.items():
        x[int(row[1:])] = symbols
    return x


def test_the_first_different_symbol_decides():
    """What follows it is another text."""
    flips = Flips()
    margins = np.array([[1, EDGE / 2, 1], [1, 1, 1], [1, 1, 1]], np.float32)
    actual, rows = flips.levelled(changed(r0=[1, 3, 3]), EXPECTED, margins)
    assert rows.tolist() == [0]
    np.testing.assert_array_equal(actual, EXPECTED)
    assert (flips.symbols, flips.flipped, flips.largest) == (9, 1, pytest.approx(EDGE / 2))
    assert flips.told().startswith("1 samples have another symbol in ONNX Runtime")
    # at the first place it is ahead by 1, which no rounding is, whatever the margin after it
    actual, rows = flips.levelled(changed(r0=[2, 3, 3]), EXPECTED, margins)
    assert rows.tolist() == []
    assert not np.array_equal(actual, EXPECTED)


def test_both_sides_must_be_at_the_edge():
    near, far = np.full((3, 3), EDGE / 4, np.float32), np.full((3, 3), 2 * EDGE, np.float32)
    for margins, accepted in (((near, near), 3), ((near, far), 0), ((far, near), 0)):
        actual = changed(r0=[0, 0, 0], r1=[0, 0, 0], r2=[0, 0, 0])
        assert len(Flips().levelled(actual, EXPECTED, *margins)[1]) == accepted
    unknown = np.full((3, 3), np.nan, np.float32)
    assert len(Flips().levelled(changed(r0=[0, 0, 0]), EXPECTED, unknown)[1]) == 0


def test_outputs_of_a_graph_are_compared_with_their_margins():
    flips, margin = Flips(), np.full((3, 3), EDGE / 4, np.float32)
    expected = {"x": EXPECTED, "margin": margin}
    other = {"x": changed(r1=[3, 2, 2]), "margin": np.where(np.arange(3)[:, None] == 1, EDGE / 3, margin)}
    levelled = flips.outputs(other, expected)
    np.testing.assert_array_equal(levelled["x"], EXPECTED)
    np.testing.assert_array_equal(levelled["margin"], margin)
    plain = {"x": changed(r1=[3, 2, 2])}
    assert flips.outputs(plain, {"x": EXPECTED}) is plain
