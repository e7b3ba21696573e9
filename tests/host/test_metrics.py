"""The door for metrics: what `zoo eval` asks of them, and what happens when they are wrong."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.data import Dataset, Split
from zoo.errors import ConfigError, NameConflictError, PluginError, UnknownNameError, UsageError
from zoo.metrics.evaluation import Evaluation, chosen_metrics, measure, measure_all
from zoo.metrics.options import shared_out
from zoo.registry import Registry
from zoo.registry.discovery import discover

METRICS = """
    import numpy as np
    import zoo

    def spread(evaluation):
        return {"spread": {"value": np.float64(evaluation.drawn.x.std()), "samples": evaluation.samples, "of": "it"}}

    def size(evaluation):
        return {"size": {"value": len(evaluation.data.test), "unit": "samples"}}

    def again(evaluation):
        return size(evaluation)

    def crash(evaluation):
        raise KeyError("crash")

    def refuse(evaluation):
        raise zoo.ConfigError("not this model")

    def number(evaluation):
        return 1.0

    def bare(evaluation):
        return {"bare": 1.0}

    def nothing(evaluation):
        return {}

    def text(evaluation):
        return {"text": {"value": "good"}}

    def scaled(evaluation, *, scale=1.5, times=2, loud=False, unit="nats", judge=None):
        return {"scaled": {"value": scale * times, "unit": unit, "loud": loud}}

    def louder(evaluation, *, loud=False):
        return {"louder": {"value": 1 + loud}}

    @zoo.hookimpl
    def zoo_metrics():
        names = ("spread", "size", "again", "crash", "refuse", "number", "bare", "nothing", "text", "scaled", "louder")
        yield from (zoo.Metric(name=name, entry=f"zoo_more:{name}") for name in NAMES or names)
        yield zoo.Metric(name="elsewhere", entry="zoo_more:size", requires=("surely_not_there",))

    NAMES = ()
