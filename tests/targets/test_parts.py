"""Models conditioned on named parts, by the programs in Python and in C++: the runtime's samples, clear refusals."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from zoo.registry import Registry
from zoo.runtime import load
from zoo_targets import cpp as cpp_target
from zoo_targets import mobile, triton
from zoo_targets import python as python_target

BUNDLES = Path(__file__).parents[1] / "bundles" / "parts"
REGISTRY = Registry.discover(allowed=[])
_spec = importlib.util.spec_from_file_location("small_parts", BUNDLES.parents[1] / "small_parts.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


def files_of(condition, folder):
    """Arguments that give each part by a file, and texts and labels of one value as they are."""
    words = []
    for name, value in condition.items():
        if isinstance(value, str):
            words.append(f"--condition={name}={value}")
            continue
        np.save(folder / f"{name}.npy", np.asarray(value))
        words += ["--condition", f"{name}={folder / name}.npy"]
    return words


def one(condition):
    return {name: value[0] for name, value in condition.items()}


#: bundle, its condition, arguments of the program, arguments of the runtime
CASES = {
    "a posterior": ("posterior", one(small.observed(1)), [], {}),
    "what is left out": ("posterior", {"state": [90.0, 110.0]}, [], {}),
    "every kind": ("everything", one(small.of_every_kind(1)), [], {}),
    "one for each": (
        "everything",
        {
            **{name: value for name, value in small.of_every_kind(3).items() if name in ("arm", "image", "sound")},
            "words": [[1, 2, 0], [3, 0, 0], [2, 2, 2]],
            "kind": [2, 0, 1],
        },
        [],
        {},
    ),
    "a policy": ("policy", one(small.instructed(1)), [], {}),
    "guided": ("policy", one(small.instructed(1)), ["--guidance", "2.5"], {"guidance": 2.5}),
    "without its condition": ("policy", one(small.instructed(1)), ["--guidance=0"], {"guidance": 0.0}),
    "away from a longer prompt": (
        "policy",
        one(small.instructed(1)),
        ["--guidance=3", "--negative", "state=1,2", "--negative=prompt=cabba"],
        {"guidance": 3.0, "negative": {"state": [1.0, 2.0], "prompt": "cabba"}},
    ),
    "another table": ("policy", {"state": [4.0, 6.0]}, ["--table", "ddpm-100"], {"sampler": "ddpm", "steps": 100}),
}


def test_the_single_file_composes_as_the_runtime():
    found = python_target_model(BUNDLES / "policy")
    model = load(BUNDLES / "policy", "cpu")
    first, second = {"state": [4.0, 6.0], "prompt": "ab"}, {"state": [1.0, 2.0], "prompt": "cabba"}
    for weights in ((1.5, -0.75), (0.5, 0.5), (2.0, 0.0)):
        compose = list(zip((first, second), weights, strict=True))
        np.testing.assert_allclose(
            found.sample(3, seed=5, compose=compose), model.sample(3, seed=5, compose=compose), rtol=1e-4, atol=1e-4
        )
    with pytest.raises(ValueError, match="compose has its conditions and weights"):
        found.sample(3, condition=first, compose=[(first, 1.0)])


@pytest.mark.parametrize("weights", [(1.5, -0.75), (0.5, 0.5), (2.0, 0.0)])
def test_programs_compose_named_parts_as_the_runtime(program, weights):
    stated = ("state=4,6;prompt=ab", "state=1,2;prompt=cabba")
    conditions = ({"state": [4.0, 6.0], "prompt": "ab"}, {"state": [1.0, 2.0], "prompt": "cabba"})
    composed = [f"--compose={text}:{weight}" for text, weight in zip(stated, weights, strict=True)]
    given = program.sample(BUNDLES / "policy", "-n", 3, "--seed", 5, *composed)
    expected = load(BUNDLES / "policy", "cpu").sample(3, seed=5, compose=list(zip(conditions, weights, strict=True)))
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


def test_programs_compose_classes_as_the_runtime(program):
    folder = REGISTRY.model("mnist-unet").bundle_path
    model = load(folder, "cpu")
    for compose in ([(3, 1.5), (8, -0.5)], [(3, 0.5), (8, 0.5)], [(4, 2.0)]):
        words = [f"--compose={label}:{weight}" for label, weight in compose]
        given = program.sample(folder, "-n", 1, "--seed", 5, "--table", "ddim-10", *words)
        expected = model.sample(1, seed=5, sampler="ddim", steps=10, compose=compose)
        np.testing.assert_allclose(given, expected, atol=0.05)  # of 256 levels


def test_weights_that_sum_to_1_need_no_null(program, bundles, tmp_path):
    """As 0.7, 0.2 and 0.1 do, whose sum in floating point depends on how they are added."""
    folder = Path(shutil.copytree(bundles("stepped"), tmp_path / "bundle"))
    values = json.loads((folder / "manifest.json").read_text("utf-8"))
    values["programs"]["sample"] |= {"null_class": None, "guidance": 1.0}
    values["programs"] = {"sample": values["programs"]["sample"], "log_prob": None}
    (folder / "manifest.json").write_text(json.dumps(values))
    model = load(folder, "cpu")
    for weights in ((0.7, 0.2, 0.1), (0.1, 0.2, 0.7), (0.3, 0.3, 0.4)):
        words = [f"--compose={i}:{weight}" for i, weight in enumerate(weights)]
        expected = model.sample(2, seed=5, sampler="ddim", steps=10, compose=list(enumerate(weights)))
        given = program.sample(folder, "-n", 2, "--seed", 5, "--table", "ddim-10", *words)
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
    assert "null" in program.refuses(folder, "--table", "ddim-10", "--compose=0:0.7", "--compose=1:0.2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--compose=state=4,6;prompt=ab:1", "--condition=state=4,6"], "--compose excludes --condition and --class"),
        (["--compose=state=4,6;prompt=ab:1", "--guidance=2"], "compose has its conditions and weights"),
        (["--compose=state=4,6;prompt=ab"], "--compose takes a condition and its weight"),
        (["--compose=nothing=4,6:1"], "nothing"),
    ],
)
def test_compositions_that_are_none_are_refused(program, words, said):
    assert re.search(said, program.refuses(BUNDLES / "policy", *words))


def python_target_model(folder):
    """A bundle in the single-file program."""
    file = Path(python_target.__file__).parent / "files" / "sample.py"
    spec = importlib.util.spec_from_file_location("single_file", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Model(folder)


@pytest.mark.parametrize("case", CASES)
def test_samples_are_those_of_the_runtime(program, case, tmp_path):
    name, condition, arguments, options = CASES[case]
    model = load(BUNDLES / name, "cpu")
    given = program.sample(BUNDLES / name, "-n", 3, "--seed", 5, *files_of(condition, tmp_path), *arguments)
    expected = model.sample(3, seed=5, condition=condition, **options)
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


def test_densities_are_those_of_the_runtime(program, tmp_path):
    x = np.linspace(-2, 2, 8).reshape(4, 2).astype(np.float32)
    for name, condition in (("posterior", one(small.observed(1))), ("everything", one(small.of_every_kind(1)))):
        expected = load(BUNDLES / name, "cpu").log_prob(x, condition=condition)
        found = program.score(BUNDLES / name, x, *files_of(condition, tmp_path))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_text_is_split_into_labels(program, tmp_path):
    bundle = small.with_words(BUNDLES / "policy", tmp_path)
    model = load(bundle, "cpu")
    for text, ids in small.READ.items():
        given = program.sample(bundle, "--seed", 5, "--condition=state=4,6", f"--condition=prompt={text}")
        expected = model.sample(1, seed=5, condition={"state": [4.0, 6.0], "prompt": ids})
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(
            model.sample(1, seed=5, condition={"state": [4.0, 6.0], "prompt": text}), expected
        )
    said = program.refuses(bundle, "--condition=state=4,6", f"--condition=prompt={small.UNREAD}")
    assert said.startswith("part prompt of the condition has no symbol \u00a0")


REFUSED = {
    "no such part": (["--condition", "camera=1"], "camera"),
    "twice": (["--condition", "arm=1,2", "--condition", "arm=3,4"], "--condition arm is given twice"),
    "missing": (["--condition", "words=b"], "part arm of the condition is missing: the model needs it"),
    "a class": (["--condition", "kind=d"], "there is no class d"),
    "a shape": (["--condition", "arm=1,2,3"], "shape"),
    "a range": (["--condition", "arm=1,6"], "part arm of the condition runs from -5"),
    "a symbol": (["--condition", "words=cat"], "part words of the condition has no symbol "),
    "padding alone": (["--condition", "words=__"], "part words of the condition is empty"),
    "no numbers": (["--condition", "arm=1,x"], "x"),
    "no file": (["--condition", "image=nowhere.npy"], "nowhere.npy"),
    "a class too": (["--class", "1"], "class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_with_a_part_is_said(program, case):
    arguments, sentence = REFUSED[case]
    arm = [] if case in ("missing", "a range", "a shape", "twice", "no numbers") else ["--condition=arm=1,2"]
    assert sentence in program.refuses(BUNDLES / "everything", *arm, *arguments)


@pytest.mark.parametrize(
    ("part", "value", "sentence"),
    [
        ("image", np.zeros((2, 3)), "samples need"),
        ("track", np.zeros((2, 3)), "track"),
        ("sound", np.array([0, 0, 0, np.inf]), "part sound of the condition has values that are not finite"),
        ("words", np.array([1, 4]), "part words of the condition run"),
        ("kind", np.array([0, 1]), "samples need"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(program, part, value, sentence, tmp_path):
    words = files_of({"arm": [1.0, 2.0], part: value}, tmp_path)
    assert sentence in program.refuses(BUNDLES / "everything", "-n", 3, *words)


def test_guidance_needs_a_null_of_each_part(program):
    # that of the arm
    said = program.refuses(BUNDLES / "posterior", "--guidance", "2", "--condition", "state=1,2")
    assert "takes no table, guidance or compose" in said


@pytest.mark.parametrize("name", ["posterior", "policy"])
def test_the_mobile_target_replays_the_encoder_too(packed, name):
    graphs = {"posterior": 3, "policy": 3}[name]
    # two cases of each graph
    assert mobile.verify(packed("mobile", name)) == f"{2 * graphs} golden cases of {graphs} graphs in ORT format"


@pytest.mark.parametrize("name", ["posterior", "policy", "everything"])
def test_the_targets_check_themselves(packed, built, name):
    assert python_target.verify(packed("python", name)) == "3 samples by sample.py"
    assert cpp_target.verify(packed("cpp", name)) == "3 samples by the C++ program"


@pytest.mark.parametrize("name", ["posterior", "policy", "fused"])
def test_the_encoder_is_a_model_of_the_repository(packed, name):
    folder = packed("triton", name)
    graphs = {path.name.rpartition("-")[2] for path in (folder / triton.REPOSITORY).iterdir()}
    assert "condition" in graphs
    assert triton.verify(folder) == (
        f"{2 * len(graphs - {'fused'})} golden cases of {len(graphs)} models in the repository, without a server"
    )
    # conditions are not samples: the server does not batch them with those of other clients
    (config,) = (folder / triton.REPOSITORY).glob("*-condition/config.pbtxt")
    assert "max_batch_size: 0" in config.read_text()
    assert "dims: [ -1, 1, 4, 4 ]" in config.read_text()
