"""What ``--condition`` stands for: one value for all samples, or k values for m samples each, of every kind of part."""

import wave
from pathlib import Path

import numpy as np
import pytest

from zoo.cli._conditions import composition_from, condition_from, condition_of_file, rows_of, served
from zoo.conditions import Condition, Part
from zoo.errors import ConditionError, DataError
from zoo.modality import Column, Table
from zoo.render import Extras, write
from zoo.render.conditional import left_out
from zoo.render.read import read_samples

BUNDLES = Path(__file__).parents[1] / "bundles"
PROMPT = Part("prompt", "tokens", ("length",), alphabet="_abc", padding=0)
EVERY = Condition(
    (
        PROMPT,
        Part("state", "numbers", (2,)),
        Part("kind", "classes", size=2, labels=("x", "y")),
        Part("sound", "audio", (1, 2), null=0.0, required=False),
    )
)
ONE = {"vector": Condition.vector(2), "classes": Condition.classes(3, ("a", "b", "c")), "prompt": Condition((PROMPT,))}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savetxt("rows.csv", [[1, 2], [3, 4]], delimiter=",")
    np.savetxt("row.csv", [[1, 2]], delimiter=",")
    (tmp_path / "classes.csv").write_text("0\n1\n")
    (tmp_path / "texts.txt").write_text("ab\nc\n")
    (tmp_path / "all.json").write_text('{"prompt": ["a", "bb"], "state": [1, 2], "kind": ["x", "y"]}')
    (tmp_path / "all.csv").write_text("prompt,condition/state/0,state/1,kind,note\na,1,2,x,p\nbb,3,4,y,q\n")
    (tmp_path / "prompts.tsv").write_text("prompt\tnote\nab\t1\nc\t2\n")
    parts = {"state": np.ones((1, 2)), "kind": np.array([1]), "prompt": np.array([[1, 2], [3, 0]])}
    np.savez("all.npz", **parts, prompt_mask=np.array([[1, 1], [1, 0]]))
    with wave.open("x.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", None))
        file.writeframes(np.array([16384, -16384], "<i2").tobytes())


def four(condition, *texts):
    """Values of the parts of four samples, and how many the values are for."""
    value = condition_from(condition, texts)
    arrays = condition.arrays(served(condition, value, 4), 4)
    return rows_of(condition, value), {name: array.tolist() for name, array in arrays.items()}


@pytest.mark.parametrize(
    ("kind", "text", "rows", "values"),
    [
        ("vector", "0.5,1", None, [[0.5, 1]] * 4),
        ("vector", "row.csv", 1, [[1, 2]] * 4),
        ("vector", "rows.csv", 2, [[1, 2], [1, 2], [3, 4], [3, 4]]),
        ("classes", "b", None, [1] * 4),
        ("classes", "classes.csv", 2, [0, 0, 1, 1]),
        ("prompt", "ca", None, [[3, 1]] * 4),
        ("prompt", "prompt=ca", None, [[3, 1]] * 4),
        ("prompt", "texts.txt", 2, [[1, 2], [1, 2], [3, 0], [3, 0]]),
        ("prompt", "all.npz", 2, [[1, 2], [1, 2], [3, 0], [3, 0]]),
        ("prompt", "prompts.tsv", 2, [[1, 2], [1, 2], [3, 0], [3, 0]]),
    ],
)
def test_the_only_part_needs_no_name(kind, text, rows, values):
    found, arrays = four(ONE[kind], text)
    assert found == rows
    assert arrays[ONE[kind].names[0]] == values


@pytest.mark.parametrize(
    ("texts", "rows", "prompts", "states", "kinds"),
    [
        (["prompt=ab", "state=rows.csv", "kind=y"], 2, [[1, 2]] * 4, [1, 1, 3, 3], [1] * 4),
        (["prompt=texts.txt", "state=row.csv", "kind=0"], 2, [[1, 2]] * 2 + [[3, 0]] * 2, [1] * 4, [0] * 4),
        (["all.json"], 2, [[1, 0]] * 2 + [[2, 2]] * 2, [1] * 4, [0, 0, 1, 1]),
        (["all.csv"], 2, [[1, 0]] * 2 + [[2, 2]] * 2, [1, 1, 3, 3], [0, 0, 1, 1]),
        (["all.npz"], 2, [[1, 2]] * 2 + [[3, 0]] * 2, [1] * 4, [1] * 4),
    ],
)
def test_each_of_some_values_serves_as_many_samples(texts, rows, prompts, states, kinds):
    found, arrays = four(EVERY, *texts)
    assert found == rows
    assert (arrays["prompt"], [s[0] for s in arrays["state"]], arrays["kind"]) == (prompts, states, kinds)


