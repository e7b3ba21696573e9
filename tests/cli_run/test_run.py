"""``zoo run`` when all is well."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from zoo.render.read import read_arrays
from zoo.runtime import load


def said(result):
    """The lines on stderr but those about plugins."""
    return [line for line in result.stderr.splitlines() if not line.startswith("Warning: plugin ")]


def test_samples_are_those_of_the_runtime(zoo, flow, tmp_path):
    result = zoo("run", flow, "-n", 5, "--seed", 3, "--provider", "cpu", "-o", "x.npy")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    (line,) = said(result)
    assert line.startswith("wrote x.npy: 5 samples on cpu in ")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), load(flow, "cpu").sample(5, seed=3))


def test_json_says_how_to_draw_them_again(zoo, diffusion, tmp_path):
    result = zoo("run", diffusion, "-n", 4, "--sampler", "ddim", "--steps", 6, "-O", "eta=0.5", "-o", "x.npy", "--json")
    told = json.loads(result.stdout)
    assert {"model", "n", "seed", "sampler", "steps", "provider", "output", "seconds"} <= told.keys()
    assert (told["model"], told["n"], told["sampler"], told["steps"]) == ("gaussian-diffusion", 4, "ddim", 6)
    assert f"seed {told['seed']}\n" in result.stderr
    again = load(diffusion, "cpu").sample(4, seed=told["seed"], sampler="ddim", steps=6, **told["options"])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), again)


def test_a_manifest_will_do_for_a_bundle(zoo, flow):
    assert zoo("run", flow / "manifest.json", "-o", "x.csv").exit_code == 0


@pytest.mark.parametrize(
    ("bundle", "name", "n"),
    [
        ("flow", "gaussian-flow.png", 1000),
        ("diffusion", "gaussian-diffusion.npy", 16),
        ("classes", "class-diffusion.png", 18),
    ],
)
def test_without_output_the_file_is_named_after_the_model(zoo, bundle, name, n, request, tmp_path):
    result = zoo("run", request.getfixturevalue(bundle), "--seed", 0, "--json")
    told = json.loads(result.stdout)
    assert (told["output"], told["n"]) == (name, n)
    beside = [f"{name}.about.json"] if name.endswith(".npy") else []
    assert sorted(p.name for p in tmp_path.iterdir()) == [name, *beside]
    if name.endswith(".png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200


def test_three_to_six_numbers_are_drawn_in_pairs_where_a_picture_is_asked_for(zoo, diffusion, tmp_path):
    drawn = json.loads(zoo("run", diffusion, "--steps", 2, "--seed", 0, "-o", "x.png", "--json").stdout)
    assert drawn["n"] == 1000
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.width > 3 * 200
    alone = json.loads(zoo("run", diffusion, "--steps", 2, "--seed", 0, "--json").stdout)
    assert (alone["n"], alone["output"]) == (16, "gaussian-diffusion.npy")
    for form in ("png", "csv"):
        command = ("run", "slcp-posterior", "--example", "-n", 5, "--seed", 0, "-o", f"posterior.{form}")
        assert zoo(*command).exit_code == 0
    assert "slcp-posterior" in zoo("show", "posterior.png").stdout


def test_npz_and_safetensors_carry_classes_and_origin(zoo, classes, tmp_path):
    for name in ("x.npz", "x.safetensors"):
        assert zoo("run", classes, "-n", 4, "--seed", 1, "--class", "high,0", "-o", name).exit_code == 0
        arrays = read_arrays(tmp_path / name)
        np.testing.assert_array_equal(arrays["condition"], [2, 0, 2, 0])
        np.testing.assert_array_equal(arrays["samples"], load(classes, "cpu").sample(4, seed=1, condition=[2, 0, 2, 0]))
    assert json.loads(str(np.load(tmp_path / "x.npz")["about"]))["seed"] == 1


def test_classes_may_be_repeated_or_read(zoo, classes, tmp_path):
    np.save(tmp_path / "classes.npy", np.array([1, 1, 2]))
    zoo("run", classes, "--seed", 1, "--condition", "classes.npy", "-o", "a.npy")
    zoo("run", classes, "--seed", 1, "-n", 3, "--condition", "classes.npy", "-o", "b.npy")
    zoo("run", classes, "--seed", 1, "-n", 3, "--class", "middle", "--class", "middle", "--class", "2", "-o", "c.npy")
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert a.shape == (3, 1, 2, 2)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)


def test_guidance_and_batch_size_reach_the_runtime(zoo, classes, tmp_path):
    zoo("run", classes, "-n", 5, "--seed", 1, "--class", 2, "--guidance", 2, "--batch-size", 2, "-o", "x.npy")
    expected = load(classes, "cpu").sample(5, seed=1, condition=2, guidance=2.0)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-6)


def test_force_replaces(zoo, flow, tmp_path):
    (tmp_path / "x.npy").write_text("old")
    assert zoo("run", flow, "-n", 2, "-o", "x.npy", "--force").exit_code == 0
    assert np.load(tmp_path / "x.npy").shape == (2, 2)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".safetensors"])
def test_samples_can_be_scored(zoo, flow, suffix, tmp_path):
    zoo("run", flow, "-n", 50, "--seed", 0, "-o", f"x{suffix}")
    result = zoo("run", flow, "--log-prob", f"x{suffix}")
    assert result.exit_code == 0, result.stderr
    model = load(flow, "cpu")
    expected = model.log_prob(model.sample(50, seed=0))
    np.testing.assert_allclose([float(line) for line in result.stdout.split()], expected, rtol=1e-7)
    assert f"mean {expected.mean():.6g} ± " in result.stderr
    assert "bits/dim" not in result.stderr


def test_discrete_data_is_dequantised_and_told_in_bits(zoo, classes, tmp_path):
    x = np.random.default_rng(0).integers(0, 4, (6, 1, 2, 2))
    np.save(tmp_path / "x.npy", x)
    result = zoo("run", classes, "--log-prob", "x.npy", "--seed", 5, "--class", "low", "--json")
    told = json.loads(result.stdout)
    expected = load(classes, "cpu").log_prob(x, seed=5, condition="low")
    np.testing.assert_allclose(told["log_prob"], expected)
    assert told["bits_per_dim"] == pytest.approx(-expected.mean() / (4 * math.log(2)))
    assert "whole numbers are dequantised with uniform noise of seed 5" in result.stderr
    assert f"{told['bits_per_dim']:.4f} bits/dim" in result.stderr


def test_the_classes_in_a_file_are_used(zoo, classes, tmp_path):
    zoo("run", classes, "-n", 6, "--seed", 0, "-o", "x.npz")
    result = zoo("run", classes, "--log-prob", "x.npz", "-o", "density.npy")
    assert "conditions are those of x.npz" in result.stderr
    assert result.stdout == ""
    model = load(classes, "cpu")
    expected = model.log_prob(model.sample(6, seed=0), condition=[0, 1, 2, 0, 1, 2])
    np.testing.assert_allclose(np.load(tmp_path / "density.npy"), expected)


def test_probes_and_steps_of_the_likelihood(zoo, diffusion, tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 3), 3.4))
    result = zoo("run", diffusion, "--log-prob", "x.npy", "--steps", 7, "-O", "probes=2", "--json")
    expected = load(diffusion, "cpu").log_prob(np.full((2, 3), 3.4), steps=7, probes=2)
    np.testing.assert_allclose(json.loads(result.stdout)["log_prob"], expected)


def test_errors_of_the_likelihood(zoo, diffusion, tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 3), 3.4))
    result = zoo("run", diffusion, "--log-prob", "x.npy", "--steps", 4, "-O", "errors=true", "--json")
    expected = load(diffusion, "cpu").log_prob_with_errors(np.full((2, 3), 3.4), steps=4)
    told = json.loads(result.stdout)
    for name, values in expected._asdict().items():
        # not a number is null in JSON
        given = np.array(told["log_prob" if name == "value" else name], float)
        np.testing.assert_allclose(given, values)
    assert "error of the steps, the ends of the path and float32 at most" in result.stderr


def test_a_flow_has_no_errors_to_tell(zoo, flow, tmp_path):
    zoo("run", flow, "-n", 2, "-o", "x.npy")
    result = zoo("run", flow, "--log-prob", "x.npy", "-O", "errors=true")
    assert result.exit_code == 2
    assert "scores exactly" in result.stderr


def test_quiet_says_nothing(zoo, flow):
    result = zoo("--quiet", "run", flow, "-n", 2, "-o", "x.npy")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_help_shows_examples_and_defaults(zoo):
    result = zoo("run", "--help")
    assert result.exit_code == 0
    for text in ("zoo run mnist-unet --class 7 --guidance 2 -o sevens.png", "--log-prob", "NAME.png", "--force"):
        assert text in result.stdout


def test_ctrl_c_during_the_density_keeps_the_samples(zoo, flow, tmp_path, monkeypatch):
    plain = zoo("run", flow, "-n", 5, "--seed", 3, "--density", "none", "-o", "plain.png")
    assert plain.exit_code == 0, plain.stderr
    assert "density" not in plain.stderr

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("zoo.runtime.model.BundledModel.log_prob", stopped)
        result = zoo("run", flow, "-n", 5, "--seed", 3, "-o", "x.png", "--json")
    assert result.exit_code == 130
    assert "stopped: the samples are in x.png, but it shows them without the density" in said(result)
    assert json.loads(result.stdout)["output"] == "x.png"
    with Image.open(tmp_path / "x.png") as stopped_at, Image.open(tmp_path / "plain.png") as expected:
        assert stopped_at.tobytes() == expected.tobytes()  # the files differ in the commands that they state
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plain.png", "x.png"]
    assert zoo("run", flow, "-n", 5, "--seed", 3, "-o", "x.png", "--force", "--density", "fine").exit_code == 0
    assert (tmp_path / "x.png").read_bytes() != (tmp_path / "plain.png").read_bytes()


def test_ctrl_c_during_previews_keeps_the_samples(zoo, classes, tmp_path, monkeypatch):
    from zoo.render import write

    def stopped(samples, path, *rest, **options):
        if path.name == "steps.npy":
            raise KeyboardInterrupt
        write(samples, path, *rest, **options)

    monkeypatch.setattr("zoo.render.write", stopped)
    result = zoo("run", classes, "-n", 3, "--seed", 3, "-o", "x.npy", "--previews", "steps.npy")
    assert result.exit_code == 130
    assert "stopped: the samples are in x.npy, but steps.npy is not written" in said(result)
    assert np.load(tmp_path / "x.npy").shape[0] == 3


@pytest.fixture
def counted(monkeypatch):
    """How often a manifest has been read, and a step table made."""
    from zoo.bundle.manifest import Manifest
    from zoo.samplers import runs

    counts = {"manifest": 0, "table": 0}

    def counting(what, function):
        def call(*arguments, **keywords):
            counts[what] += 1
            return function(*arguments, **keywords)

        return call

    monkeypatch.setattr(Manifest, "from_json", counting("manifest", Manifest.from_json))
    # asked for once for each table that is not finished already
    monkeypatch.setattr(runs, "_call", counting("table", runs._call))
    return counts


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "x.npy"],
        ["-o", "x.npy", "--previews", "p.npy", "--sampler", "ddim", "--steps", 4, "--guidance", 2],
        ["-o", "x.npy", "--init", "i.npy", "--strength", 0.5],
        ["-o", "x.npy", "--init", "i.npy", "--strength", 0.5, "--mask", "m.npy"],
        ["-o", "x.npy", "--init", "i.npy", "--strength", 0],
        ["-o", "x.safetensors", "--stop-after", 3],
    ],
)
def test_a_run_reads_the_manifest_and_makes_the_table_once(zoo, classes, counted, arguments, tmp_path):
    np.save(tmp_path / "i.npy", np.ones((2, 1, 2, 2), np.int64))
    np.save(tmp_path / "m.npy", np.tri(2, dtype=np.float32)[None])
    result = zoo("run", classes, "--seed", 1, *arguments)
    assert result.exit_code == 0, result.stderr
    assert counted == {"manifest": 1, "table": 1}


@pytest.mark.parametrize("command", [["show"], ["run", "--log-prob", "x.npy"]])
def test_other_commands_read_the_manifest_once(zoo, flow, counted, command, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2), np.float32))
    result = zoo(command[0], flow, *command[1:])
    assert result.exit_code == 0, result.stderr
    assert counted["manifest"] == 1


def test_a_mask_with_strength_is_painted_as_the_runtime_paints_it(zoo, classes, tmp_path):
    x, mask = np.ones((2, 1, 2, 2), np.int64), np.tri(2, dtype=np.float32)[None]
    np.save(tmp_path / "i.npy", x)
    np.save(tmp_path / "m.npy", mask)
    edit = ["--init", "i.npy", "--mask", "m.npy", "--strength", 0.6, "--class", 1]
    assert zoo("run", classes, "--seed", 1, *edit, "-o", "x.npy").exit_code == 0
    expected = load(classes, "cpu").sample(2, seed=1, condition=1, init=x, mask=mask, strength=0.6)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
