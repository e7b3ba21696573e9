"""The programs that come with a bundle, in Python and in C++: the samples of the runtime, and clear refusals."""

import json

import numpy as np
import pytest

from zoo import weights
from zoo.bundle import MANIFEST, file_info, open_bundle
from zoo.runtime import load
from zoo_targets.compare import agree

#: bundle, arguments of the program, arguments of the runtime
CASES = {
    "a flow": ("moons-nsf", [], {}),
    "classes in turn": ("digits-nsf", [], {}),
    "a class": ("digits-nsf", ["--class", "7"], {"condition": 7}),
    "a class each": ("digits-nsf", ["--class", "1,2,3,4,5"], {"condition": [1, 2, 3, 4, 5]}),
    "another table": ("mnist-unet", ["--class", "3", "--table", "ddim-10"], {"condition": 3, "steps": 10}),
    "guidance": ("mnist-unet", ["--table=ddim-10", "--guidance=3"], {"steps": 10, "guidance": 3.0}),
    "no guidance": ("mnist-unet", ["--table=ddim-10", "--guidance", "1"], {"steps": 10, "guidance": 1.0}),
    "history": ("stepped", ["--class", "2"], {"condition": 2}),
    "noise in every step": ("stepped", ["--table", "ddpm-100"], {"sampler": "ddpm", "steps": 100}),
    "fused": ("stepped", ["--fused", "--class", "1"], {"condition": 1, "fused": True}),
    "a fixed batch": ("fixed-call", [], {}),
    "a fixed batch of steps": ("fixed-steps", [], {}),
    "a vector": ("vector", ["--class=-1,0.25,2"], {"condition": [-1.0, 0.25, 2.0]}),
    "fewer bits": ("half", [], {}),
    "noises of every distribution": ("noisy", [], {}),
    "the same noises in a fused graph": ("noisy", ["--fused"], {"fused": True}),
    "the temperature of a bundle": ("cool", [], {}),
    "the temperature of a fused graph": ("cool", ["--fused"], {"fused": True}),
    "another temperature": ("cool", ["--temperature", "0.3"], {"temperature": 0.3}),
    "the temperature of a density": ("cool", ["--temperature=1"], {"temperature": 1}),
}


@pytest.mark.parametrize("case", CASES)
def test_samples_are_those_of_the_runtime(program, bundles, case):
    name, arguments, options = CASES[case]
    n = 2 if name == "mnist-unet" else 5
    model = load(bundles(name), "cpu")
    given = program.sample(bundles(name), "-n", n, "--seed", 2**63 + 11, *arguments)
    assert given.dtype == np.float32
    assert given.shape == (n, *model.event_shape)
    agree(program.name, given, model.sample(n, seed=2**63 + 11, **options), model)


def test_what_has_no_temperature_refuses_one(program, bundles):
    told = "a temperature is a number, 0 or more, of a model that samples normals in one call"
    for name, *more in (["stepped"], ["noisy"], ["cool", "--fused"]):
        assert program.refuses(bundles(name), "--temperature", "0.5", *more) == told
    assert program.refuses(bundles("cool"), "--temperature=-1") == told


def test_a_sample_is_the_same_alone_and_among_many(program, bundles):
    folder = bundles("digits-nsf")
    many = program.sample(folder, "-n", 70, "--class", "4")
    np.testing.assert_allclose(program.sample(folder, "-n", 2, "--class", "4"), many[:2], rtol=0, atol=1e-4)


