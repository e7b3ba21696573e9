"""Models conditioned on named parts, in Node and on the page: what zoo.runtime gives, encoded once."""

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from zoo.bundle import open_bundle
from zoo.exporting import pack
from zoo.runtime import BundledModel
from zoo_web import package as target

pytest.importorskip("torch")
BUNDLES = Path(__file__).parents[1] / "bundles" / "parts"
_spec = importlib.util.spec_from_file_location("small_parts", BUNDLES.parents[1] / "small_parts.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

SAMPLE = """const model = await genzoo.open();
const { data, shape } = await model.sample(given.n, { seed: 3, ...given.options });
return { data, shape };"""


def listed(condition):
    """As JSON can say it."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in condition.items()}


def one(condition):
    return {name: value[0] for name, value in condition.items()}


def same(found, expected):
    array = np.array(found["data"], np.float32).reshape(found["shape"])
    np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def both(packed, bundle):
    """A bundle's package and its model in Python."""
    return lambda name: (packed(name, "node"), BundledModel(bundle(name), "cpu"))


CASES = {
    "posterior": ("posterior", small.observed(4), {}),
    "posterior of one": ("posterior", one(small.observed(1)), {}),
    "posterior, what is left out": ("posterior", {"state": [90.0, 110.0]}, {}),
    "every kind": ("everything", small.of_every_kind(3), {}),
    "every kind, what is left out": ("everything", {"arm": [1.0, -2.0], "track": [[1.0, 0.0], [2.0, 1.0]]}, {}),
    "policy": ("policy", small.instructed(3), {}),
    "policy, guided": ("policy", small.instructed(3), {"guidance": 2.5}),
    "policy without its condition": ("policy", small.instructed(3), {"guidance": 0}),
    "policy, away from a longer prompt": (
        "policy",
        one(small.instructed(1)),
        {"guidance": 3, "negative": {"state": [1.0, 2.0], "prompt": "cabba"}},
    ),
    "policy, a composition": (
        "policy",
        None,
        {"compose": [({"state": [4.0, 6.0], "prompt": "ab"}, 1.5), ({"state": [1.0, 2.0], "prompt": "cabba"}, -0.75)]},
    ),
    "policy, a mixture that needs no null": (
        "policy",
        None,
        {"compose": [({"state": [4.0, 6.0]}, 0.7), ({"state": [1.0, 2.0]}, 0.2), ({"state": [6.0, 2.0]}, 0.1)]},
    ),
    "policy, away from a shorter prompt": (
        "policy",
        small.instructed(3),
        {"guidance": 3, "negative": {"state": [1.0, 2.0], "prompt": "c"}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_node_draws_what_python_draws(both, node, case):
    name, condition, options = CASES[case]
    package, model = both(name)
    n = 4 if case.startswith("posterior") else 3
    expected = model.sample(n, seed=3, condition=condition, **options)
    condition = condition and listed(condition)
    same(node(package, SAMPLE, n=n, options={"condition": condition, **options}), expected)
    same(node(package, SAMPLE, n=n, options={"condition": condition, "batchSize": 2, **options}), expected)


def test_scores_are_those_of_python(both, node):
    for name, condition in (("posterior", small.observed(4)), ("everything", one(small.of_every_kind(1)))):
        package, model = both(name)
        x = np.linspace(-2, 2, 8).reshape(4, 2).astype(np.float32)
        script = "return (await genzoo.open()).logProb(Float32Array.from(given.x), { condition: given.condition });"
        found = node(package, script, x=x.ravel().tolist(), condition=listed(condition))
        np.testing.assert_allclose(found, model.log_prob(x, condition=condition), rtol=1e-4, atol=1e-4)


def test_a_text_is_split_into_labels(registry, node, tmp_path):
    bundle = open_bundle(small.with_words(BUNDLES / "policy", tmp_path))
    package, model = pack(bundle, tmp_path / "package", target="node", registry=registry), BundledModel(bundle, "cpu")
    texts, ids = list(small.READ), list(small.READ.values())
    expected = model.sample(2, seed=3, condition={"state": [4.0, 6.0], "prompt": ids})
    for prompt in (texts, ids):
        same(node(package, SAMPLE, n=2, options={"condition": {"state": [4, 6], "prompt": prompt}}), expected)
    script = "const model = await genzoo.open(); return refused(() => model.sample(1, { condition: given.condition }));"
    said = node(package, script, condition={"state": [4, 6], "prompt": small.UNREAD})
    assert said[1].startswith('part prompt of the condition has no symbol "\u00a0"')


COUNTED = """const model = await genzoo.open(), calls = {}, opened = model._bundle.session.bind(model._bundle);
model._bundle.session = async (graph) => {
  const session = await opened(graph);
  return { run: (feeds, outputs) => {
    const rows = feeds.state?.dims[0] ?? feeds.embedding?.dims[0];
    (calls[graph] ??= []).push(graph === "step" ? 1 : rows);
    return session.run(feeds, outputs);
  } };
};
await model.sample(given.n, { seed: 0, ...given.options });
return calls;"""


def test_the_encoder_runs_once_on_different_conditions(both, node):
    package, _ = both("policy")
    options = {"condition": listed(one(small.instructed(1))), "table": "ddim-10", "batchSize": 4, "guidance": 2}
    # the nulls are one row more
    assert node(package, COUNTED, n=8, options=options) == {"condition": [1, 1], "step": [1] * 20}
    package, _ = both("posterior")
    state = [[90, 110], [1, 2], [90, 110], [1, 2], [1, 2], [90, 110]]
    assert node(package, COUNTED, n=6, options={"condition": {"state": state}}) == {"condition": [2], "inverse": [6]}


REFUSED = {
    "no such part": ({"camera": 1}, "the condition has no part camera"),
    "without its names": ([1, 2], "the condition has the parts kind, arm, image"),
    "nothing": (None, "part arm of the condition is missing"),
    "a class": ({"kind": "d"}, "there is no class d of part kind"),
    "classes": ({"kind": ["a", "b"]}, "3 samples need one class or 3 classes for part kind, not 2"),
    "a shape": ({"image": [[1, 2], [3, 4]]}, "3 samples need part image of the condition of shape [1, 2, 3] or"),
    "a range": ({"arm": [1, 6]}, "part arm of the condition runs from -5 to 5; got 1 to 6"),
    "what is no number": ({"arm": ["1", "x"]}, "part arm of the condition is not an array of numbers"),
    "ragged": ({"image": [[[1, 2, 3], [4]]]}, "part image of the condition is not an array of numbers"),
    "not finite": ({"sound": [0, 0, 0, 1e39]}, "part sound of the condition has values that are not finite"),
    "a symbol": ({"words": "cat"}, 'part words of the condition has no symbol "c", as in "cat"'),
    "an id": ({"words": [1, 4]}, "tokens of part words of the condition run from 0 to 3; got 4"),
    "part of an id": ({"words": [1.5]}, "part words of the condition is whole numbers"),
    "padding alone": ({"words": "__"}, "part words of the condition is empty"),
    "texts": ({"words": ["ä", "b"]}, "3 samples need one value or 3 values for part words of the condition, not 2"),
    "rows": ({"track": [[1, 2, 3]]}, "part track of the condition has shape [steps, 2], not [1, 3]"),
    "an empty list": ({"track": []}, "part track of the condition is an empty list"),
}


def test_what_is_wrong_with_a_part_is_said(both, node):
    package, _ = both("everything")
    arm = {"arm": [1, 2]}
    given = [{**arm, **c} if isinstance(c, dict) and set(c) != {"arm"} else c for c, _ in REFUSED.values()]
    script = """const model = await genzoo.open(), said = [];
        model._bundle.session = () => { throw new Error("a graph was loaded"); };
        for (const condition of given.conditions) said.push(await refused(() => model.sample(3, { condition })));
        return said;"""
    for (case, (_, sentence)), said in zip(REFUSED.items(), node(package, script, conditions=given), strict=True):
        assert said is not None, case
        assert (said[0], said[1][: len(sentence)]) == ("ZooError", sentence), case


@pytest.fixture
def command(modules, tmp_path):
    """Runs sample.mjs and gives the samples, or what it says."""

    def run(package, *arguments):
        output = tmp_path / "x.npy"
        environment = {**os.environ, "GENZOO_NODE_MODULES": str(modules)}
        words = [shutil.which("node"), package / "sample.mjs", "--seed", 3, "-o", output, *arguments]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment, cwd=tmp_path)
        return np.load(output) if done.returncode == 0 else done.stderr

    return run


def test_the_command_takes_parts_by_name_or_in_one_file(both, command, tmp_path):
    package, model = both("policy")
    image = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4)
    np.save(tmp_path / "image.npy", image)
    (tmp_path / "all.json").write_text(json.dumps({"state": [4, 6], "prompt": ["cab", "a"], "other": 1}))
    given = ("--condition", "image=image.npy", "--condition", "state=4,6", "--condition", "prompt=cab", "-n", 2)
    condition = {"image": image, "state": [4.0, 6.0], "prompt": "cab"}
    np.testing.assert_allclose(command(package, *given), model.sample(2, seed=3, condition=condition), atol=1e-4)
    away = ("--guidance", 2, "--negative", "state=1,2")
    expected = model.sample(2, seed=3, condition=condition, guidance=2.0, negative={"state": [1.0, 2.0]})
    np.testing.assert_allclose(command(package, *given, *away), expected, atol=1e-4)
    condition = {"state": [4.0, 6.0], "prompt": ["cab", "a"]}
    found = command(package, "--condition", "all.json", "-n", 2)
    np.testing.assert_allclose(found, model.sample(2, seed=3, condition=condition), atol=1e-4)


def test_the_command_composes_conditions(both, command):
    package, model = both("policy")
    given = ("--compose", "state=4,6;prompt=cab:1.5", "--compose", "state=1,2:-0.75", "-n", 2)
    composed = [({"state": [4.0, 6.0], "prompt": "cab"}, 1.5), ({"state": [1.0, 2.0]}, -0.75)]
    np.testing.assert_allclose(command(package, *given), model.sample(2, seed=3, compose=composed), atol=1e-4)
    for words, sentence in (
        (["state=4,6"], "--compose takes a condition and its weight, CONDITION:WEIGHT, not state=4,6"),
        (["state=4,6:"], "--compose takes a condition and its weight"),
        (["state=4,6:1", "--condition", "state=4,6"], "--compose excludes --condition, --class and --vector"),
        (["state=4,6:1", "--guidance", "2"], "compose lists conditions with their weights, so it takes neither"),
        (["camera=1:1"], "--compose camera=1 does not begin with the name of a part and an equals sign"),
    ):
        assert command(package, "--compose", *words).startswith(f"Error: {sentence}"), words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["camera=1"], "--condition camera=1 does not begin with the name of a part and an equals sign"),
        (["state=1,2", "state=3,4"], "--condition state is given twice"),
        (["state=nowhere.npy"], "--condition state: nowhere.npy is neither a file nor a list of numbers"),
        (["nowhere.npy"], "nowhere.npy cannot be read"),
        (["prompt=cab"], "part state of the condition is missing"),
    ],
)
def test_the_command_says_what_is_no_part(both, command, arguments, sentence):
    package, _ = both("policy")
    said = command(package, *(word for text in arguments for word in ("--condition", text)))
    assert said.startswith(f"Error: {sentence}")


@pytest.mark.parametrize("name", ["policy", "everything"])
def test_the_package_checks_itself_and_says_how_to_use_it(packed, modules, name):
    package = packed(name, "node")
    assert target.verify(package) == "3 samples by sample.mjs in Node"
    readme = (package / "README.md").read_text("utf-8")
    shown = {
        "policy": "--condition image=example/image.npy --condition state=",
        "everything": "track=example/track.npy",
    }
    assert shown[name] in readme
    assert "condition: { " in readme
    command = shlex.split(next(line for line in readme.splitlines() if line.startswith("node sample.mjs")))
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(np.load(package / "samples.npy")) == 4
