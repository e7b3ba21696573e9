"""Bundles run by genzoo.mjs in Node, with both ONNX Runtimes that npm has: what zoo.runtime gives."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from zoo.runtime import BundledModel
from zoo.runtime import data as runtime_data
from zoo.samplers import Guidance
from zoo_web import package as target

#: the second is what pages use too, see test_page.py; it takes two seconds to begin
RUNTIMES = ("onnxruntime-node", pytest.param("onnxruntime-web", marks=pytest.mark.slow))
SAMPLE = """const model = await genzoo.open({ runtime: given.runtime });
const { data, shape } = await model.sample(given.n, { seed: given.seed ?? 0, ...given.options });
return { data, shape };"""


@pytest.fixture(params=RUNTIMES)
def runtime(request, modules):
    if not (modules / request.param).is_dir():
        pytest.skip(f"GENZOO_NODE_MODULES has no {request.param}")
    return request.param


@pytest.fixture
def both(bundle, packed, node):
    """A bundle's package and its model in Python."""
    return lambda name: (packed(name, "node"), BundledModel(bundle(name), "cpu"))


def array(found):
    return np.array(found["data"], np.float32).reshape(found["shape"])


def same(found, expected, unit=1.0):
    """Within the tolerance of golden values."""
    np.testing.assert_allclose(array(found), expected, rtol=1e-4, atol=1e-4 * unit)


@pytest.mark.parametrize(
    ("name", "n", "options", "unit"),
    [
        ("moons-nsf", 50, {}, 1.0),
        ("digits-nsf", 12, {}, 1.0),
        ("digits-nsf", 2, {"condition": "7"}, 1.0),
        ("mnist-unet", 2, {"table": "ddim-10", "condition": [3, 8]}, 128.0),
    ],
)
def test_shipped_models_draw_what_python_draws(both, node, runtime, name, n, options, unit):
    package, model = both(name)
    found = node(package, SAMPLE, runtime=runtime, n=n, seed=3, options=options)
    chosen = {"condition": options.get("condition")}
    if "table" in options:
        sampler, steps = options["table"].split("-")
        chosen |= {"sampler": sampler, "steps": int(steps)}
    same(found, model.sample(n, seed=3, **chosen), unit)


def test_noises_of_every_distribution_are_those_of_python(both, node, runtime):
    package, model = both("noisy")
    same(node(package, SAMPLE, runtime=runtime, n=5, seed=3, options={"batchSize": 3}), model.sample(5, seed=3), 1.0)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.3}, {"temperature": 1}, {"fused": True}], ids=str)
def test_the_temperature_is_that_of_python(both, node, options):
    package, model = both("cool")
    assert model.manifest.sample.temperature == 0.7
    same(node(package, SAMPLE, n=5, seed=3, options=options), model.sample(5, seed=3, **options), 1.0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cool", {"temperature": -1}),
        ("cool", {"temperature": 0.5, "fused": True}),
        ("noisy", {"temperature": 0.5}),
        ("unet", {"temperature": 0.5}),
    ],
)
def test_what_has_no_temperature_refuses_one(both, node, name, options):
    package, _ = both(name)
    script = "try { await (await genzoo.open()).sample(1, given.options); } catch (error) { return error.message; }"
    told = "a temperature is a number, 0 or more, of a model that samples normals in one call"
    assert node(package, script, options=options) == told


def test_a_page_plays_recordings_of_lengths_of_their_own_to_their_ends(node, package):
    script = """const { heard } = await import(given.module);
        const whole = heard({ event_shape: [1, 4] }, Float32Array.of(1, 2, 3, 4));
        const rule = { event_shape: [2, 4], length: { mask: 1, axis: 1 } };
        return [whole, ...[[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]].map((mask) =>
          heard(rule, Float32Array.of(1, 2, 3, 4, ...mask)))];"""
    module = (Path(target.__file__).parent / "files" / "web" / "page" / "sounds.mjs").as_uri()
    assert node(package, script, module=module) == [[1, 2, 3, 4], [1, 2], [1, 2, 3, 4], []]


def test_the_tables_of_a_bundle_are_offered(both, node):
    package, model = both("mnist-unet")
    tables = node(package, "return (await genzoo.open()).tables;")
    program = model.manifest.sample
    assert tables[0] == f"{program.sampler}-{program.steps}"
    assert set(tables) == {"ddim-10", "ddim-20", "ddim-50", "ddpm-100"}


@pytest.mark.parametrize(("table", "sampler"), [("ddim-4", "ddim"), ("ddpm-100", "ddpm")])
def test_steps_are_those_of_python(both, node, runtime, table, sampler):
    """With the noise of each step, for samples in two batches."""
    package, model = both("unet")
    found = node(package, SAMPLE, runtime=runtime, n=5, options={"table": table, "batchSize": 3})
    same(found, model.sample(5, seed=0, sampler=sampler, steps=int(table.split("-")[1])), 8.0)