"""


class Model:
    """Draws its seeds, and counts how often it is asked."""

    condition = None
    manifest = SimpleNamespace(sample=object(), log_prob=None)

    def __init__(self):
        self.asked = []

    def sample(self, n, *, seed, condition, progress):
        self.asked.append((n, seed))
        return np.full((n, 2), seed, np.float32)


@pytest.fixture
def registry(site):
    site.install("zoo-more", METRICS)
    return site.registry()


@pytest.fixture
def evaluation():
    split = Split(np.zeros((7, 2), np.float32), None)
    return Evaluation(model=Model(), data=Dataset("zeros", split, split, split), samples=5, seed=3)


def test_a_metric_is_asked_for_numbers_by_name(registry, evaluation):
    assert measure(registry, registry.metric("size"), evaluation) == {"size": {"value": 7, "unit": "samples"}}
    assert measure(registry, registry.metric("spread"), evaluation)["spread"]["value"] == 0.0
    assert measure(registry, registry.metric("nothing"), evaluation) == {}


def test_samples_are_drawn_once_for_all_metrics_and_not_for_those_that_look_at_none(registry, evaluation):
    measure_all(registry, [registry.metric("size")], evaluation)
    assert evaluation.model.asked == []
    for _ in range(2):
        measure_all(registry, [registry.metric("spread")], evaluation)
    assert evaluation.model.asked == [(5, 4)]
    evaluation.samples = 0
    del evaluation.drawn
    assert evaluation.drawn is None


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("crash", PluginError, "the metric crash of zoo-more 1.0 fails: KeyError: 'crash'"),
        ("refuse", ConfigError, "not this model"),
        ("number", PluginError, "gives float, not tables by name"),
        ("bare", PluginError, "gives 'bare': 1.0, not a table with a number as its value"),
        ("text", PluginError, "not a table with a number as its value"),
    ],
)
def test_what_is_wrong_with_a_metric_is_said(registry, evaluation, name, error, says):
    with pytest.raises(error, match=says):
        measure(registry, registry.metric(name), evaluation)


def test_a_metric_gets_its_options_and_its_tables_state_them(registry, evaluation):
    metric = registry.metric("scaled")
    assert measure(registry, metric, evaluation)["scaled"] == {"value": 3.0, "unit": "nats", "loud": False}
    given = {"scale": 2, "unit": "bits", "loud": True}
    evaluation.options = {"scaled": given, "size": {}}
    told = {"value": 4, "unit": "bits", "loud": True, "options": given}
    assert measure(registry, metric, evaluation) == {"scaled": told}
    assert "options" not in measure(registry, registry.metric("size"), evaluation)["size"]
    evaluation.options = {"size": {"scale": 2}}
    with pytest.raises(UsageError, match="the metric size has no option scale"):
        measure(registry, registry.metric("size"), evaluation)


@pytest.mark.parametrize(
    ("given", "says", "hint"),
    [
        ({"scale": "a"}, 'the option scale of the metric scaled is a number, not "a"', "Without it, scale = 1.5."),
        ({"scale": float("nan")}, "is a number, not NaN", ""),
        ({"scale": True}, "is a number, not true", ""),
        ({"times": 2.0}, "the option times of the metric scaled is a whole number, not 2.0", ""),
        ({"times": True}, "is a whole number, not true", ""),
        ({"loud": 1}, "the option loud of the metric scaled is true or false, not 1", ""),
        ({"unit": 1}, "the option unit of the metric scaled is a text, not 1", ""),
        ({"judge": 1}, "none of the metrics has an option judge", "There are: scale = 1.5, times = 2, loud = false"),
        ({"scale": 2.0, "tims": 1}, "none of the metrics has an option tims", '"nats" of scaled.'),
    ],
)
def test_options_that_metrics_do_not_have_are_refused(registry, given, says, hint):
    with pytest.raises(UsageError) as caught:
        shared_out(registry, [registry.metric("scaled"), registry.metric("size")], given)
    assert says in str(caught.value)
    assert hint in caught.value.hint


def test_each_metric_gets_the_options_that_it_has(registry):
    metrics = [registry.metric(name) for name in ("scaled", "size", "louder")]
    given = {"times": 3, "loud": True}
    assert shared_out(registry, metrics, given) == {"scaled": given, "louder": {"loud": True}}
    with pytest.raises(UsageError, match="loud is an option of louder and scaled, which --metric leaves out") as caught:
        shared_out(registry, [registry.metric("size")], {"loud": True})
    assert caught.value.hint == "Add --metric louder."
    with pytest.raises(UsageError, match="the metric size has no option loudness") as caught:
        shared_out(registry, [registry.metric("size")], {"loudness": 3})
    assert caught.value.hint == "There are none."


def test_two_metrics_do_not_give_one_name(registry, evaluation):
    with pytest.raises(PluginError, match="the metrics size and again both give 'size'"):
        measure_all(registry, [registry.metric("size"), registry.metric("again")], evaluation)


def test_metrics_are_chosen_by_name_and_without_names_all_but_those_that_two_plugins_claim(site, registry):
    assert [metric.name for metric in chosen_metrics(registry, ["size", "spread", "size"])] == ["size", "spread"]
    with pytest.raises(UnknownNameError, match="there is no metric named 'sise'"):
        chosen_metrics(registry, ["sise"])
    site.install(
        "zoo-other",
        'import zoo\n\n@zoo.hookimpl\ndef zoo_metrics():\n    return [zoo.Metric(name="size", entry="a:b")]\n',
    )
    both = site.registry()
    names = [metric.name for metric in chosen_metrics(both)]
    assert "spread" in names
    assert "size" not in names
    with pytest.raises(NameConflictError):
        chosen_metrics(both, ["size"])


def test_the_built_in_metrics_come_through_the_hook():
    registry = Registry([plugin for plugin in discover(allowed=[]) if plugin.record.builtin])
    expected = ["auroc", "c2st", "calibration", "categories", "classifier", "copying", "distance", "efficacy"]
    expected += ["features", "fidelity", "likelihood", "maze", "predictive", "reconstruction", "reference-posterior"]
    expected += ["table", "tarp", "text", "variational-bound"]
    assert [metric.name for metric in chosen_metrics(registry)] == expected
    for metric in chosen_metrics(registry):
        assert registry.unavailable(metric) or callable(registry.load_entry(metric))


def test_eval_tells_what_a_plugin_measures(site, zoo_command):
    pytest.importorskip("onnxruntime")
    site.install("zoo-more", METRICS.replace("NAMES = ()", 'NAMES = ("spread", "size")'))
    arguments = ("eval", "moons-nsf", "--scored", "20", "--samples", "30", "--provider", "cpu")
    done = zoo_command(*arguments, "--json", check=0)
    assert "the metric elsewhere is skipped: it needs surely_not_there" in done.stderr
    document = json.loads(done.stdout)
    assert {"test_nll", "spread", "size"} <= set(document["metrics"])
    assert document["metrics"]["spread"]["samples"] == 30
    shown = zoo_command(*arguments, "--metric", "size", check=0).stdout
    assert "size" in shown
    assert "spread" not in shown
    assert "test_nll" not in shown
    error = zoo_command.json(*arguments, "--metric", "elsewhere", check=1)["error"]
    assert "surely_not_there" in error["message"]
    assert zoo_command.json("list", "size", "--metrics", check=0)["metrics"][0]["plugin"]["name"] == "zoo-more"


def test_eval_gives_options_to_metrics(site, zoo_command, tmp_path):
    pytest.importorskip("onnxruntime")
    site.install("zoo-more", METRICS.replace("NAMES = ()", 'NAMES = ("scaled", "size")'))
    arguments = ("eval", "moons-nsf", "--scored", "5", "--samples", "40", "--provider", "cpu", "--report", "page.html")
    chosen = ("--metric", "scaled", "--metric", "distance", "--metric", "categories")
    done = zoo_command(*arguments, *chosen, "-O", "projections=7", "-O", "trees=3", "-O", "times=4", "--json", check=0)
    tables = json.loads(done.stdout)["metrics"]
    assert (tables["scaled"]["value"], tables["scaled"]["options"]) == (6.0, {"times": 4})
    assert tables["mmd"]["options"] == {"projections": 7}
    assert tables["sliced_wasserstein"]["of"].endswith("along 7 directions")
    assert "-O trees changes nothing here: categories measured nothing" in done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "options projections 7" in page
    for given, says in (
        ("seed=3", "use --seed instead of -O seed=3"),
        ("times", "-O takes KEY=VALUE, not 'times'"),
        ("times=many", 'the option times of the metric scaled is a whole number, not "many"'),
        ("folds=3", "folds is an option of c2st, which --metric leaves out"),
        ("projections=0", "the option projections is 1 or more, not 0"),
    ):
        failed = zoo_command(*arguments, "--force", *chosen, "-O", given, "--json", check=2)
        assert json.loads(failed.stdout)["error"]["message"] == says


def test_eval_without_torch_measures_all_but_what_needs_it(site, zoo_command):
    pytest.importorskip("onnxruntime")
    (site.folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    done = zoo_command("eval", "moons-nsf", "--scored", "5", "--samples", "5", "--provider", "cpu", "--json", check=0)
    assert "the metric classifier is skipped: it needs torch: pip install 'genzoo[torch]'" in done.stderr
    assert json.loads(done.stdout)["metrics"]["test_nll"]["samples"] == 5
