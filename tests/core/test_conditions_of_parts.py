"""Conditions of named parts: what each takes, what it refuses by its name, and how they are stored."""

import dataclasses
import json

import numpy as np
import pytest

from zoo import records, schema
from zoo.conditions import Condition, Part
from zoo.errors import ConditionError, ConfigError, UsageError
from zoo.registry.cards import ModelCard

IMAGE = Part("image", "image", (3, 4, 4), minimum=0.0, maximum=1.0, null=0.0, required=False)
STATE = Part("state", "numbers", (2,), labels=("a", "b"), null=(0.5, -1.0), required=False)
TEXT = Part("text", "tokens", ("length",), alphabet="_abc", padding=0)
POINTS = Part("points", "sequence", ("points", 2))
ROBOT = Part("robot", "classes", size=3, labels=("x", "y", "z"), null=3, required=False)
SOUND = Part("sound", "audio", (5,))
ALL = Condition((IMAGE, STATE, TEXT, POINTS, ROBOT, SOUND))
GIVEN = {"text": "cab", "points": np.ones((2, 2)), "sound": np.zeros(5)}


def test_one_value_serves_all_samples_and_what_is_left_out_is_its_null():
    arrays = ALL.arrays({**GIVEN, "robot": "y"}, 2)
    assert list(arrays) == ["image", "state", "text", "points", "robot", "sound", "text_mask", "points_mask"]
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items()} == {
        "image": ("float32", (2, 3, 4, 4)),
        "state": ("float32", (2, 2)),
        "text": ("int32", (2, 3)),
        "text_mask": ("float32", (2, 3)),
        "points": ("float32", (2, 2, 2)),
        "points_mask": ("float32", (2, 2)),
        "robot": ("int32", (2,)),
        "sound": ("float32", (2, 5)),
    }
    np.testing.assert_array_equal(arrays["text"], [[3, 1, 2]] * 2)
    np.testing.assert_array_equal(arrays["state"], [[0.5, -1.0]] * 2)
    np.testing.assert_array_equal(arrays["robot"], [1, 1])
    np.testing.assert_array_equal(ALL.arrays(GIVEN, 2)["robot"], [3, 3])
    assert not arrays["image"].any()


def test_values_of_each_sample_go_with_values_for_all():
    images = np.linspace(0, 1, 2 * 48).reshape(2, 3, 4, 4)
    arrays = ALL.arrays({**GIVEN, "image": images, "robot": [2, 0], "text": ["a", "bc_a"]}, 2)
    np.testing.assert_array_equal(arrays["image"], images.astype(np.float32))
    np.testing.assert_array_equal(arrays["robot"], [2, 0])
    np.testing.assert_array_equal(arrays["text"], [[1, 0, 0, 0], [2, 3, 0, 1]])
    np.testing.assert_array_equal(arrays["text_mask"], [[1, 0, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(arrays["sound"], np.zeros((2, 5)))


WORDS = Part("text", "tokens", ("length",), labels=("", "a", "b", "cab", "é", "the sun", "s", "😀"), padding=0, null=0)


@pytest.mark.parametrize(
    ("text", "ids"),
    {
        "cab": [3],
        " Cab\tA\nb\r": [3, 1, 2],
        # the longest that fits, from left to right: not the one that would leave a rest that fits too
        "cabb": [3, 2],
        "abé😀a": [1, 2, 4, 7, 1],
        "the sun s": [5, 6],
        "THE SUN": [5],
    }.items(),
)
def test_a_text_is_split_into_labels(text, ids):
    assert WORDS.size == 8
    assert WORDS.words(text) == ids
    np.testing.assert_array_equal(WORDS.read([text, "a"], 2).array, [ids, [1] + [0] * (len(ids) - 1)])
    assert WORDS.takes_texts
    # what is written in a manifest is read again
    (again,) = Condition.from_description(Condition((WORDS,)).describe()).parts
    assert again == WORDS


@pytest.mark.parametrize("text", ["ca", "É", "the  sun", "a\u00a0b", "a\vb"])
def test_a_text_without_a_label_that_fits_is_refused(text):
    with pytest.raises(ConditionError, match="part text of the condition has no symbol"):
        WORDS.read(text, 1)


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_a_text_of_no_label_is_empty(text):
    with pytest.raises(ConditionError, match="is empty"):
        WORDS.read(text, 1)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"labels": ("a", "a")}, "each different"),
        ({"labels": ("a", "b"), "alphabet": "ab"}, "an alphabet or labels"),
        ({"labels": ("a", "B")}, "small letters"),
        ({"labels": ("a", " b")}, "small letters and does not begin with white space"),
        ({"labels": ("a", "b"), "size": 3}, "it has 2 labels, where there can be 3"),
    ],
)
def test_labels_of_tokens_that_no_text_could_have_are_refused(fields, problem):
    with pytest.raises(ConfigError, match=problem):
        Part("text", "tokens", ("length",), **fields)


