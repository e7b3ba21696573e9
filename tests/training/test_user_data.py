"""From a user's file to a model and to samples in the file's own form, and what is said before anything is trained."""

import csv
import json
import wave

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

import zoo  # noqa: E402 - after the check for torch
from zoo.cli import _group  # noqa: E402
from zoo.data import Dataset, Split  # noqa: E402
from zoo.errors import ConfigError, DataError, PluginError, UsageError  # noqa: E402
from zoo.registry import Registry, installed  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo.training import feeding  # noqa: E402
from zoo.training.checking import mistakes  # noqa: E402
from zoo.training.data import load_data, trained_on  # noqa: E402
from zoo.training.inferring import inferred  # noqa: E402
from zoo.training.recipe import Recipe, TrainingRecipe  # noqa: E402
from zoo.training.run import train_recipe  # noqa: E402

SMALL = {"hidden": 8, "blocks": 1, "bins": 4, "transforms": 1}
SET = ["--set", "training.steps=3", "--set", "training.batch_size=32", "--set", f"model.config={json.dumps(SMALL)}"]


def run(*args):
    return CliRunner().invoke(_group.cli, [str(a) for a in args])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table as a spreadsheet writes it: byte order mark, headings with spaces, gaps, dates, quoted words."""
    path = tmp_path_factory.mktemp("data") / "people.csv"
    random = np.random.default_rng(0)
    rows = [["Body height", "share", "city", "joined", "age in years", "pulse"]]
    for i in range(120):
        height = "" if i in (5, 50) else f"{random.normal(170, 9):.1f}"
        city = ("Bern", "Genève, CH")[random.integers(2)]
        rows.append(
            [
                height,
                f"{random.random():.17f}",
                city,
                f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d}",
                str(random.integers(18, 80)),
                repr(1e4 * random.normal()),
            ]
        )
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.mark.full
def test_from_a_file_to_a_bundle_to_rows_of_the_same_file(table, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    trained = run(
        *("train", "nsf-coupling", "--data", table, "--given", "age in years,pulse", "--bounds", "share=0:1"),
        *("--missing", "drop", *SET),
    )
    assert trained.exit_code == 0, trained.stderr
    assert "2 of 120 rows are dropped" in trained.stderr
    card = ModelCard.from_folder(tmp_path / "runs" / "people")
    assert card.event_shape == (4,)
    assert card.config["bounds"] == {"1": [0.0, 1.0]}
    assert card.config["marginals"]["categories"] == [0, 0, 2, 0]
    assert card.condition.labels == ("age in years", "pulse")
    assert (card.data["path"], len(card.data["sha256"])) == (str(table), 64)
    assert trained_on(card).path == str(table)
    exported = run("export", "runs/people", "-o", "people.bundle")
    assert exported.exit_code == 0, exported.stderr
    # one row of the file is the observation
    lines = table.read_text("utf-8-sig").splitlines()
    (tmp_path / "row.csv").write_text("\n".join(lines[:2]), "utf-8")
    drawn = run("run", "people.bundle", "--condition", "row.csv", "-n", "50", "--seed", "0", "-o", "drawn.csv")
    assert drawn.exit_code == 0, drawn.stderr
    with open("drawn.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["Body height", "share", "city", "joined", "age in years", "pulse"]
    assert {row["city"] for row in rows} <= {"Bern", "Genève, CH"}
    assert all(row["joined"].startswith("2024-") for row in rows)
    assert all(0 <= float(row["share"]) <= 1 for row in rows)
    assert {float(row["age in years"]) for row in rows} == {float(lines[1].split(",")[-2])}
    # samples and the file itself are read again, conditions included
    for scored in ("drawn.csv", "complete.csv"):
        complete = [line for i, line in enumerate(lines) if i not in (6, 51)]
        (tmp_path / "complete.csv").write_text("﻿" + "\n".join(complete), "utf-8")
        result = run("run", "people.bundle", "--log-prob", scored, "-o", f"{scored}.npy")
        assert result.exit_code == 0, result.stderr
        assert np.isfinite(np.load(f"{scored}.npy")).all()


def test_nothing_is_guessed_where_the_architecture_has_nothing_for_it(table, tmp_path):
    result = run("train", "nsf-coupling", "--data", table, "--circular", "share=0:1", "--missing", "drop", *SET)
    assert result.exit_code == 1
    assert "no transforms of circular columns\nUse nsf-circular." in result.stderr
    result = run("train", "nsf-circular", "--data", table, "--missing", "drop", *SET)
    assert result.exit_code == 1
    assert "is for circular columns, and no column is stated to be circular" in result.stderr
    result = run("train", "nsf-coupling", "--data", table, *SET)
    assert (result.exit_code, "missing in 2 of 120 rows: 'Body height' 2" in result.stderr) == (1, True)
    result = run("train", "nsf-coupling")
    assert "is an architecture, and is trained on data" in result.stderr


def recipe_of(table, **options):
    values = {
        "name": "people",
        "model": {"architecture": "nsf-coupling", "config": SMALL},
        "data": {"path": str(table), "options": {"missing": "drop", **options}},
        "training": {"steps": 4, "batch_size": 32},
    }
    return Recipe.from_dict(values)


def test_a_file_that_changed_is_told_before_a_run_goes_on(table, tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes(table.read_bytes())
    recipe = recipe_of(path)
    assert train_recipe(recipe, tmp_path / "run", installed(), stop=lambda: True) is None
    path.write_bytes(table.read_bytes().replace(b"Bern", b"Biel"))
    with pytest.raises(DataError, match="has changed since the run"):
        train_recipe(recipe, tmp_path / "run", installed())
    path.write_bytes(table.read_bytes())
    card = train_recipe(recipe, tmp_path / "run", installed())
    # the card remembers it too
    path.write_bytes(table.read_bytes().replace(b"Bern", b"Biel"))
    with pytest.raises(DataError, match="has changed since the recipe was written"):
        train_recipe(Recipe.from_dict(card.recipe), tmp_path / "again", installed())


PLANTED = """
nme = "x"
summary = 3
[model]
architecture = "nsf-coupling"
config = {{ hiden = 8, transforms = 2 }}
[data]
path = "{path}"
options = {{ missing = "dropp", given = ["sharre"], delimeter = ";" }}
[training]
steps = 0
learning_rat = 1e-3
keep = "bset"
batch_size = "many"
schedule = "cosin"
"""


def test_every_mistake_of_a_recipe_is_told_at_once_with_near_names(table, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(PLANTED.format(path=table))
    result = run("train", path, "--check", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["mistakes"]
    for words in (
        "name is missing",
        "'nme'",
        "summary must be str",
        "'hiden' (Did you mean hidden",
        "'dropp' (Did you mean drop",
        "'sharre' (did you mean 'share'?)",
        "'delimeter' (Did you mean delimiter",
        "steps = 0 is out of range",
        "'learning_rat' (Did you mean learning_rate?)",
        "'bset' (Did you mean best",
        "batch_size must be int",
        "'cosin' (Did you mean cosine?)",
    ):
        assert sum(words in mistake for mistake in found) == 1, (words, found)
    assert len(found) == 12
    assert not (tmp_path / "runs").exists()


def test_a_good_recipe_has_no_mistakes_and_one_that_only_the_whole_shows_has(table, tmp_path):
    recipe = recipe_of(table)
    assert mistakes(recipe.describe(), installed()) == []
    described = recipe.describe()
    described["training"]["keep"] = "best"
    assert mistakes(described, installed()) == ['training.keep = "best" needs training.evaluate_every']
    described = recipe.describe()
    described["model"] = {"architecture": "nsf-copling", "config": {}}
    described["data"] = {"name": "moon"}
    assert [m.split("(")[1] for m in mistakes(described, installed())] == [
        "Did you mean nsf-coupling or nsf-circular?)",
        "Did you mean moons or two-moons or diamonds?)",
    ]


def test_a_wrong_value_of_a_config_is_told_beside_other_mistakes(table):
    described = recipe_of(table).describe()
    described["model"] = {"architecture": "nsf-coupling", "config": {"event_shape": [2], "bins": "eight", "binz": 8}}
    described["training"]["steps"] = 0
    told = mistakes(described, installed())
    assert [any(word in each for each in told) for word in ("training.steps", "binz", "'eight'")] == [True] * 3, told


X = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
FAST = {"config": SMALL, "steps": 2, "batch_size": 32}


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 90

    def __getitem__(self, i):
        return torch.from_numpy(X[i]), i % 3


def test_what_is_at_hand_in_python_trains_a_model(tmp_path):
    model = zoo.train("nsf-coupling", data=X, given=X[:, :1] * 1e4, output=tmp_path / "run", **FAST)
    assert model.event_shape == (2,)
    assert model.condition.size == 1
    again = zoo.train("nsf-coupling", data=X, given=X[:, :1] * 1e4, **FAST)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert ModelCard.from_folder(tmp_path / "run").data["source"] == "handed over in Python"
    with pytest.raises(UsageError, match="contains a finished model"):
        zoo.train("nsf-coupling", data=X, output=tmp_path / "run", **FAST)
    assert zoo.train("nsf-coupling", data=Pairs(), **FAST).condition.size == 3
    split = Split(X, np.arange(90) % 2)
    data = Dataset("mine", split, split, split, labels=("a", "b"))
    assert zoo.train("nsf-coupling", data=data, **FAST).condition.labels == ("a", "b")
    with pytest.raises(DataError, match="90 samples come with 3 conditions"):
        zoo.train("nsf-coupling", data=X, given=X[:3], **FAST)
    with pytest.raises(ConfigError, match="stepps"):
        zoo.train("nsf-coupling", data=X, stepps=3)


@pytest.mark.sample("pandas")
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_trains_a_model_and_its_columns_may_be_given(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({"a b": X[:, 0], "c": X[:, 1], "kind": ["x", "y"] * 45})
    model = zoo.train("nsf-coupling", data=frame, given=["c"], **FAST)
    assert model.event_shape == (2,)
    assert model.condition.labels == ("c",)
    assert zoo.train("nsf-coupling", data=frame, given="kind", **FAST).condition.labels == ("x", "y")


SEEN = {
    "parts": [
        {"name": "seen", "modality": "image", "shape": [1, 4, 4], "minimum": 0, "maximum": 255},
        {"name": "arm", "modality": "numbers", "shape": [2]},
        {"name": "prompt", "modality": "tokens", "shape": ["length"], "alphabet": "_ab", "padding": 0},
        {"name": "track", "modality": "sequence", "shape": ["steps", 2]},
    ]
}
HOW = {"seen": {"channels": [4], "width": 4}, "prompt": {"width": 8}, "track": {"width": 8}}


def seen(n):
    """Bytes, numbers of 64 bits, texts, and rows of lengths of their own, one for each sample."""
    random = np.random.default_rng(n)
    return {
        "seen": random.integers(0, 256, (n, 1, 4, 4)).astype(np.uint8),
        "arm": random.normal(50, 5, (n, 2)),
        "prompt": [("ab", "b", "aab")[i % 3] for i in range(n)],
        "track": [random.normal(size=(1 + i % 4, 2)) for i in range(n)],
    }


def test_parts_of_a_condition_are_given_by_name():
    x, told = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32), []
    settings = {**SMALL, "condition": SEEN, "conditioning": HOW}
    model = zoo.train("nsf-coupling", data=x, given=seen(80), config=settings, steps=2, batch_size=16, say=told.append)
    assert model.condition.names == ("seen", "arm", "prompt", "track")
    assert model.sample(2, condition={name: part[0] for name, part in seen(2).items()}, seed=0).shape == (2, 2)
    # standardised by the training rows, not one of which is near 0
    assert 40 < model.part_contexts["part_arm"].shift.min() < 60
    assert not any("not used" in line for line in told)


def test_parts_that_are_classes_and_numbers_describe_themselves_and_others_do_not():
    x, kind = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32), np.arange(80) % 3
    given = {"arm": seen(80)["arm"], "kind": kind}
    model = zoo.train("nsf-coupling", data=x, given=given, config=SMALL, steps=2, batch_size=16)
    described = [(part.name, part.modality, part.shape, part.size) for part in model.condition.parts]
    assert described == [("arm", "numbers", (2,), None), ("kind", "classes", (), 3)]
    with pytest.raises(UsageError, match="nothing describes the parts that samples are conditioned on"):
        zoo.train("nsf-coupling", data=x, given=seen(80), config=SMALL, steps=2)
    with pytest.raises(DataError, match="80 samples come with 79 of part arm"):
        zoo.train("nsf-coupling", data=x, given={"arm": given["arm"][1:]}, config=SMALL, steps=2)
    with pytest.raises(UsageError, match="given names columns: it cannot be an array"):
        zoo.train("nsf-coupling", data="rows.csv", given=given, steps=2)


def test_parts_beside_the_samples_of_a_file_are_its_conditions(tmp_path):
    """As ``zoo run`` writes them: padded, with masks."""
    from zoo.render import Extras, write

    pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    settings = {**SMALL, "condition": SEEN, "conditioning": HOW}
    model = zoo.train("nsf-coupling", data=x, given=seen(60), config=settings, steps=2, batch_size=16)
    write(x, tmp_path / "x.npz", Extras(condition=model.condition.stored(seen(60), 60)))
    write(x, tmp_path / "x.safetensors", Extras(condition=model.condition.stored(seen(60), 60)))
    again = {}
    for name in ("x.npz", "x.safetensors"):
        told = []
        path, output = str(tmp_path / name), str(tmp_path / f"runs-{name}")
        again[name] = zoo.train(
            "nsf-coupling", data=path, config=settings, steps=2, batch_size=16, output=output, say=told.append
        )
        for key, value in model.state_dict().items():
            torch.testing.assert_close(again[name].state_dict()[key], value, msg=key)
        assert not any("not used" in line for line in told)
    done = run("eval", tmp_path / "runs-x.npz", "--data", tmp_path / "x.npz", "--metric", "likelihood", "--samples", 0)
    assert done.exit_code == 0, done.output
    assert "the density given the parts seen, arm, prompt, track of each sample" in " ".join(done.output.split())
    # without a description, they are said to be left out
    told.clear()
    zoo.train("nsf-coupling", data=str(tmp_path / "x.npz"), config=SMALL, steps=2, batch_size=16, say=told.append)
    assert any("the parts seen, arm, prompt, track of the conditions are not used" in line for line in told)


def test_pictures_and_recordings_get_the_units_of_a_diffusion():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
    split = Split(pixels, np.arange(30) % 2)
    data = Dataset("mine", split, split, split, levels=256, labels=("a", "b"))
    config, names = inferred("unet", data, {"base": 8}, installed())
    assert config == {
        "event_shape": [3, 8, 8],
        "shift": 128.0,
        "scale": 128.0,
        "data_min": 0.0,
        "data_max": 256.0,
        "base": 8,
        "condition": {"kind": "classes", "size": 2, "labels": ["a", "b"], "required": False},
    }
    assert "base" not in names
    assert inferred("glow", data, {}, installed())[0]["levels"] == 256


def test_an_epoch_is_permuted_once_and_as_before():
    settings = TrainingRecipe(seed=3, batch_size=10)
    feeding._order.cache_clear()
    for step in (0, 1, 7, 10, 11, 0):
        order = np.random.default_rng([3, step // 10]).permutation(105)
        np.testing.assert_array_equal(feeding.indices_of(105, settings, step), order[step % 10 * 10 :][:10])
    assert feeding._order.cache_info().misses == 2  # two epochs, the first of which is asked for again


def test_a_data_set_that_fails_is_named_with_its_plugin(monkeypatch):
    registry = Registry.discover(allowed=())
    source = registry.dataset("moons")
    item = registry.item("data set", "moons")
    object.__setattr__(item.plugin, "distribution", "zoo-faces")
    monkeypatch.setattr(registry, "load_entry", lambda _: lambda: 1 / 0)
    with pytest.raises(PluginError, match=r"the data set moons of the plugin data \(zoo-faces .*ZeroDivisionError"):
        load_data(source, {}, registry)
    monkeypatch.setattr(registry, "load_entry", lambda _: lambda: 3)
    with pytest.raises(PluginError, match="gives int, not a zoo"):
        load_data(source, {}, registry)


def test_a_model_is_no_reason_to_run_code(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made_here.py").write_text("raise SystemExit('it ran')\n")
    recipe = {**recipe_of(table).describe(), "data": {"name": "x", "path": "made_here:data"}}
    card = ModelCard(name="x", family="flow", architecture="nsf-coupling", event_shape=(2,), recipe=recipe)
    from zoo.training.data import data_of_model

    with pytest.raises(UsageError, match="made by the code made_here:data, which is not run"):
        data_of_model(trained_on(card), {}, installed())


def test_zoo_data_shows_columns_and_what_keeps_them_from_training(table, tmp_path):
    result = run("data", table, "-o", tmp_path / "x.png", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    assert [c["kind"] for c in told["columns"]][2:4] == ["categorical", "date"]
    assert "--missing drop" in told["problem"]
    told = json.loads(run("data", table, "--missing", "drop", "--given", "pulse", "--json").stdout)
    assert told["split"] == {"train": 94, "validation": 12, "test": 12}
    assert told["event_shape"] == [5]
    shown = run("data", table, "--missing", "indicator")
    assert "Body height" in shown.stdout
    assert "2024-01-01 to 2024-12-28" in shown.stdout.replace("  ", " ")


def rows_and_photos(folder):
    """Write 200 rows and 60 pictures; returns the generator that drew them."""
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    np.save(folder / "rows.npy", random.normal(size=(200, 3)).astype(np.float32))
    (folder / "photos").mkdir()
    for i, pixels in enumerate(random.integers(0, 256, (60, 4, 4), dtype=np.uint8)):
        image.fromarray(pixels).save(folder / "photos" / f"{i:02}.png")
    return random


def test_data_that_stay_on_disk_train_to_the_same_weights(tmp_path, monkeypatch):
    """As documented: mapped arrays, and pictures and recordings that are read batch by batch, change no byte."""
    from safetensors.numpy import save_file

    from zoo.reading.formats import arrays, pictures, recordings

    random = rows_and_photos(tmp_path)
    x = random.normal(size=(90, 2, 3)).astype(np.float32)
    save_file({"samples": x, "condition": random.normal(size=(90, 2))}, tmp_path / "x.safetensors")
    (tmp_path / "sounds").mkdir()
    for i in range(30):
        with wave.open(str(tmp_path / "sounds" / f"{i:02}.wav"), "wb") as file:
            file.setparams((1 + i % 2, 2, 8000 * (1 + i % 3), 0, "NONE", None))
            file.writeframes(random.integers(-9999, 9999, 90 + 2 * i).astype("<i2").tobytes())

    def trained(name):
        options = {"rate": 8000, "seconds": 0.001} if name == "sounds" else {}
        model = zoo.train("nsf-coupling", data=str(tmp_path / name), data_options=options, steps=3)
        return {key: value.numpy().tobytes() for key, value in model.state_dict().items()}

    before = {name: trained(name) for name in ("rows.npy", "photos", "x.safetensors", "sounds")}
    for module in (arrays, pictures, recordings):
        monkeypatch.setattr(module, "IN_MEMORY", 0)
    assert isinstance(arrays.safetensors(tmp_path / "x.safetensors").x, np.memmap)
    assert {name: trained(name) for name in before} == before


def test_workers_and_interruptions_change_no_byte(tmp_path, monkeypatch):
    """Epochs end within the run, batches are taken in parts, and a run is resumed with other workers."""
    from zoo.reading.formats import arrays, pictures

    rows_and_photos(tmp_path)
    for module in (arrays, pictures):
        monkeypatch.setattr(module, "IN_MEMORY", 0)
    for name in ("rows.npy", "photos"):
        recipe = Recipe.from_dict(
            {
                "name": "x",
                "model": {"architecture": "nsf-coupling", "config": SMALL},
                "data": {"path": str(tmp_path / name)},
                "training": {"steps": 7, "batch_size": 20, "accumulate": 3, "checkpoint_every": 2},
            }
        )

        def weights(run, recipe=recipe, name=name, **options):
            train_recipe(recipe, tmp_path / name.upper() / run, installed(), **options)
            return (tmp_path / name.upper() / run / "weights.safetensors").read_bytes()

        alone = weights("alone", workers=0)
        steps = iter([False] * 3 + [True] + [False] * 9)
        folder = tmp_path / name.upper() / "resumed"
        assert train_recipe(recipe, folder, installed(), workers=1, stop=lambda steps=steps: next(steps)) is None
        assert weights("resumed", workers=2) == alone


def test_a_picture_that_a_worker_cannot_read_is_named(tmp_path, monkeypatch):
    from zoo.reading.formats import pictures

    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(pictures, "IN_MEMORY", 0)
    (tmp_path / "photos").mkdir()
    for i in range(30):
        noise = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        image.fromarray(noise).save(tmp_path / "photos" / f"{i:02}.jpg")
    whole = (tmp_path / "photos" / "07.jpg").read_bytes()
    (tmp_path / "photos" / "07.jpg").write_bytes(whole[:-40])  # its head is whole
    recipe = Recipe.from_dict(
        {
            "name": "x",
            "model": {"architecture": "nsf-coupling", "config": SMALL},
            "data": {"path": str(tmp_path / "photos"), "options": {"shares": [0.9, 0.05, 0.05], "split_seed": 1}},
            "training": {"steps": 4, "batch_size": 9},
        }
    )
    with pytest.raises(DataError, match=r"cannot read .*07\.jpg"):
        train_recipe(recipe, tmp_path / "run", installed(), workers=1)
    # of a .png already what its head says needs the whole
    (tmp_path / "photos" / "07.jpg").unlink()
    image.fromarray(noise).save(tmp_path / "photos" / "07.png")
    whole = (tmp_path / "photos" / "07.png").read_bytes()
    (tmp_path / "photos" / "07.png").write_bytes(whole[:60])
    with pytest.raises(DataError, match=r"cannot read .*07\.png"):
        train_recipe(recipe, tmp_path / "run", installed(), workers=1)


def test_part_of_a_mapped_array_is_found_again_by_another_process(tmp_path):
    import pickle

    from zoo.data.lazy import Chosen

    array = np.arange(60.0).reshape(20, 3)
    np.save(tmp_path / "x.npy", array)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    chosen = Chosen(mapped[5:], np.array([3, 0, 7]))
    sent = pickle.dumps(chosen)  # as to a process that a worker is started as
    assert len(sent) < 2000
    np.testing.assert_array_equal(np.asarray(pickle.loads(sent)), array[[8, 5, 12]])
