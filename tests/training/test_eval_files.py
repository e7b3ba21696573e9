"""`zoo eval RUN --data FILE`: the file is read as the training data were, and measured in PyTorch."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

import zoo  # noqa: E402 - after the check for torch
from zoo.cli import _group  # noqa: E402
from zoo.cli._measured import wanted_by  # noqa: E402
from zoo.conditions import Condition  # noqa: E402
from zoo.errors import DataError  # noqa: E402
from zoo.metrics.unexported import TorchModel  # noqa: E402
from zoo.modality import Text  # noqa: E402
from zoo.models import building  # noqa: E402
from zoo.models.sources import resolve  # noqa: E402
from zoo.reading import matching  # noqa: E402
from zoo.reading.matching import Wanted  # noqa: E402
from zoo.registry import installed  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo.training.data import data_of_model, trained_on  # noqa: E402

HEADINGS = ["height", "share", "city", "joined", "left", "age in years", "job", "part"]
CITIES = ("Bern", "Genève, CH", "Zürich")


def run(*args):
    done = CliRunner().invoke(_group.cli, [str(a) for a in args])
    assert done.exit_code == 0, done.stderr
    return done


def write(path, rows, headings=HEADINGS):
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([headings, *rows])
    return path


def read_rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a table with dates, categories, gaps, bounds, and given numbers, dates and classes."""
    root = tmp_path_factory.mktemp("eval")
    random = np.random.default_rng(0)
    rows = []
    for i in range(150):
        part = "test" if i % 3 == 0 else "val" if i % 3 == 1 else "train"
        height = "" if i % 10 == 3 else f"{random.normal(170, 9):.1f}"
        day = f"2024-{random.integers(1, 13):02d}-{random.integers(1, 29):02d}"
        rows.append(
            [
                height,
                f"{random.random():.17f}",
                CITIES[i % 3 if i < 9 else random.integers(3)],
                day,
                f"{day} 1{i % 10}:30",
                str(random.integers(18, 80)),
                ("baker", "clerk")[i // 3 % 2],
                part,
            ]
        )
    write(root / "people.csv", rows)
    # as the training data, with the columns in another order, and nothing else than the test rows
    order = [7, 5, 3, 1, 0, 2, 4, 6]
    tested = [row for row in rows if row[-1] == "test"]
    write(root / "test.csv", [[row[i] for i in order[1:]] for row in tested], [HEADINGS[i] for i in order[1:]])
    write(root / "late.csv", [row[:-1] for row in tested if row[2] != "Bern" and row[3] > "2024-06"], HEADINGS[:-1])
    config = {"hidden": 8, "blocks": 1, "bins": 4, "transforms": 1}
    run(
        *("train", "nsf-coupling", "--data", root / "people.csv", "--given", "age in years,job,left"),
        *("--bounds", "share=0:1", "--split", "part", "--missing", "indicator", "-o", root / "run"),
        *("--set", "training.steps=3", "--set", f"model.config={json.dumps(config)}"),
    )
    return root


def matched(folder, name, **stated):
    return matching.read(str(folder / name), wanted_by(resolve(installed(), folder / "run")), stated, installed())


def test_rows_of_a_file_have_the_numbers_that_they_had_in_training(folder):
    known = trained_on(resolve(installed(), folder / "run"))
    test = data_of_model(known, known.options, installed()).test
    read = matched(folder, "test.csv").split
    full = read.x[:, 1] == 0  # rows without a gap
    assert len(read.x) == len(test.x) == 50
    np.testing.assert_array_equal(read.x[full], test.x[full])
    assert set(read.condition) == set(test.condition) == {"job", "numbers"}
    for name in read.condition:
        np.testing.assert_array_equal(read.condition[name], test.condition[name])
    # some rows alone, without the first category and the first dates
    late = matched(folder, "late.csv").split
    assert 0 < len(late.x) < 50
    for row, numbers in zip(late.x, late.condition["numbers"], strict=True):
        same = np.isclose(test.condition["numbers"], numbers, rtol=0).all(1)
        assert (test.x[same][:, 2:] == row[2:]).all(1).any()


def test_a_file_is_measured_as_the_test_split_is(folder, monkeypatch):
    """The figures of a file of the test rows are those of the run's own test split, and no bundle is written."""
    rows = [row for row in read_rows(folder / "test.csv") if row["height"]]
    complete = write(folder / "complete.csv", [list(row.values()) for row in rows], list(rows[0]))
    done = run(
        "eval",
        folder / "run",
        "--data",
        complete,
        "--against",
        folder / "late.csv",
        "--samples",
        60,
        "--json",
        "--report",
        folder / "page.html",
    )
    assert "measuring it in PyTorch" in done.stderr
    told = json.loads(done.stdout)
    assert told["data"] == "complete.csv"
    assert {"test_nll", "mmd", "sbc", "expected_coverage", "auroc"} <= set(told["metrics"])
    assert "c2st" not in told["metrics"]  # 45 rows say nothing
    assert told["metrics"]["test_nll"]["samples"] == 45
    assert all(np.isfinite(metric["value"]) for metric in told["metrics"].values())
    text = (folder / "page.html").read_text("utf-8")
    for part in ("Metrics", "Samples", "Marginals", "Likelihood", "Training", "Genève, CH", "expected_coverage"):
        assert part in text
    # pairs of columns, histograms of columns and of log-densities, the history, ranks of calibration
    assert text.count('src="data:image/png;base64,') == text.count("<img") == 5
    assert "http" not in text
    refused = CliRunner().invoke(_group.cli, ["eval", str(folder / "run"), "--report", str(folder / "page.html")])
    assert (refused.exit_code, "page.html exists" in refused.stderr) == (1, True)
    # a file of the same name elsewhere is another file
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere / "people.csv", [list(row.values()) for row in rows[:20]], list(rows[0]))
    monkeypatch.chdir(elsewhere)
    other = json.loads(run("eval", folder / "run", "--data", "people.csv", "--metric", "likelihood", "--json").stdout)
    assert other["metrics"]["test_nll"]["samples"] == 20
    # the file of the training is measured on its test split
    for arguments in (["--data", folder / "people.csv"], []):
        own = json.loads(run("eval", folder / "run", *arguments, "--metric", "likelihood", "--json").stdout)
        assert own["metrics"]["test_nll"]["samples"] == 50
    again = json.loads(
        run("eval", folder / "run", "--data", folder / "test.csv", "--metric", "likelihood", "--json").stdout
    )
    # gaps are filled from other rows, so that five rows of fifty differ
    assert again["metrics"]["test_nll"]["value"] == pytest.approx(own["metrics"]["test_nll"]["value"], abs=0.2)