@pytest.mark.parametrize(
    ("given", "guidance"),
    [
        (2.5, 2.5),
        (0, 0.0),
        ({"weight": 3, "interval": [0.1, 2], "rescale": 0.5}, Guidance(3.0, (0.1, 2.0), 0.5)),
    ],
)
def test_guidance_is_that_of_python(both, node, given, guidance):
    package, model = both("unet")
    found = node(package, SAMPLE, n=3, options={"guidance": given})
    same(found, model.sample(3, seed=0, guidance=guidance), 8.0)


def test_one_can_guide_away_from_a_class(both, node):
    package, model = both("unet")
    options = {"guidance": 2, "condition": "a", "negative": "c"}
    same(
        node(package, SAMPLE, n=2, options=options), model.sample(2, seed=0, guidance=2.0, condition=0, negative=2), 8.0
    )


def test_a_table_of_ones_own(both, node):
    """Its columns are taken as they are; the model keeps its own. Two runs at once do not disturb each other."""
    package, _ = both("unet")
    script = """const model = await genzoo.open(), table = model.table("ddim-4");
        const own = { ...table, guidance: table.guidance.map(() => 2) };
        const [a, b] = await Promise.all([own, "ddim-4"].map((table, i) =>
          model.sample(2, { seed: 1, table, guidance: i ? 2 : undefined })));
        return [a.data, b.data, Array.from(model.table("ddim-4").guidance)];"""
    first, second, kept = node(package, script)
    assert first == second
    assert set(kept) == {1.0}


def test_the_fused_graph(both, node, runtime):
    package, model = both("unet")
    script = SAMPLE.replace("given.seed ?? 0", "BigInt(given.seed)")
    found = node(package, script, runtime=runtime, n=5, seed=str(2**64 - 3), options={"fused": True, "batchSize": 2})
    same(found, model.sample(5, seed=2**64 - 3, fused=True), 8.0)


def test_a_loop_with_weights_in_its_body(both, node, runtime):
    """ONNX Runtime takes such weights from a disk only, so they are put into the graph."""
    package, model = both("maf-loop")
    same(node(package, SAMPLE, runtime=runtime, n=6, options={}), model.sample(6, seed=0))


@pytest.mark.parametrize("n", [1, 3, 7])
def test_a_fixed_batch_is_filled_up(both, node, n):
    package, model = both("plane-fixed")
    vectors = np.linspace(-1, 1, 3 * n).reshape(n, 3).tolist()
    same(node(package, SAMPLE, n=n, options={"condition": vectors}), model.sample(n, seed=0, condition=vectors))
    same(
        node(package, SAMPLE, n=n, options={"condition": [1, 0, 0], "batchSize": 2}),
        model.sample(n, seed=0, condition=[1.0, 0.0, 0.0]),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["unet-fixed", "unet-float16", "unet-bfloat16", "unet-int8", "unet-int8-dynamic", "unet-int4-weights"],
)
def test_fewer_bits_and_a_fixed_batch(both, node, runtime, name):
    """Within the tolerance that the bundle itself states: arithmetic in fewer bits rounds differently elsewhere."""
    package, model = both(name)
    found = node(package, SAMPLE, runtime=runtime, n=4, options={})
    tolerance = model.manifest.proof["tolerance"]
    expected = model.sample(4, seed=0)
    assert np.abs(array(found) - expected).max() <= tolerance * (8.0 + np.abs(expected).max())


# -- scores -----------------------------------------------------------------------------------------------------------

SCORE = """const model = await genzoo.open({ runtime: given.runtime });
const Kind = { u: Uint8Array, f: Float32Array }[given.kind];
return model.logProb(Kind.from(given.x), given.options);"""


def test_points_are_scored_as_in_python(both, node, runtime):
    package, model = both("moons-nsf")
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    found = node(package, SCORE, runtime=runtime, kind="f", x=x.ravel().tolist(), options={})
    np.testing.assert_allclose(found, model.log_prob(x), rtol=1e-4, atol=1e-4)


def test_whole_numbers_are_dequantised_as_in_python(both, node):
    package, model = both("digits-nsf")
    x = np.random.default_rng(0).integers(0, model.levels, (6, *model.event_shape)).astype(np.uint8)
    classes = [0, 1, 2, 3, 4, 9]
    options = {"condition": classes, "seed": 11, "batchSize": 4}
    found = node(package, SCORE, kind="u", x=x.ravel().tolist(), options=options)
    np.testing.assert_allclose(found, model.log_prob(x, condition=classes, seed=11), rtol=1e-4, atol=64e-4)
    noisy = runtime_data.events(x, model.event_shape, model.levels, seed=11)
    options = {"condition": classes}
    again = node(package, SCORE, kind="f", x=noisy.ravel().tolist(), options=options)
    np.testing.assert_allclose(again, found, rtol=1e-5, atol=1e-3)


