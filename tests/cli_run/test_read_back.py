"""Every format that ``zoo run`` writes is read back, and says how its samples are drawn again."""

import json
import shlex

import numpy as np
import pytest

from zoo.errors import DataError
from zoo.render import Extras, write
from zoo.render.metadata import about, beside
from zoo.render.read import read_samples
from zoo.runtime import load

FORMATS = ["png", "npy", "npz", "csv", "safetensors"]


def ran(zoo, *arguments):
    done = zoo(*arguments)
    assert done.exit_code == 0, done.stderr
    return done


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("suffix", FORMATS)
def test_what_was_written_is_where_the_next_run_starts(zoo, classes, suffix, n, tmp_path):
    ran(zoo, "run", classes, "-n", n, "--seed", 1, "--class", 2, "-o", f"x.{suffix}")
    # at strength 0 nothing is run, and the samples are the data
    ran(zoo, "run", classes, "--init", f"x.{suffix}", "--strength", 0, "--seed", 1, "--class", 2, "-o", "y.npy")
    x = load(classes, "cpu").sample(n, seed=1, condition=2)
    if suffix == "png":  # whose shades are the levels, of which the middles are the data
        x = np.floor(x).clip(0, 3) + 0.5
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), x, atol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_tells_the_command_that_makes_it_again(zoo, classes, suffix, tmp_path):
    ran(zoo, "run", classes, "-n", 3, "--class", "high,0", "--guidance", 2, "-o", f"x.{suffix}")
    shown = json.loads(ran(zoo, "show", f"x.{suffix}", "--json").stdout)
    assert (shown["model"], shown["n"], shown["guidance"]) == ("class-diffusion", 3, 2.0)
    assert f"--seed {shown['seed']}" in shown["command"]
    assert shown["command"] in ran(zoo, "show", f"x.{suffix}").stdout
    before = (tmp_path / f"x.{suffix}").read_bytes()
    (tmp_path / f"x.{suffix}").unlink()
    ran(zoo, *shlex.split(shown["command"])[1:])
    again = json.loads(ran(zoo, "show", f"x.{suffix}", "--json").stdout)
    assert {**again, "command": ""} == {**shown, "command": ""}
    if suffix not in ("npz", "png", "safetensors"):  # which hold the command, now with its seed
        assert (tmp_path / f"x.{suffix}").read_bytes() == before
    names = [f"x.{suffix}"] + ([f"x.{suffix}.about.json"] if suffix in ("csv", "npy") else [])
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_seed_is_an_option_whatever_stands_behind_the_options(zoo, flow, tmp_path):
    ran(zoo, "run", "-n", 2, "-o", "x.npy", "--", flow)
    before = (tmp_path / "x.npy").read_bytes()
    again = shlex.split(json.loads(ran(zoo, "show", "x.npy", "--json").stdout)["command"])[1:]
    (tmp_path / "x.npy").unlink()
    ran(zoo, *again)
    assert (tmp_path / "x.npy").read_bytes() == before


def test_numbers_and_noise_tell_their_command_too(zoo, classes):
    ran(zoo, "run", classes, "-n", 3, "--seed", 0, "-o", "x.npz")
    for arguments in (["--log-prob", "x.npz", "-o", "d.csv"], ["--encode", "x.npz", "-o", "d.npz"]):
        ran(zoo, "run", classes, *arguments)
        shown = json.loads(ran(zoo, "show", arguments[-1], "--json").stdout)
        assert shown["command"] == shlex.join(["zoo", "run", str(classes), *arguments])


def test_texts_are_texts_in_a_table_too(zoo, tmp_path):
    pytest.importorskip("onnxruntime")
    ran(zoo, "run", "names-masked", "-n", 4, "--seed", 0, "--steps", 4, "-o", "x.csv")
    ran(zoo, "run", "names-masked", "-n", 4, "--seed", 0, "--steps", 4, "-o", "x.txt")
    lines = (tmp_path / "x.txt").read_text().splitlines()
    assert (tmp_path / "x.csv").read_text().splitlines() == ["text", *lines]
    scores = [ran(zoo, "run", "names-masked", "--log-prob", name).stdout for name in ("x.csv", "x.txt")]
    assert scores[0] == scores[1]
    assert len(scores[0].split()) == 4


