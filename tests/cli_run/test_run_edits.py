"""``zoo run`` that edits, encodes, interpolates, stops and resumes."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from zoo.runtime import load
from zoo.samplers import Guidance
from zoo.samplers.slerp import slerp


def done(result):
    assert result.exit_code == 0, result.stderr
    return result


def test_stop_and_resume_is_the_uninterrupted_run(zoo, diffusion, tmp_path):
    done(zoo("run", diffusion, "-n", 5, "--seed", 3, "--sampler", "ddpm", "-o", "whole.npy"))
    stopping = ["--sampler", "ddpm", "--stop-after", 7, "-o", "s.safetensors"]
    said = done(zoo("run", diffusion, "-n", 5, "--seed", 3, *stopping)).stderr
    assert "wrote s.safetensors: the state of 5 samples after 7 of 20 steps, for --resume; on cpu in" in said
    said = done(zoo("run", diffusion, "--resume", "s.safetensors", "--stop-after", 30, "-o", "e.safetensors")).stderr
    assert "the state of 5 samples after 20 of 20 steps" in said
    done(zoo("run", diffusion, "--resume", "s.safetensors", "--batch-size", 2, "-o", "x.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), np.load(tmp_path / "whole.npy"))


def test_init_strength_and_count(zoo, diffusion, tmp_path):
    x = np.linspace(1, 5, 9, dtype=np.float32).reshape(3, 3)
    np.save(tmp_path / "i.npy", x)
    told = json.loads(
        done(zoo("run", diffusion, "--init", "i.npy", "--strength", 0.4, "--seed", 1, "-o", "x.npy", "--json")).stdout
    )
    assert (told["n"], told["strength"], told["steps"]) == (3, 0.4, 8)
    expected = load(diffusion, "cpu").sample(3, seed=1, init=x, strength=0.4)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    done(zoo("run", diffusion, "--init", "i.npy", "--strength", 0, "--seed", 1, "-o", "same.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "same.npy"), x, atol=1e-6)


def test_a_picture_is_scaled_to_the_levels(zoo, classes, tmp_path):
    Image.fromarray(np.array([[0, 85], [170, 255]], np.uint8)).save(tmp_path / "i.png")
    done(zoo("run", classes, "--init", "i.png", "--strength", 0, "--seed", 1, "-o", "x.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "x.npy").ravel(), [0.5, 1.5, 2.5, 3.5], atol=1e-6)


def test_encode_then_sample_gives_the_data_back(zoo, diffusion, tmp_path):
    x = np.linspace(2, 5, 6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "i.npy", x)
    done(zoo("run", diffusion, "--encode", "i.npy", "--steps", 60, "-o", "z.npz"))
    done(zoo("run", diffusion, "--noise", "z.npz", "--sampler", "heun", "--steps", 60, "-o", "x.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), x, atol=2e-2)


def test_the_condition_beside_data_is_theirs_in_every_use(zoo, classes, tmp_path):
    """As for scores: labels of a table are labels, even if these look like numbers; and who has none is told."""
    bundle = shutil.copytree(classes, tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["condition"]["labels"] = ["2", "0", "1"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    for suffix in ("csv", "npz"):
        name = f"x.{suffix}"
        done(zoo("run", bundle, "-n", 3, "--class", "2,0,0", "--seed", 0, "-o", name))
        for arguments in (
            ["--init", name, "--strength", 0.5, "-o", "y.npz"],
            ["--init", name, "--interpolate", 2, "-o", "y.npz"],
            ["--encode", name, "-o", "y.npz"],
        ):
            said = done(zoo("run", bundle, *arguments, "--force")).stderr
            assert f"conditions are those of {name}" in said
            expected = [0, 0, 1, 1] if "--interpolate" in arguments else [0, 1, 1]
            assert np.load("y.npz")["condition"].tolist() == expected
    said = done(zoo("run", bundle, "--noise", "y.npz", "-o", "z.npz")).stderr
    assert "conditions are those of y.npz" in said
    assert np.load("z.npz")["condition"].tolist() == [0, 1, 1]
    np.save("w.npy", np.load("z.npz")["samples"])
    for arguments in (["--encode", "w.npy"], ["--init", "w.npy"], ["--noise", "w.npy"]):
        said = done(zoo("run", bundle, *arguments, "-o", "v.npz", "--force")).stderr
        assert "w.npy states no classes, so each comes in turn; --class says which" in said
        assert np.load("v.npz")["condition"].tolist() == [0, 1, 2]
        assert "in turn" not in done(zoo("run", bundle, *arguments, "--class", 1, "-o", "v.npz", "--force")).stderr


def test_one_datum_with_its_condition_serves_all_samples(zoo, classes):
    done(zoo("run", classes, "-n", 1, "--class", 2, "-o", "x.npz"))
    done(zoo("run", classes, "--init", "x.npz", "--strength", 0.5, "-n", 4, "-o", "y.npz"))
    assert np.load("y.npz")["condition"].tolist() == [2] * 4


def test_interpolation_of_a_flow(zoo, flow, tmp_path):
    z = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    done(zoo("run", flow, "--noise", "z.npy", "--interpolate", 3, "-o", "x.npy"))
    ways = np.stack([slerp(a, b, u) for a, b in [(z[0], z[1]), (z[1], z[2])] for u in (0, 0.5, 1)])
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), load(flow, "cpu").sample(6, noise=ways), atol=1e-6)


def test_negative_interval_and_previews(zoo, classes, tmp_path):
    flags = ("--class", 2, "--guidance", 2, "--guidance-interval", "0.1,5", "--negative", "low")
    done(zoo("run", classes, "-n", 3, "--seed", 1, *flags, "--previews", "p.npy", "-o", "x.npy"))
    guidance = Guidance(2.0, (0.1, 5.0))
    expected = load(classes, "cpu").sample(3, seed=1, condition=2, guidance=guidance, negative=0)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    assert np.load(tmp_path / "p.npy").shape == (3, 10, 1, 2, 2)


def test_a_composition_of_classes(zoo, classes, tmp_path):
    composition = ("--compose", "low:1.5", "--compose", "2:-0.25")
    told = json.loads(done(zoo("run", classes, "-n", 3, "--seed", 1, *composition, "-o", "x.npz", "--json")).stdout)
    assert (told["compose"], told["guidance"]) == (["low:1.5", "2:-0.25"], None)
    expected = load(classes, "cpu").sample(3, seed=1, compose=[(0, 1.5), (2, -0.25)])
    with np.load(tmp_path / "x.npz") as written:
        np.testing.assert_array_equal(written["samples"], expected)
        assert "condition" not in written  # none of them is that of the samples
    done(zoo("run", classes, "-n", 3, "--seed", 1, *composition, "--stop-after", 4, "-o", "half.safetensors"))
    done(zoo("run", classes, "--resume", "half.safetensors", "-o", "y.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strength", "0.5"], "--strength needs data to start from"),
        (["--init", "i.npy", "--strength", "1.5"], "strength lies in [0, 1]"),
        (["--init", "i.npy", "--mask", "m.npy"], "the mask has shape (3, 5)"),
        (["-O", "spacing=odd"], "spacing"),
        (["--guidance-interval", "3"], "two noise levels"),
        (["--guidance-rescale", "2"], "rescale lies in [0, 1]"),
        (["--negative", "low", "--guidance", "1"], "no effect without guidance"),
        (["--compose", "low"], "--compose takes CONDITION:WEIGHT, such as 3:1.5, not 'low'"),
        (["--compose", "low:nan"], "not 'low:nan'"),
        (["--compose", "low:1", "--class", "1"], "--class and --compose exclude each other"),
        (["--compose", "low:1", "--guidance", "2"], "exclude each other"),
        (["--stop-after", "3"], "needs -o"),
        (["--resume", "s.safetensors", "--seed", "1"], "--resume and --seed exclude each other"),
        (["--encode", "i.npy", "-n", "3"], "--encode and -n exclude each other"),
        (["--noise", "i.npy", "--init", "i.npy"], "--noise and --init exclude each other"),
    ],
)
def test_one_sentence_for_each_mistake(zoo, classes, arguments, message, tmp_path):
    np.save(tmp_path / "i.npy", np.ones((1, 1, 2, 2), np.float32))
    np.save(tmp_path / "m.npy", np.ones((3, 5), np.float32))
    result = zoo("run", classes, *arguments)
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.stderr
    assert message in result.stderr


def test_slerp_keeps_the_norm():
    np.testing.assert_allclose(slerp(np.array([1.0, 0]), np.array([0, 1.0]), 0.5), [0.5**0.5, 0.5**0.5])
    np.testing.assert_allclose(slerp(np.array([1.0, 0]), np.array([2.0, 0]), 0.5), [1.5, 0])