@pytest.mark.parametrize(
    ("heading", "value", "says"),
    [
        (
            "city",
            "Basel",
            "column 'city' of .* has 'Basel' in 1 rows, which people was not trained on",
        ),
        ("city", "", "has missing cells where the training data of people had none: 'city' 1"),
        ("height", "170.37", "has 1 values between the steps of 0.1 that people was trained on, such as 170.37"),
        ("height", "tall", "holds texts, such as .*, and people was trained on numbers there"),
        ("share", "1.2", "column 'share' has 1 numbers outside its bounds from 0 to 1"),
        ("joined", "12", "'12' is not a date written as %Y-%m-%d"),
        ("job", "sailor", "has 'sailor' in 1 rows"),
        (None, None, r"has no column 'city', which people was trained on"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(folder, tmp_path, heading, value, says):
    rows = read_rows(folder / "test.csv")
    if heading is None:
        rows = [{name: row[name] for name in row if name != "city"} for row in rows]
    else:
        rows[1][heading] = value
    path = write(tmp_path / "file.csv", [list(row.values()) for row in rows], list(rows[0]))
    wanted = wanted_by(resolve(installed(), folder / "run"))
    with pytest.raises(DataError, match=says):
        matching.read(str(path), wanted, {}, installed())
    if value == "":
        assert len(matching.read(str(path), wanted, {"missing": "drop"}, installed()).split) == 49


def test_days_before_months_are_read_as_in_training_though_months_before_days_would_fit_too(tmp_path):
    wanted = Wanted("m", (1,), modality=zoo.modality.Table((zoo.modality.Column("d", (), 1.0, date="%d/%m/%Y"),)))
    path = write(tmp_path / "d.csv", [["02/01/1970"], ["01/02/1970"]], ["d"])
    np.testing.assert_array_equal(matching.read(str(path), wanted, {}, installed()).split.x, [[1.0], [31.0]])


def test_classes_of_folders_and_letters_are_numbered_as_in_training(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / "pictures" / name / "a.png")
    wanted = Wanted("m", (1, 4, 4), levels=256, condition=Condition.classes(3, ("ant", "cat", "dog")))
    read = matching.read(str(tmp_path / "pictures"), wanted, {}, installed()).split
    np.testing.assert_array_equal(read.condition, [1, 2])
    coloured = Wanted("m", (3, 4, 4), levels=256, condition=wanted.condition)
    assert matching.read(str(tmp_path / "pictures"), coloured, {}, installed()).split.x.shape == (2, 3, 4, 4)
    few = Wanted("m", (1, 4, 4), levels=256, condition=Condition.classes(2, ("ant", "cat")))
    with pytest.raises(DataError, match="has the classes 'dog', which m was not trained on"):
        matching.read(str(tmp_path / "pictures"), few, {}, installed())
    with pytest.raises(DataError, match="has shades of 256 levels, and m has 65,536"):
        matching.read(str(tmp_path / "pictures"), Wanted("m", (1, 4, 4), levels=65_536), {}, installed())

    (tmp_path / "words.txt").write_text("ba\nab\n", "utf-8")
    texts = Wanted("m", (5,), levels=4, modality=Text(".abc"))
    np.testing.assert_array_equal(
        matching.read(str(tmp_path / "words.txt"), texts, {}, installed()).split.x[:, :3], [[2, 1, 0], [1, 2, 0]]
    )
    shifted = Wanted("m", (5,), levels=4, modality=Text(".xba"))
    np.testing.assert_array_equal(
        matching.read(str(tmp_path / "words.txt"), shifted, {}, installed()).split.x[0, :3], [2, 3, 0]
    )
    with pytest.raises(DataError, match="has the characters 'b', which m was not trained on"):
        matching.read(str(tmp_path / "words.txt"), Wanted("m", (5,), levels=3, modality=Text(".ac")), {}, installed())


def test_whole_numbers_are_rounded_ones_only_where_they_were_in_training(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(24.0).reshape(2, 3, 4))
    wanted = Wanted("m", (3, 4), grain=1.0)
    assert matching.read(str(tmp_path / "x.npy"), wanted, {}, installed()).grain.tolist() == [[1.0] * 4] * 3
    assert matching.read(str(tmp_path / "x.npy"), Wanted("m", (3, 4)), {}, installed()).grain is None
    np.save(tmp_path / "x.npy", np.arange(24.0).reshape(2, 3, 4) / 7)
    with pytest.raises(DataError, match="values between the steps of 1"):
        matching.read(str(tmp_path / "x.npy"), wanted, {}, installed())


@pytest.mark.parametrize(
    "name",
    ["moons-nsf", *(pytest.param(each, marks=pytest.mark.full) for each in ("digits-nsf", "moons-rectified-flow"))],
)
def test_a_model_in_pytorch_is_measured_as_its_bundle_is(name):
    pytest.importorskip("onnxruntime")
    registry = installed()
    bundle = zoo.runtime.load(resolve(registry, name).bundle)
    source = resolve(registry, name)
    model = TorchModel(building.load(registry, source), source.card)
    condition = None if model.condition is None else model.condition.array(None, 4)
    x = model.sample(4, seed=3, condition=condition)
    np.testing.assert_allclose(x, bundle.sample(4, seed=3, condition=condition), rtol=1e-3, atol=1e-3)
    x = np.floor(x).clip(0, model.levels - 1).astype(np.int32) if model.levels else x
    options = {"steps": 4} if model.manifest.log_prob.estimates else {}
    for method in ("log_prob", "log_prob_with_errors", "elbo") if options else ("log_prob",):
        more = {"steps": 20, "terms": 3} if method == "elbo" else options
        mine, theirs = (getattr(m, method)(x, condition=condition, seed=2, **more) for m in (model, bundle))
        mine, theirs = (each.value if hasattr(each, "value") else each for each in (mine, theirs))
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=2e-3)


def test_other_real_data_are_those_of_the_training_or_half_of_the_file(folder, tmp_path):
    read = matched(folder, "test.csv")
    wanted = wanted_by(resolve(installed(), folder / "run"))
    alone = matching.held_out("test.csv", read, wanted, None, 0)
    assert (len(alone.train), len(alone.test)) == (25, 25)
    assert not {row.tobytes() for row in alone.train.x} & {row.tobytes() for row in alone.test.x}


def test_metrics_and_page_go_into_the_card_of_a_run_and_onto_the_hub(folder, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("huggingface_hub")
    from zoo.hub.addresses import address_of
    from zoo.hub.pushing import stage

    shutil.copytree(folder / "run", tmp_path / "run")
    done = run("eval", tmp_path / "run", "--card", "--samples", 60, "--metric", "likelihood")
    assert "wrote" in done.stderr
    card = ModelCard.from_folder(tmp_path / "run")
    assert card.metrics["test_nll"]["samples"] > 40
    page = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert re.findall("^## (.*)", page, flags=re.M) == ["Metrics", "Samples", "Marginals", "Likelihood", "Training"]
    shown = re.findall(r"\]\((.*?)\)", page)
    assert shown
    assert all((tmp_path / "run" / name).is_file() for name in shown)
    # once more, since a card is no page of a user's
    run("eval", tmp_path / "run", "--card", "--samples", 60, "--metric", "likelihood")
    (tmp_path / "staged").mkdir()
    stage(tmp_path / "run", address_of("hf:somebody/people"), tmp_path / "staged")
    readme = (tmp_path / "staged" / "README.md").read_text("utf-8")
    assert "## Marginals" in readme
    assert all((tmp_path / "staged" / name).is_file() for name in re.findall(r"\]\((report.*?)\)", readme))
    refused = CliRunner().invoke(_group.cli, ["eval", str(tmp_path / "run"), "--card", "--data", "x.csv"])
    assert "--card and --data exclude each other" in refused.stderr
    refused = CliRunner().invoke(_group.cli, ["eval", "moons-nsf", "--card"])
    assert "--card writes into the folder of a run" in refused.stderr