def test_an_empty_text_and_a_condition_are_read_back_from_a_table(tmp_path):
    from zoo.modality import Text

    modality, x = Text("\nab,"), np.array([[1, 2, 0], [0, 0, 0], [3, 3, 1]])
    for condition in (np.array([2, 0, 1]), {"kind": np.array([2, 0, 1])}):
        write(x + 0.5, tmp_path / "x.csv", Extras(condition, modality=modality), replace=True)
        read, stored = read_samples(tmp_path / "x.csv", (3,), modality)
        np.testing.assert_array_equal(read, x)
        np.testing.assert_array_equal(stored["kind"] if isinstance(stored, dict) else stored, [2, 0, 1])


def test_a_recording_keeps_its_comment_and_its_samples(tmp_path):
    from zoo.modality import Audio

    x = np.linspace(-0.5, 0.5, 2 * 80, dtype=np.float32).reshape(2, 1, 80)
    for told in ({}, {"model": "m", "seed": 3}, {"model": "mm", "seed": 3}):  # of odd and even length
        write(x, tmp_path / "x.wav", Extras(modality=Audio(800), about=told), replace=True)
        assert about(tmp_path / "x.wav") == told
        read, _ = read_samples(tmp_path / "x.wav", (1, 80), Audio(800))
        assert np.abs(read - x).max() <= 1 / 32_768


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 9), (1, 2, 2), (3, 200, 90)])
@pytest.mark.parametrize("n", [1, 2, 11])
def test_every_picture_of_images_is_read_back(shape, n, tmp_path):
    pytest.importorskip("PIL")
    x = np.random.default_rng(0).integers(0, 256, (n, *shape)).astype(np.uint8)
    write(x, tmp_path / "x.png", Extras(levels=256, columns=4 if n > 4 else None))
    read, _ = read_samples(tmp_path / "x.png", shape, pictures=True)
    np.testing.assert_array_equal(read, x)


def test_a_picture_without_its_metadata_or_with_wrong_ones_is_refused(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from zoo.render.metadata import in_png

    x = np.zeros((2, 1, 4, 4), np.uint8)
    write(x, tmp_path / "x.png", Extras(levels=256))
    image.open(tmp_path / "x.png").save(tmp_path / "plain.png")
    with pytest.raises(DataError, match="pixels, expected 4 x 4"):
        read_samples(tmp_path / "plain.png", (1, 4, 4), pictures=True)
    plain = (tmp_path / "plain.png").read_bytes()
    for stated in ({"n": 9}, {"n": 10**9, "columns": 1, "factor": 1}, {"n": 2, "columns": 0, "factor": True}, 3):
        (tmp_path / "forged.png").write_bytes(in_png(plain, {"images": stated}))
        with pytest.raises(DataError, match="pixels, expected"):
            read_samples(tmp_path / "forged.png", (1, 4, 4), pictures=True)


def test_what_lies_beside_a_file_speaks_of_that_file_alone(zoo, flow, tmp_path):
    ran(zoo, "run", flow, "-n", 2, "-o", "x.csv")
    assert about(tmp_path / "x.csv")["n"] == 2
    (tmp_path / "x.csv").write_text("1,2\n")
    done = zoo("show", "x.csv")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "x.csv has changed since x.csv.about.json was written" in done.stderr
    beside(tmp_path / "x.csv").unlink()
    assert about(tmp_path / "x.csv") == {}
    for suffix in ("npy", "csv", "png"):  # and so of files that somebody else wrote
        (tmp_path / f"y.{suffix}").write_bytes(b"")
        assert f"y.{suffix} does not say how its samples were drawn" in zoo("show", f"y.{suffix}").stderr


def test_a_picture_of_a_known_range_is_read_back_in_that_range(zoo, monkeypatch):
    from zoo.cli._sampling import shown_range

    class Main:
        data_range = (-1.0, 1.0)

    class Model:
        levels = None

        class manifest:  # noqa: N801 - stands for a manifest
            main = Main

    assert shown_range(Model) == (-1.0, 1.0)
    Model.levels = 256
    assert shown_range(Model) is None


@pytest.mark.parametrize("n", [2, 3])
def test_interpolation_of_a_conditional_model(zoo, classes, n, tmp_path):
    for k, chosen in ((4, []), (3, ["--class", 2]), (2, ["--class", "0,1"])):
        ran(zoo, "run", classes, "--interpolate", k, "-n", n, "--seed", 0, *chosen, "-o", "x.npy", "--force")
        assert np.load(tmp_path / "x.npy").shape == ((n - 1) * k, 1, 2, 2)
