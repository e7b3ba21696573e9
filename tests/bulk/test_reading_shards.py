"""Folders that bulk runs wrote are data: they are read as the one file that the same run writes without an engine."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("onnxruntime")

from zoo.bulk import engines
from zoo.bulk.job import Worker
from zoo.cli import _group
from zoo.errors import DataError
from zoo.reading import finding
from zoo.registry import installed
from zoo.render.shards import MANIFEST_FILE, samples_in


def zoo(*args, code=0):
    done = CliRunner().invoke(_group.cli, [str(a) for a in args])
    assert done.exit_code == code, done.stderr
    return done


def here(job, tasks, workers):
    worker = Worker(job)
    yield from map(worker.make, tasks)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(engines, "local", here)


def drawn(folder, name, *arguments, form, size=4, alone=None):
    """A folder of shards, and the file that the same samples go to without an engine."""
    command = ("run", name, "--seed", 5, "--provider", "cpu", *arguments)
    zoo(*command, "--engine", "local", "--shard-size", size, "--format", form, "-o", folder / f"{name}-{form}")
    zoo(*command, "-o", folder / f"{name}.{alone or form}")
    return folder / f"{name}-{form}", folder / f"{name}.{alone or form}"


def scores(name, path, *options):
    done = zoo("run", name, "--log-prob", path, "--provider", "cpu", *options, "--json")
    return np.array(json.loads(done.stdout)["log_prob"]), done.stderr


@pytest.mark.parametrize("form", ["safetensors", "npy", "npz", "csv", "parquet"])
def test_shards_are_scored_as_one_file(tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    folder, file = drawn(tmp_path, "moons-nsf", "-n", 11, form=form)
    assert len(list(folder.glob(f"shard-*.{form}"))) == 3
    expected, _ = scores("moons-nsf", file)
    np.testing.assert_allclose(scores("moons-nsf", folder)[0], expected, rtol=1e-6)
    assert len(set(expected.tolist())) == 11  # so that another order would be seen


@pytest.mark.parametrize(
    ("name", "arguments", "form", "options"),
    [
        ("wine-mlp", ("-n", 6, "--steps", 2), "csv", ("--steps", 2, "-O", "probes=1")),
        ("digits-nsf", ("-n", 6, "--class", "3,7"), "safetensors", ()),
        ("names-masked", ("-n", 6, "--steps", 4), "txt", ()),
        ("maze-policy", ("-n", 6, "--steps", 2, "--example"), "safetensors", ("--steps", 2, "-O", "probes=1")),
        ("slcp-posterior", ("-n", 6, "--example"), "csv", ()),
    ],
)
def test_the_condition_beside_the_samples_and_what_they_mean_are_those_of_one_file(
    tmp_path, name, arguments, form, options
):
    folder, file = drawn(tmp_path, name, *arguments, form=form)
    expected, told = scores(name, file, *options)
    found, said = scores(name, folder, *options)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (f"conditions are those of {file}" in told) == (f"conditions are those of {folder}" in said)


def test_shards_are_scored_in_bulk_and_continued_from(tmp_path):
    folder, file = drawn(tmp_path, "mnist-unet", "-n", 5, "--steps", 1, "--class", "3,7", form="safetensors", size=2)
    common = ("--steps", 1, "--strength", 0.5, "--seed", 3, "--provider", "cpu")
    for source, target in ((folder, "a.npz"), (file, "b.npz")):
        zoo("run", "mnist-unet", "--init", source, *common, "-o", tmp_path / target)
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert a["condition"].tolist() == [3, 7, 3, 7, 3]
        np.testing.assert_array_equal(a["samples"], b["samples"])
    moons, _ = drawn(tmp_path, "moons-nsf", "-n", 5, form="npy")
    score = ("run", "moons-nsf", "--log-prob", moons, "--engine", "local", "-o", tmp_path / "scores")
    zoo(*score)
    assert "5 of which were there" in zoo(*score).stderr
    stated = json.loads((tmp_path / "scores" / MANIFEST_FILE).read_text())
    assert stated["data"] == {"path": str(moons), "sha256": finding.digest(str(moons))}
    refused = zoo("run", "moons-nsf", "--log-prob", tmp_path / "scores", code=1).stderr
    assert f"Error: {tmp_path / 'scores'} holds log-densities, not samples" in refused


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("moons-nsf", "safetensors"),
        ("moons-nsf", "npy"),
        ("moons-nsf", "npz"),
        ("wine-mlp", "csv"),
        ("wine-mlp", "parquet"),
        ("names-masked", "txt"),
    ],
)
def test_shards_are_data_as_one_file_is(tmp_path, name, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    folder, file = drawn(tmp_path, name, "-n", 40, *(() if "moons" in name else ("--steps", 2)), form=form, size=15)
    contents = [finding.opened(str(path), {}, installed()) for path in (folder, file)]
    assert contents[0].reader == "shards"
    several, one = (each.content for each in contents)
    if hasattr(one, "x"):
        np.testing.assert_array_equal(several.x, one.x)
        assert several.modality == one.modality
        return
    assert list(several.columns) == list(one.columns)
    for heading, cells in one.columns.items():
        np.testing.assert_array_equal(several.columns[heading].values, cells.values)
    if name == "moons-nsf":
        told = [
            json.loads(zoo("eval", name, "--data", path, "--metric", "likelihood", "--samples", 0, "--json").stdout)
            for path in (folder, file)
        ]
        assert told[0]["metrics"] == told[1]["metrics"]
        assert told[0]["metrics"]["test_nll"]["samples"] == 40


def changed(folder, **values):
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def without_the_last(folder):
    changed(folder, shards=json.loads((folder / MANIFEST_FILE).read_text())["shards"][:-1], complete=False)


def with_a_gap(folder):
    shards = json.loads((folder / MANIFEST_FILE).read_text())["shards"]
    shards[1]["first"] += 1
    changed(folder, shards=shards)


WRONG = {
    "missing": (lambda f: (f / "shard-000001.npy").unlink(), "is damaged: shard-000001.npy is missing"),
    "altered": (
        lambda f: shutil.copy(f / "shard-000000.npy", f / "shard-000001.npy"),
        "is damaged: shard-000001.npy is not what the manifest says",
    ),
    "incomplete": (without_the_last, "is incomplete: it has 8 of 11 rows"),
    "gap": (with_a_gap, "is incomplete: it has 11 of 11 rows"),
    "no manifest": (lambda f: (f / MANIFEST_FILE).unlink(), "is a folder without the manifest.json of shards"),
    "damaged manifest": (lambda f: (f / MANIFEST_FILE).write_text("{"), "is not the manifest of a folder of shards"),
    "foreign": (lambda f: changed(f, format="other"), "is not the manifest of a folder of shards"),
    "elsewhere": (
        lambda f: changed(f, shards=[{"file": "../x.npy", "first": 0, "rows": 11, "sha256": ""}]),
        "is not the manifest of a folder of shards",
    ),
    "texts for numbers": (
        lambda f: changed(f, shards=[{"file": "x.npy", "first": 0, "rows": "11", "sha256": ""}]),
        "is not the manifest of a folder of shards",
    ),
    "scores": (lambda f: changed(f, holds="log-densities"), "holds log-densities, not samples"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_folder_that_is_damaged_incomplete_or_something_else_is_one_sentence(tmp_path, case):
    folder, _ = drawn(tmp_path, "moons-nsf", "-n", 11, form="npy")
    spoil, told = WRONG[case]
    spoil(folder)
    with pytest.raises(DataError) as caught:
        samples_in(folder)
    assert told in str(caught.value)
    refused = zoo("run", "moons-nsf", "--log-prob", folder, "-o", tmp_path / "x.npy", code=1).stderr
    assert told in refused
    assert refused.startswith("Error: ")
    assert not (tmp_path / "x.npy").exists()
    hint = "zoo run moons-nsf" if case in ("missing", "altered", "incomplete", "gap") else ""
    assert hint in refused
    as_data = zoo("data", folder, code=1).stderr
    assert told in as_data or case == "no manifest"


def test_what_cannot_be_data_is_refused(tmp_path):
    command = ("run", "digits-nsf", "-n", 4, "--seed", 5, "--engine", "local", "--shard-size", 2)
    zoo(*command, "--format", "png", "-o", tmp_path / "pictures")
    refused = zoo("run", "digits-nsf", "--log-prob", tmp_path / "pictures", code=1).stderr
    assert "holds pictures, which are drawn and not data" in refused
    assert "end with .png, which are not read as one" in zoo("data", tmp_path / "pictures", code=1).stderr