def test_densities_are_those_of_the_runtime(program, bundles):
    moons, fixed = (load(bundles(name), "cpu") for name in ("moons-nsf", "fixed-call"))
    for model, folder in ((moons, bundles("moons-nsf")), (fixed, bundles("fixed-call"))):
        x = model.sample(6, seed=1)
        np.testing.assert_allclose(program.score(folder, x), model.log_prob(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_whole_numbers_are_dequantised_as_specified(program, bundles, dtype):
    model = load(bundles("digits-nsf"), "cpu")
    x = model.sample(3, seed=0).astype(dtype)
    scored = program.score(bundles("digits-nsf"), x, "--seed", "9", "--class", "0,1,2")
    np.testing.assert_allclose(scored, model.log_prob(x, seed=9, condition=[0, 1, 2]), rtol=1e-5)
    # and real numbers are scored as they are
    plain = program.score(bundles("digits-nsf"), x.astype(np.float64), "--class", "0,1,2")
    np.testing.assert_allclose(plain, model.log_prob(x.astype(float), condition=[0, 1, 2]), rtol=1e-5)


def restated(folder, change):
    values = json.loads((folder / MANIFEST).read_text("utf-8"))
    values["format"]["version"] = 2  # version 1 does not have what is changed
    change(values["programs"])
    (folder / MANIFEST).write_text(json.dumps(values), "utf-8")
    return folder


def test_a_model_that_only_scores_scores_and_does_not_sample(program, bundles, copied):
    folder = restated(copied(bundles("moons-nsf")), lambda programs: programs.update(sample=None))
    assert program.refuses(folder) == "moons-nsf only scores data: it cannot sample"
    x = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    expected = load(bundles("moons-nsf"), "cpu").log_prob(x)
    np.testing.assert_allclose(program.score(folder, x), expected, rtol=1e-5, atol=1e-4)


def test_noise_that_no_runtime_draws_is_refused(program, bundles, copied):
    noise = [{"name": "z", "distribution": "cauchy"}]
    folder = restated(copied(bundles("moons-nsf")), lambda programs: programs["sample"].update(noise=noise))
    assert program.refuses(folder) == "noise of the distribution cauchy cannot be drawn here"


REFUSALS = {
    "an unknown class": ("mnist-unet", ["--class", "cat"], "there is no class cat"),
    "a class too many": ("digits-nsf", ["--class", "10"], "classes are 0 to 9"),
    "classes for other samples": ("digits-nsf", ["-n", "3", "--class", "1,2"], "3 samples need one class or as many"),
    "a class where there are none": ("moons-nsf", ["--class", "1"], "the model takes no class"),
    "no vector": ("vector", [], "3"),
    "a short vector": ("vector", ["--class", "1,2"], "3 numbers"),
    "an unknown table": ("mnist-unet", ["--table", "euler-7"], "no table euler-7; there are ddim-10, ddim-20"),
    "a table of a flow": ("moons-nsf", ["--table", "ddim-10"], "takes no table, guidance or compose"),
    "guidance of a flow": ("digits-nsf", ["--guidance", "2"], "takes no table, guidance or compose"),
    "no fused graph": ("mnist-unet", ["--fused"], "the bundle has no fused graph"),
    "a table of a fused run": ("stepped", ["--fused", "--table", "ddim-10"], "takes no table, guidance or compose"),
    "no samples": ("moons-nsf", ["-n", "0"], "samples"),
    "no such file": ("moons-nsf", ["--score", "nowhere.npy"], "nowhere.npy"),
    "no such folder": ("moons-nsf", ["-o", "nowhere/x.npy"], "nowhere"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_done_is_said_in_one_sentence(program, bundles, case):
    name, arguments, sentence = REFUSALS[case]
    assert sentence in program.refuses(bundles(name), *arguments)


@pytest.mark.parametrize(
    ("name", "x", "sentence"),
    [
        ("mnist-unet", np.zeros((1, 1, 28, 28), np.float32), "does not score in one call"),
        ("moons-nsf", np.zeros((2, 3), np.float32), "shape"),
        ("moons-nsf", np.zeros((0, 2), np.float32), "shape"),
        ("moons-nsf", np.full((1, 2), np.nan, np.float32), "finite"),
        ("digits-nsf", np.full((1, 1, 8, 8), 17), "outside 0 to 16"),
        ("digits-nsf", np.full((1, 1, 8, 8), -1), "outside 0 to 16"),
    ],
)
def test_data_that_cannot_be_scored_is_refused(program, bundles, name, x, sentence, tmp_path):
    np.save(tmp_path / "data.npy", x)
    given = [] if name == "moons-nsf" else ["--class", "0"]
    assert sentence in program.refuses(bundles(name), "--score", tmp_path / "data.npy", *given)


def test_scoring_asks_for_the_class_of_the_data(program, bundles, tmp_path):
    np.save(tmp_path / "data.npy", np.zeros((1, 1, 8, 8), np.uint8))
    assert "condition" in program.refuses(bundles("digits-nsf"), "--score", tmp_path / "data.npy")


def test_guidance_without_a_null_class_is_refused(program, bundles, copied):
    folder = copied(bundles("mnist-unet"))
    values = json.loads((folder / MANIFEST).read_text())
    values["programs"]["sample"]["null_class"] = None
    (folder / MANIFEST).write_text(json.dumps(values))
    assert "null class" in program.refuses(folder, "--table", "ddim-10")


def damaged_byte(folder):
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return "weights.safetensors has been altered"


def missing_file(folder):
    (folder / "inverse.onnx").unlink()
    return "inverse.onnx"


def link(folder):
    outside = folder.parent / "outside.onnx"
    (folder / "inverse.onnx").rename(outside)
    (folder / "inverse.onnx").symlink_to(outside)
    return "plain file"


def another_version(folder):
    _change(folder, lambda values: values["format"].update(version=3))
    return "version"


def parts_of_a_later_version(folder):
    parts = [{"name": "image", "modality": "image", "shape": [1, 2, 2]}]
    _change(folder, lambda values: values.update(condition={"parts": parts}))
    return "states what its format, version 1, does not have"


def noises_of_a_later_version(folder):
    _change(folder, lambda values: values["programs"]["sample"].update(noise=[{"name": "z", "distribution": "normal"}]))
    return "states what its format, version 1, does not have"


def named_parts(folder):
    parts_of_a_later_version(folder)
    _change(folder, lambda values: values["format"].update(version=2))
    return "image"


def condition_encoder(folder):
    _change(folder, lambda values: values["format"].update(version=2))
    _change(folder, lambda values: values["programs"]["sample"].update(condition_encoder="log_prob"))
    return " condition"


def name_outside(folder):
    _change(folder, lambda values: values["files"].update({"../secret": {"size": 1, "sha256": "0" * 64}}))
    return "plain file"


def no_manifest(folder):
    (folder / MANIFEST).unlink()
    return "is not a bundle: it has no manifest.json"


def not_json(folder):
    (folder / MANIFEST).write_text('{"format": ')
    return ""  # Python's and our own words for it differ


def not_a_graph(folder):
    (folder / "inverse.onnx").write_bytes(b"no graph at all")
    _change(folder, lambda values: values["files"].update({"inverse.onnx": vars(file_info(folder / "inverse.onnx"))}))
    return "inverse.onnx"


def _change(folder, change):
    values = json.loads((folder / MANIFEST).read_text())
    change(values)
    (folder / MANIFEST).write_text(json.dumps(values))


@pytest.mark.parametrize(
    "damage",
    [
        *(damaged_byte, missing_file, link, another_version, name_outside, no_manifest, not_json, not_a_graph),
        *(named_parts, condition_encoder, parts_of_a_later_version, noises_of_a_later_version),
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_bundle_that_is_not_whole_is_refused(program, bundles, copied, damage):
    folder = copied(bundles("moons-nsf"))
    sentence = damage(folder)
    assert sentence in program.refuses(folder)


def test_columns_that_a_table_lacks_have_their_defaults(program, bundles, copied):
    """No clip, noise, rescaling or guidance in the file: the same samples as with columns that say so."""
    folder = copied(bundles("stepped"))
    path = folder / "tables.safetensors"
    whole = weights.read(path)
    named = {key: array for key, array in whole.items() if key.startswith("ddim-10/")}
    named["ddim-10/guidance"] = np.ones(10)
    _write_tables(folder, named)
    expected = program.sample(folder, "-n", "2", "--table", "ddim-10")
    optional = ("guidance", "noise_scale", "noise_range", "rescale")
    _write_tables(folder, {k: a for k, a in named.items() if k.partition("/")[2] not in optional})
    np.testing.assert_array_equal(program.sample(folder, "-n", "2", "--table", "ddim-10"), expected)


def _write_tables(folder, arrays):
    weights.write(folder / "tables.safetensors", arrays)
    info = vars(file_info(folder / "tables.safetensors"))
    _change(folder, lambda values: values["files"].update({"tables.safetensors": info}))
    open_bundle(folder)
