"""The page of an evaluation: samples beside data for every kind of them, in one file that is safe to open."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.data import Dataset, Split
from zoo.metrics.evaluation import Evaluation
from zoo.metrics.report import markdown, page
from zoo.modality import Audio, Column, Table, Text


class Model:
    """Draws what it is given, and has a density or none."""

    condition = None

    def __init__(self, x, density, steps=False):
        self.x, self.event_shape = x, x.shape[1:]
        log_prob = SimpleNamespace(estimates=False) if density else None
        kind = "exact" if density else "none"
        self.manifest = SimpleNamespace(
            sample=SimpleNamespace(stepped=steps), log_prob=log_prob, density=kind, length=None
        )

    def sample(self, n, *, seed, condition, progress, steps=64):
        return self.x[:n]

    def log_prob(self, x, *, condition, seed, progress=None):
        return -np.asarray(x, float).reshape(len(x), -1).sum(1)


def measured(x, density=True, steps=False, **data):
    split = Split(x)
    return Evaluation(model=Model(x, density, steps), data=Dataset("d", split, split, split, **data), samples=len(x))


def paged(x, density=True, name="m", history=(), steps=False, **data):
    return page(
        measured(x, density, steps, **data),
        {"a": {"value": 1.5, "of": "<this>"}},
        name=name,
        facts={"f": "g"},
        history=history,
    )


@pytest.mark.parametrize(
    ("x", "data", "images"),
    [
        (np.random.default_rng(0).normal(size=(40, 2)), {}, 3),
        (np.random.default_rng(0).normal(size=(40, 1)), {}, 2),
        (np.random.default_rng(0).integers(256, size=(9, 3, 4, 4)), {"levels": 256}, 4),
        (np.random.default_rng(0).normal(size=(4, 1, 800)) / 9, {"modality": Audio(8000)}, 4),
        (np.random.default_rng(0).integers(1, 3, size=(9, 4)), {"modality": Text(".<b"), "levels": 3}, 1),
        (np.random.default_rng(0).normal(size=(4, 2, 3, 4, 5)), {}, 4),
    ],
)
def test_each_kind_of_data_is_shown_as_what_it_is(x, data, images):
    text = paged(x.astype(np.float32), **data)
    assert text.count('<img alt="') == text.count('src="data:image/png;base64,') == images
    assert ("&lt;b" in text or "&lt;&lt;" in text) == isinstance(data.get("modality"), Text)


def test_nothing_is_said_of_what_is_not_there_and_names_cannot_break_the_page():
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    text = paged(x, density=False, name="<script>alert(1)</script>")
    assert "Likelihood" not in text
    assert "Training" not in text
    assert "<script" not in text
    assert "&lt;this&gt;" in text
    whole = paged(x, history=[{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0, "validation": 1.5}])
    assert re.findall("<h2>(.*?)</h2>", whole) == ["Metrics", "Samples", "Marginals", "Likelihood", "Training"]
    assert whole == paged(x, history=[{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0, "validation": 1.5}])


@pytest.mark.parametrize(
    ("x", "data"),
    [
        (np.random.default_rng(0).normal(size=(40, 2)), {}),
        (np.random.default_rng(0).integers(256, size=(9, 3, 4, 4)), {"levels": 256}),
        (np.random.default_rng(0).integers(1, 3, size=(9, 4)), {"modality": Text(".<|"), "levels": 3}),
        (
            np.random.default_rng(0).integers(0, 2, size=(9, 2)),
            {
                "modality": Table((Column("a|b", grain=1.0), Column.categories("kind", ("x", "y|")))),
            },
        ),
    ],
)
def test_in_markdown_it_says_and_shows_the_same(x, data):
    evaluation, history = measured(x.astype(np.float32), **data), [{"step": 10, "loss": 2.0}]
    metrics = {"a": {"value": 1.5, "standard_error": 0.1, "unit": "nats", "of": "<this>\n# that"}}
    told = {"name": "m#1", "facts": {"f": "g"}, "history": history}
    text, pictures = markdown(evaluation, metrics, pictures="pics", **told)
    whole = page(evaluation, metrics, **told)
    assert re.findall("^## (.*)$", text, flags=re.M) == re.findall("<h2>(.*?)</h2>", whole)
    shown = re.findall(r"!\[([^\]]*)\]\(pics/([^)]*)\)", text)
    assert [name for _, name in shown] == list(pictures)
    assert [shows for shows, _ in shown] == re.findall('<img alt="(.*?)"', whole)
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())
    assert "| a | 1.5 ± 0.1 nats |  |  | \\<this\\> \\# that |" in text
    assert "# m\\#1\n" in text
    # every row of every table has as many cells as its head
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_models_that_take_steps_are_shown_in_few_and_many(monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    drawn = []
    monkeypatch.setattr(Model, "sample", lambda self, n, *, steps=64, **_: drawn.append(steps) or self.x[:n])
    assert "Quality by steps" not in paged(x)
    assert "Quality by steps" in paged(x, steps=True)
    assert drawn[-6:] == [1, 2, 4, 8, 16, 32]