def test_padding_at_the_end_is_no_part_of_a_text():
    alone = Condition((TEXT,))
    for given in ("ab", [1, 2, 0, 0], np.array([1, 2]), "ab__"):
        arrays = alone.arrays(given, 1)
        np.testing.assert_array_equal(arrays["text"], [[1, 2]])
        np.testing.assert_array_equal(arrays["text_mask"], [[1, 1]])
    rows = alone.arrays(np.array([[1, 2, 0], [3, 0, 0]]), 2)
    np.testing.assert_array_equal(rows["text_mask"], [[1, 1], [1, 0]])


def test_sequences_of_one_length_s_name_are_as_long_as_each_other():
    condition = Condition((dataclasses.replace(TEXT, shape=("points",)), POINTS))
    arrays = condition.arrays({"text": "a", "points": [np.ones((2, 2)), np.ones((4, 2))]}, 2)
    assert arrays["text"].shape == arrays["text_mask"].shape == arrays["points_mask"].shape == (2, 4)
    np.testing.assert_array_equal(arrays["points_mask"], [[1, 1, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(arrays["points"][0, 2:], np.zeros((2, 2)))


def test_tokens_of_a_fixed_length_are_filled_up_to_it():
    fixed = Condition((dataclasses.replace(TEXT, shape=(5,), null=0, required=False),))
    np.testing.assert_array_equal(fixed.arrays({"text": "ab"}, 1)["text"], [[1, 2, 0, 0, 0]])
    np.testing.assert_array_equal(fixed.arrays({}, 1)["text"], [[0, 0, 0, 0, 0]])
    with pytest.raises(ConditionError, match="part text of the condition has at most 5 entries, not 6"):
        fixed.arrays("abcabc", 1)


def test_each_different_condition_is_one_row():
    arrays, index = ALL.distinct(GIVEN, 1000)
    assert {len(a) for a in arrays.values()} == {1}
    assert index.tolist() == [0] * 1000
    arrays, index = ALL.distinct({**GIVEN, "robot": [0, 1, 0, 1, 2]}, 5)
    assert {len(a) for a in arrays.values()} == {3}
    np.testing.assert_array_equal(arrays["robot"][index], [0, 1, 0, 1, 2])
    # rows differ if any part does
    arrays, index = ALL.distinct({**GIVEN, "robot": [0, 0, 0], "state": [[0, 0], [0, 1], [0, 0]]}, 3)
    assert index.tolist() == [0, 1, 0]


def test_a_single_part_takes_its_value_itself_and_classes_come_in_turn():
    single = Condition((ROBOT,))
    np.testing.assert_array_equal(single.arrays(None, 4, first=1)["robot"], [1, 2, 0, 1])
    np.testing.assert_array_equal(single.arrays("z", 2)["robot"], [2, 2])
    np.testing.assert_array_equal(single.arrays({"robot": [0, 1]}, 2)["robot"], [0, 1])


WRONG = [
    ({}, "part text of the condition is missing"),
    ({**GIVEN, "imgae": 0}, "no part 'imgae'"),
    (np.zeros(2), "the parts image, state, .*: give a value to each by its name"),
    (
        {**GIVEN, "image": np.zeros((4, 4, 3))},
        r"2 samples need part image .* \(3, 4, 4\) or \(2, 3, 4, 4\), not \(4, 4",
    ),
    ({**GIVEN, "image": np.zeros((3, 3, 4, 4))}, "part image"),
    ({**GIVEN, "image": np.full((3, 4, 4), 255)}, "part image of the condition runs from 0 to 1; got 255 to 255"),
    ({**GIVEN, "state": [np.nan, 0]}, "part state of the condition has values that are not finite"),
    ({**GIVEN, "state": ["a", "b"]}, "part state of the condition holds numbers"),
    ({**GIVEN, "state": [[1, 2], [3]]}, "part state of the condition is not an array"),
    ({**GIVEN, "text": "cat"}, "part text of the condition has no symbol 't', as in 'cat'"),
    ({**GIVEN, "text": [0, 4]}, "tokens of part text .* from 0 to 3; got 0 to 4"),
    ({**GIVEN, "text": [0.5]}, "part text"),
    ({**GIVEN, "text": ""}, "part text of the condition is empty"),
    ({**GIVEN, "text": []}, "part text of the condition is an empty list"),
    ({**GIVEN, "text": ["a", "b", "c"]}, "2 samples need one value or 2 values for part text .*, not 3 of them"),
    ({**GIVEN, "text": 1}, "part text .* not a value of 0 axes"),
    ({**GIVEN, "points": np.ones((2, 3))}, r"part points of the condition has shape \[points, 2\], not \(2, 3\)"),
    ({**GIVEN, "robot": 3}, "no class 3 of part robot"),
    ({**GIVEN, "robot": [0, 3]}, "classes for part robot run from 0 to 2; got 0 to 3"),
    ({**GIVEN, "robot": 0.5}, "classes for part robot are whole numbers"),
]


@pytest.mark.parametrize(("value", "says"), WRONG)
def test_what_a_part_does_not_take_is_refused_by_its_name(value, says):
    with pytest.raises(ConditionError, match=says):
        ALL.arrays(value, 2)


def test_a_description_gives_the_parts_back_also_within_a_card():
    described = json.loads(json.dumps(ALL.describe()))
    assert list(described) == ["parts"]
    assert Condition.from_description(described) == ALL
    card = ModelCard(name="m", summary="", family="flow", architecture="a", event_shape=(2,), condition=ALL)
    stored = json.loads(card.to_json())
    assert stored["condition"] == described
    schema.check(stored, "card-1")
    assert ModelCard.from_description(stored).condition == ALL


@pytest.mark.parametrize(
    ("condition", "described"),
    [
        (
            Condition.classes(2, ["a", "b"], required=False),
            {"kind": "classes", "size": 2, "labels": ["a", "b"], "required": False},
        ),
        (Condition.vector(3), {"kind": "vector", "size": 3, "labels": [], "required": True}),
    ],
)
def test_one_class_or_one_vector_is_stored_as_ever(condition, described):
    assert condition.describe() == records.write({"c": condition})["c"] == described
    assert list(condition.describe()) == list(described)
    assert condition.plain
    assert (condition.kind, condition.size) == (described["kind"], described["size"])
    assert Condition.from_description(described) == condition


def test_a_vector_that_need_not_be_given_is_still_read():
    described = {"kind": "vector", "size": 2, "labels": [], "required": False}
    condition = Condition.from_description(described)
    assert condition.describe() == described
    with pytest.raises(ConditionError, match="needs a condition of 2 numbers"):
        condition.array(None, 1)


@pytest.mark.parametrize("part", [dataclasses.replace(ROBOT, name="condition", meaning="it"), ROBOT, STATE])
def test_what_the_old_form_does_not_hold_is_stored_as_parts(part):
    condition = Condition((part,))
    assert condition.kind == "parts"
    assert Condition.from_description(condition.describe()) == condition
    with pytest.raises(UsageError, match="not one array"):
        condition.array(None, 1)
    with pytest.raises(UsageError, match="one class or one vector is needed"):
        _ = condition.size


IMPOSSIBLE = [
    ({"name": "a b"}, "ASCII identifier"),
    ({"modality": "video"}, "part p of a condition: the modality is one of"),
    ({"modality": "image"}, r"the shape of image is \[channels, height, width\]"),
    ({"shape": (0,)}, "the shape of numbers"),
    ({"shape": ("length",)}, "the shape of numbers"),
    ({"size": 3}, "numbers has none"),
    ({"labels": ("a",)}, "1 labels, where there can be 2"),
    ({"alphabet": "ab"}, "only tokens have"),
    ({"minimum": 2.0, "maximum": 1.0}, "goes from 2.0 to 1.0"),
    ({"null": (1.0,)}, "one number, or 2, not 1"),
    ({"null": float("nan")}, "the null is a number"),
    ({"required": False}, "needs a null"),
    ({"modality": "classes", "shape": ()}, "classes have a size"),
    ({"modality": "classes", "shape": (), "size": 3, "null": 2}, "one class more, 3"),
    ({"modality": "tokens", "shape": ("n",), "size": 3, "padding": 3}, "padding is the id"),
    ({"modality": "tokens", "shape": ("n",), "size": 3, "null": 3}, "the null is ids"),
    ({"modality": "tokens", "shape": ("rows",), "size": 3}, "the shape of tokens"),
    ({"modality": "tokens", "shape": ("n",), "alphabet": "aa"}, "an alphabet is"),
]


@pytest.mark.parametrize(("changes", "says"), IMPOSSIBLE)
def test_impossible_parts_are_refused(changes, says):
    with pytest.raises(ConfigError, match=says):
        Part(**{"name": "p", "modality": "numbers", "shape": (2,), **changes})


def test_two_parts_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="named text_mask"):
        Condition((TEXT, Part("text_mask", "numbers", (1,))))
    with pytest.raises(ConfigError, match="1 to 64 parts"):
        Condition(())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nmae": "x"}, "nmae"),
        ({"shape": [1, True]}, "shape"),
        ({"null": "none"}, "null"),
        ({"minimum": "low"}, "minimum must be float"),
    ],
)
def test_ill_typed_descriptions_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        Condition.from_description({"parts": [{"name": "p", "modality": "numbers", "shape": [2], **change}]})