def test_scores_given_vectors_in_a_fixed_batch(both, node):
    package, model = both("plane-fixed")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    vectors = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    options = {"condition": vectors.tolist()}
    found = node(package, SCORE, kind="f", x=x.ravel().tolist(), options=options)
    np.testing.assert_allclose(found, model.log_prob(x, condition=vectors), rtol=1e-4, atol=1e-4)


# -- runs -------------------------------------------------------------------------------------------------------------


def test_a_sample_is_the_same_alone_or_among_many(both, node):
    package, _ = both("unet")
    script = """const model = await genzoo.open(), options = { seed: 4, condition: "b", table: "ddpm-100" };
        const many = await model.sample(4, { ...options, batchSize: 3 }), one = await model.sample(1, options);
        return [Array.from(many.data.subarray(0, model.size)), one.data];"""
    many, one = node(package, script)
    np.testing.assert_allclose(many, one, atol=8e-4)


def test_previews_and_progress(both, node):
    """A preview after each step of each batch; the last of them is the sample, DDIM's last step being to D."""
    package, _ = both("unet")
    script = """const model = await genzoo.open(), previews = [], steps = [];
        const { data } = await model.sample(5, { seed: 0, batchSize: 3,
          preview: (row, first, { data, shape }) => previews.push([row, first, shape, Array.from(data)]),
          progress: (done, total) => steps.push([done, total]) });
        return { data, previews, steps };"""
    found = node(package, script)
    assert found["steps"] == [[i + 1, 8] for i in range(8)]
    assert [p[:3] for p in found["previews"]] == [
        *([row, 0, [2, 1, 8, 8]] for row in range(4)),
        *([row, 2, [3, 1, 8, 8]] for row in range(4)),
    ]
    last = [value for p in found["previews"] if p[0] == 3 for value in p[3]]
    np.testing.assert_allclose(last, found["data"], atol=1e-3)


def test_a_run_can_be_stopped(both, node):
    package, _ = both("unet")
    script = """const model = await genzoo.open(), stopping = new AbortController(), steps = [];
        const why = await refused(() => model.sample(2, { table: "ddpm-100", signal: stopping.signal,
          progress: (done) => { steps.push(done); if (done === 3) stopping.abort(); } }));
        return [why[0], steps];"""
    assert node(package, script) == ["AbortError", [1, 2, 3]]


def test_a_model_can_be_released_and_used_again(both, node):
    package, _ = both("moons-nsf")
    script = """const model = await genzoo.open(), first = await model.sample(2, { seed: 0 });
        await model.release();
        return [first.data, (await model.sample(2, { seed: 0 })).data];"""
    first, second = node(package, script)
    assert first == second


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(packed, node, modules, tmp_path):
    def run(name, *arguments):
        program = [shutil.which("node"), str(packed(name, "node") / "sample.mjs"), *arguments]
        environment = {**os.environ, "GENZOO_NODE_MODULES": str(modules)}
        return subprocess.run(program, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path)

    return run


def test_the_command_writes_arrays(command, bundle, tmp_path):
    done = command("digits-nsf", "-n", "3", "--seed", "18446744073709551615", "--class", "7", "-o", "x.npy")
    assert done.returncode == 0, done.stderr
    expected = BundledModel(bundle("digits-nsf"), "cpu").sample(3, seed=2**64 - 1, condition=7)
    found = np.load(tmp_path / "x.npy", allow_pickle=False)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_command_writes_json(command):
    done = command("moons-nsf", "-n", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert (written["model"], written["seed"], written["shape"]) == ("moons-nsf", "5", [2, 2])
    assert len(written["data"]) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--class", "3"], "moons-nsf takes no condition"),
        (["--table", "ddim-10"], "moons-nsf samples in one call and takes no table"),
        (["--fused"], "moons-nsf has no fused graph"),
        (["-n", "0"], "the number of samples is a whole number, 1 or more, not 0"),
        (["-n", "many"], "--n is a number, not many"),
        (["--seed", "-1"], "--seed"),
        (["-o", "x.txt"], "x.txt ends in neither .npy nor .json"),
        (["--bundle", "nowhere"], "manifest.json cannot be read"),
        (["--colour", "red"], "--colour"),
        (["--runtime", "nothing"], "no ONNX Runtime can be imported"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_line(command, arguments, said):
    done = command("moons-nsf", *arguments)
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert first.startswith("Error: ")
    assert said in first
    assert "    at " not in done.stderr
    assert done.stdout == ""


def test_the_target_checks_itself(packed, node, modules, monkeypatch):
    monkeypatch.setenv("GENZOO_NODE_MODULES", str(modules))
    assert target.verify(packed("digits-nsf", "node")) == "3 samples by sample.mjs in Node"
    assert target.verify(packed("plane-fixed", "node")) == "3 samples by sample.mjs in Node"
