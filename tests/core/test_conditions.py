"""Conditions: what counts as a class or a context vector, and what does not."""

import numpy as np
import pytest

from zoo.conditions import Condition
from zoo.errors import ConditionError, ConfigError

DIGITS = Condition.classes(3, ["zero", "one", "two"], required=False)
CONTEXT = Condition.vector(2)


def test_without_a_condition_classes_come_in_turn():
    np.testing.assert_array_equal(DIGITS.array(None, 5), [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(DIGITS.array(None, 4, first=2), [2, 0, 1, 2])


@pytest.mark.parametrize("one", [1, "one", "1"])
def test_one_class_serves_all(one):
    array = DIGITS.array(one, 3)
    np.testing.assert_array_equal(array, [1, 1, 1])
    assert array.dtype == np.int32


def test_classes_and_labels_one_for_each():
    np.testing.assert_array_equal(DIGITS.array([2, 0], 2), [2, 0])
    np.testing.assert_array_equal(DIGITS.array(["two", "0"], 2), [2, 0])


@pytest.mark.parametrize("bad", [3, -1, "three", [0, 3], [0, 1, 2], [0.5, 1.0], [-1, 0]])
def test_what_is_no_class_is_refused(bad):
    with pytest.raises(ConditionError):
        DIGITS.array(bad, 2)


def test_the_error_lists_the_classes():
    with pytest.raises(ConditionError) as caught:
        DIGITS.index("nine")
    assert caught.value.hint == "The classes are zero, one, two."


def test_vectors():
    np.testing.assert_array_equal(CONTEXT.array([1, 2], 2), [[1, 2], [1, 2]])
    assert CONTEXT.array(np.ones((2, 2)), 2).dtype == np.float32


@pytest.mark.parametrize("bad", [None, [1, 2, 3], np.ones((3, 2)), [np.nan, 0], ["a", "b"]])
def test_what_is_no_vector_is_refused(bad):
    with pytest.raises(ConditionError):
        CONTEXT.array(bad, 2)


@pytest.mark.parametrize("condition", [DIGITS, CONTEXT])
def test_a_description_gives_the_condition_back(condition):
    assert Condition.from_description(condition.describe()) == condition


def test_impossible_conditions_are_refused():
    with pytest.raises(ConfigError, match="size 1 or more"):
        Condition.classes(0)
    with pytest.raises(ConfigError, match="labels"):
        Condition.classes(3, ["a"])
