"""Symbols that two right programs draw differently, and those that only a wrong one does."""

import numpy as np
import pytest

pytest.importorskip("onnx_ir")

from zoo.errors import ProofError
from zoo_onnx.compare import Comparison
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


def at(edge, side):
    """The nearest number of float32."""
    return np.nextafter(np.float32(edge), np.float32(side))


def levels(event=(3,), turns=()):
    return Flips(edges=tuple(range(1, 9)), event=event, turns=turns)


def test_a_number_at_the_edge_of_two_levels_explains_what_follows_it():
    flips = levels()
    expected = np.array([[2.5, at(3, 4), 7.5], [2.5, 3.4, 7.5], [0.2, 5.1, 9.0]], np.float32)
    actual = np.array([[2.5, at(3, 2), 1.2], [2.5, 3.4, 1.2], [0.2, 5.10001, 9.0]], np.float32)
    levelled = flips.at_edges(actual, expected)
    np.testing.assert_array_equal(levelled[0], expected[0])
    np.testing.assert_array_equal(levelled[1:], actual[1:])  # no edge, no excuse
    assert (flips.levels, flips.crossed) == (3, 1)
    assert flips.told().startswith("1 samples differ")
    # another level by more than rounding is a difference
    actual[0, 1] = 2.9
    assert flips.at_edges(actual, expected) is actual
    assert Flips().at_edges(actual, expected) is actual
    # of anything but samples too
    assert flips.at_edges(actual[:, :2], expected[:, :2])[0, 0] == actual[0, 0]
    assert flips.crossed == 1


def test_an_edge_explains_nothing_before_it_and_the_ends_are_none():
    expected = np.array([[2.5, at(3, 4), 7.5]], np.float32)
    actual = np.array([[1.2, at(3, 2), 7.5]], np.float32)
    assert levels().at_edges(actual, expected) is actual
    # channels come within pixels: the second component is drawn first
    assert levels(turns=(1, 0, 2)).at_edges(actual, expected) is not actual
    # 0 and 9 levels: what lies beyond is the same level to those that see it
    for end, beyond in ((0, -1), (9, 10)):
        expected = np.array([[end, 4.5, 7.5]], np.float32)
        for side in (beyond, 4):
            actual = np.array([[at(end, side), 4.5, 1.2]], np.float32)
            assert levels().at_edges(actual, expected) is actual
            assert levels().at_edges(expected, actual) is expected


def test_samples_that_differ_from_an_edge_on_are_the_exception():
    flips = levels()
    expected = np.array([[2.5, at(3, 4), 7.5]] * 8, np.float32)
    actual = expected.copy()
    flips.few()
    actual[:2] = [2.5, at(3, 2), 1.2]
    flips.at_edges(actual, expected)
    flips.few()
    actual[2] = actual[0]
    flips.at_edges(actual, expected)
    with pytest.raises(ProofError, match="5 of 16 samples differ"):
        flips.few()


def test_samples_of_a_proof_are_compared_up_to_such_numbers():
    expected = np.array([[at(4, 5), 6.5], [1.5, 1.5]], np.float32)
    actual = np.array([[at(4, 0), 2.5], [1.5, 1.5]], np.float32)
    Comparison(flips=levels((2,))).check("x", "", actual, expected, exact=lambda: expected)
    for comparison in (Comparison(), Comparison(flips=levels((3,)))):
        with pytest.raises(ProofError, match="differs by"):
            comparison.check("x", "", actual, expected, exact=lambda: expected)


def test_golden_samples_keep_off_edges():
    flips = Flips(edges=(0.5, 1.0, 1.5), event=(2,))
    assert flips.off_edges(np.array([[0.3, 1.2]]))
    assert flips.off_edges(np.array([[0.0, 2.0]]))  # ends, beyond which is no other level
    for near in (1.50001, 1.49999, 0.50001, 0.49999, 1.0):
        assert not flips.off_edges(np.array([[0.3, near]]))
    assert Flips().off_edges(np.array([[1.0]]))


def test_an_edge_explains_a_distance_from_float64_but_no_other_error():
    """Copies that are moved by a last bit measure rounding, and are not among what the proof compares."""
    flips = Flips(edges=(1.0, 2.0, 3.0), event=(3,))
    reference = np.array([[2.00001, 0.5, 0.5]])
    moved = np.array([[1.99999, 2.5, 0.5]])
    actual, expected = (np.array([[1.99999, each, 0.5]], np.float32) for each in (0.5006, 0.5))
    comparison = Comparison(flips=flips)
    comparison.check("x", "", actual, expected, exact=lambda: reference, moved=lambda: [moved] * 50)
    assert flips.crossed <= flips.levels == 3
    same_side = np.array([[1.99999, 0.5, 0.5]])
    wrong = np.array([[1.99999, 0.7, 0.5]], np.float32)  # no edge explains it
    with pytest.raises(ProofError, match="differs by"):
        Comparison(flips=Flips(flips.edges, (3,))).check("x", "", wrong, expected, exact=lambda: same_side)