@pytest.mark.parametrize(
    ("part", "text", "value"),
    [
        (Part("p", "sequence", (2, 2)), "1,2,3,4", [[1, 2], [3, 4]]),
        (Part("p", "sequence", ("length", 2)), "1,2,3,4,5,6", [[1, 2], [3, 4], [5, 6]]),
        (Part("p", "image", (1, 2, 2)), "1,2,3,4", [[[1, 2], [3, 4]]]),
        (Part("p", "audio", (1, 2)), "0.5,-0.5", [[0.5, -0.5]]),
        (Part("p", "tokens", ("length",), size=9), "1,2,3", [1, 2, 3]),
    ],
)
def test_a_list_of_numbers_is_read_row_by_row(part, text, value):
    condition = Condition((part,))
    read = condition_from(condition, [f"p={text}"])
    assert read["p"].tolist() == value
    assert condition.arrays(read, 1)["p"].tolist() == [value]


#: a part of each kind, and its values for three samples
KINDS = {
    "numbers": (Part("p", "numbers", (2,)), np.array([[1, 2], [3, 4.5], [5, 6]])),
    "classes": (Part("p", "classes", size=3, labels=("2", "0", "x")), np.array([0, 1, 2])),
    "points": (Part("p", "sequence", (3, 2)), np.arange(18.0).reshape(3, 3, 2)),
    "sequence": (Part("p", "sequence", ("length", 2)), [np.ones((1, 2)), np.full((3, 2), 2.0), np.zeros((2, 2))]),
    "tokens": (Part("p", "tokens", ("length",), size=9), [[1, 2, 3], [4], [5, 6]]),
    "texts": (Part("p", "tokens", ("length",), alphabet="_abc", padding=0), ["ab", "c", "abc"]),
    "image": (Part("p", "image", (3, 6, 6)), np.arange(324.0).reshape(3, 3, 6, 6)),
    "audio": (Part("p", "audio", (1, 20)), np.linspace(-1, 1, 60).reshape(3, 1, 20)),
}
KINDS["number"] = (Part("p", "numbers", (1,)), np.array([[1.5], [2], [3]]))
OTHER = Part("other", "numbers", (1,), null=0.0, required=False)


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "parquet", "csv"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rest", [(), (OTHER,)], ids=["alone", "with another"])
def test_the_condition_of_samples_is_read_from_every_file_that_has_it(kind, rest, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    part, values = KINDS[kind]
    condition = Condition((part, *rest))
    expected = condition.arrays({"p": values}, 3)
    stored = condition.stored({"p": values}, 3)
    extras = Extras(stored, part_labels={"p": part.labels} if part.labels else {})
    write(np.zeros((3, 1, 2), np.float32), Path(f"x.{suffix}"), extras)
    left = left_out(3, extras)
    assert left == (["condition/p"] if kind == "image" else [])
    texts = [[f"x.{suffix}"], [f"p=x.{suffix}"]]
    if left and suffix == "csv":
        for each in texts:
            with pytest.raises((ConditionError, DataError)):
                condition.arrays(condition_from(condition, each), 3)
        return
    for each in texts:
        read = condition.arrays(condition_from(condition, each), 3)
        assert read.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(read[name], array, rtol=1e-6, err_msg=f"{name} of {each}")


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "parquet", "csv"])
@pytest.mark.parametrize("size", [1, 2, 11])
def test_a_vector_is_read_from_every_file_that_has_it(size, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    condition, values = Condition.vector(size), np.arange(3.0 * size).reshape(3, size)
    path = Path(f"x.{suffix}")
    for x, modality in ((np.zeros((3, 2)), None), (np.zeros((3, 1)), Table((Column("y", (), 0.5),)))):
        write(x, path, Extras(values, modality=modality), replace=True)
        read, stored = read_samples(path, x.shape[1:], modality)
        np.testing.assert_array_equal(read, x)
        np.testing.assert_array_equal(condition_of_file(condition, stored, 3, path), values)
        np.testing.assert_array_equal(condition.array(condition_from(condition, [str(path)]), 3), values)
    if size == 1:  # one column by any name
        Path("y.csv").write_text("temperature\n1\n2.5\n")
        assert condition.array(condition_from(condition, ["y.csv"]), 2).tolist() == [[1], [2.5]]


def test_columns_of_lists_that_others_wrote_are_parts():
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    points = [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]
    parquet.write_table(arrow.table({"p": points, "place": [[1.0, 2.0], [3.0, 4.0]], "note": ["a", "b"]}), "x.parquet")
    condition = Condition((Part("p", "sequence", ("length", 2)), Part("place", "numbers", (2,))))
    for texts in (["x.parquet"], ["p=x.parquet", "place=x.parquet"]):
        read = condition.arrays(condition_from(condition, texts), 2)
        assert read["p"].tolist() == [[[1, 2], [0, 0]], points[1]]
        assert read["place"].tolist() == [[1, 2], [3, 4]]
    # columns by other names are a part alone, as those of a .csv file are
    parquet.write_table(arrow.table({"a": [1.0, 3.0], "b": [2, 4]}), "y.parquet")
    for described, text in ((condition, "place=y.parquet"), (ONE["vector"], "y.parquet")):
        value = condition_from(described, [text] if described.plain else ["p=x.parquet", text])
        assert np.asarray(value if described.plain else value["place"]).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(DataError, match="column p: its cells are not numbers"):
        condition_from(ONE["vector"], ["x.parquet"])


def test_digits_are_a_text_where_they_are_symbols():
    Path("x.csv").write_text("p,other\n12,1\n3,2\n")
    for part, tokens in (
        (Part("p", "tokens", ("length",), alphabet="_321", padding=0), [[3, 2], [1, 0]]),
        (Part("p", "tokens", ("length",), size=3, labels=("", "12", "3"), padding=0), [[1], [2]]),
        (Part("p", "tokens", ("length",), alphabet="_0123456789abc"[:13], padding=0), [[2, 3], [4, 0]]),
    ):
        condition = Condition((part, OTHER))
        read = condition.arrays(condition_from(condition, ["x.csv"]), 2)
        assert read["p"].tolist() == tokens
        assert condition.arrays({"p": ["12", "3"]}, 2)["p"].tolist() == tokens


def test_numbers_have_their_places_by_their_headings():
    condition = Condition((Part("p", "numbers", (3,)), OTHER))
    Path("x.csv").write_text("condition/p/2,condition/p/0,condition/p/1\n3,1,2\n")
    assert condition_from(condition, ["x.csv"])["p"].tolist() == [[1, 2, 3]]


def test_numbers_that_fill_no_rows_are_refused():
    for part in (Part("p", "sequence", (2, 2)), Part("p", "sequence", ("length", 2))):
        condition = Condition((part,))
        with pytest.raises(ConditionError, match=r"\(3,\)|of 1 axes"):
            condition.arrays(condition_from(condition, ["p=1,2,3"]), 1)


def test_a_recording_is_a_file_of_any_rate():
    value = condition_from(EVERY, ["prompt=a", "state=1,2", "kind=x", "sound=x.wav"])
    assert EVERY.arrays(value, 1)["sound"].tolist() == [[[0.5, -0.5]]]


def test_rows_that_do_not_go_into_the_samples_are_refused():
    value = condition_from(ONE["vector"], ["rows.csv"])
    with pytest.raises(ConditionError, match=r"3 samples need a condition of shape \(2,\) or \(3, 2\), not \(2, 2\)"):
        ONE["vector"].array(served(ONE["vector"], value, 3), 3)
    np.savez("none.npz", condition=np.zeros((0, 2)))
    for kind, text, says in (
        ("vector", "none.npz", r"not \(0, 2\)"),
        ("vector", "none.npy", "'none.npy' is neither a file nor a list of numbers"),
        ("classes", "d", "there is no class 'd'"),
        ("prompt", "xyz", "has no symbol 'x'"),
    ):
        with pytest.raises(ConditionError, match=says):
            four(ONE[kind], text)


def test_the_density_behind_points_is_that_given_their_parts():
    """Mixed over the different conditions of the samples, by their shares; of too many there is none."""
    pytest.importorskip("onnxruntime")
    from zoo.cli._app import App
    from zoo.cli._sampling import _density
    from zoo.runtime import load

    model = load(BUNDLES / "parts" / "posterior", "cpu")
    points = np.array([[0.0, 0.0], [1.0, -1.0]], np.float32)
    app = App()
    for condition in (
        {"state": [100.0, 90.0], "prompt": "abc"},
        {"state": [[100.0, 90.0]] * 3 + [[80.0, 70.0]], "prompt": ["a", "a", "a", "cb"], "robot": "leg"},
    ):
        rows = [{name: v[i] if len(v) == 4 else v for name, v in condition.items()} for i in range(4)]
        expected = np.mean([np.exp(model.log_prob(points, condition=row)) for row in rows], 0)
        found = _density(app, model, condition, 4, None)(points)
        np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)
    many = {"state": np.arange(34.0).reshape(17, 2)}
    assert _density(app, model, many, 17, None) is None
    assert _density(app, model, {"state": [1.0, 2.0]}, 4, 2.0) is None


def test_a_composition_takes_each_condition_as_condition_does():
    found = composition_from(EVERY, ["prompt=ab;state=1,2;kind=y:2", "all.json:-.5"], 4)
    assert [weight for _, weight in found] == [2.0, -0.5]
    first, second = (EVERY.arrays(value, 4) for value, _ in found)
    np.testing.assert_array_equal(first["state"], [[1, 2]] * 4)
    np.testing.assert_array_equal(first["kind"], [1] * 4)
    np.testing.assert_array_equal(second["kind"], [0, 0, 1, 1])
