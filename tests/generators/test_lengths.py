"""Events of variable length that are not texts: a mask is part of them, in files, densities and samples."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_generators import walk  # noqa: E402 - after the check for torch

from zoo import noise  # noqa: E402
from zoo.bundle import Manifest  # noqa: E402
from zoo.errors import ConfigError, DataError, UsageError  # noqa: E402
from zoo.lengths import Length, length_from  # noqa: E402
from zoo.modality import Audio  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo.render import write  # noqa: E402
from zoo.render.files import Extras  # noqa: E402
from zoo.render.read import read_samples  # noqa: E402
from zoo.runtime import load  # noqa: E402

MASK = Length(mask=2)


def test_actions_are_drawn_and_scored_up_to_their_end(bundles):
    model, bundle = walk(), load(bundles("walk"), "cpu")
    assert bundle.manifest.length == MASK
    x = bundle.sample(2000, seed=1)
    with torch.no_grad():
        np.testing.assert_allclose(x[:50], model.sample(50, seed=1).numpy(), atol=1e-5)
    lengths = MASK.lengths(x)
    # each action is followed by another with probability 1/(1 + e⁻¹); at most four fit
    goes = 1 / (1 + np.exp(-1))
    expected = [1 - goes, goes * (1 - goes), goes**2 * (1 - goes), goes**3]
    shares = np.bincount(lengths, minlength=5)[1:] / len(x)
    assert (np.abs(shares - expected) < 4 * np.sqrt(np.array(expected) / len(x))).all()
    # the density, written out here from the parameters of a new model: keep ½, no drift, deviation 1
    before = np.concatenate([np.zeros((len(x), 1, 2)), x[:, :-1, :2]], 1)
    z = x[:, :, :2] - 0.5 * before
    steps = np.where(MASK.within(x), -0.5 * (z**2).sum(2) - np.log(2 * np.pi), 0.0).sum(1)
    ends = (lengths - 1) * np.log(goes) + np.where(lengths < 4, np.log(1 - goes), 0.0)
    np.testing.assert_allclose(bundle.log_prob(x), steps + ends, atol=1e-4)
    changed = np.where(MASK.within(x)[:, :, None], x, 0.3).astype(np.float32)
    np.testing.assert_array_equal(bundle.log_prob(changed), bundle.log_prob(x))


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "csv", "npy"])
def test_files_hold_the_lengths(bundles, tmp_path, suffix):
    x = load(bundles("walk"), "cpu").sample(12, seed=1)
    write(x, tmp_path / f"x.{suffix}", Extras(length=MASK))
    read, _ = read_samples(tmp_path / f"x.{suffix}", (4, 3), length=MASK)
    np.testing.assert_array_equal(read.astype(np.float32), x)
    if suffix == "npz":
        np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["length"], MASK.lengths(x))
    if suffix == "csv":
        assert (tmp_path / "x.csv").read_text().splitlines()[0].endswith(",x3_2,length")


def test_data_may_come_with_lengths_instead_of_masks(bundles, tmp_path):
    x = load(bundles("walk"), "cpu").sample(6, seed=2)
    content, lengths = MASK.content(x), MASK.lengths(x)
    np.savez(tmp_path / "x.npz", samples=content, length=lengths)
    rows = np.concatenate([content.reshape(6, -1), lengths[:, None]], 1)
    np.savetxt(tmp_path / "x.csv", rows, delimiter=",", fmt="%.9g")
    for name in ("x.npz", "x.csv"):
        read, _ = read_samples(tmp_path / name, (4, 3), length=MASK)
        np.testing.assert_allclose(read, x, atol=1e-6)
    np.savez(tmp_path / "none.npz", samples=content)
    with pytest.raises(DataError, match="without saying where they end"):
        read_samples(tmp_path / "none.npz", (4, 3), length=MASK)
    np.savez(tmp_path / "long.npz", samples=content, length=lengths + 4)
    with pytest.raises(DataError, match="lengths are whole numbers from 0 to 4"):
        read_samples(tmp_path / "long.npz", (4, 3), length=MASK)
    np.savez(tmp_path / "other.npz", samples=x, length=(lengths % 4) + 1)
    with pytest.raises(DataError, match="not those of its samples"):
        read_samples(tmp_path / "other.npz", (4, 3), length=MASK)


def test_recordings_of_lengths_of_their_own_are_files_of_those_lengths(tmp_path):
    rule, audio = Length(mask=1, axis=1), Audio(8000)
    random = np.random.default_rng(0)
    content = (random.integers(-9000, 9000, (3, 1, 100)) / 32768).astype(np.float32)
    x = rule.joined(content, np.array([100, 1, 40]), "x")
    write(x, tmp_path / "x.wav", Extras(modality=audio, length=rule))
    read, _ = read_samples(tmp_path / "x.wav", (2, 100), audio, length=rule)
    np.testing.assert_array_equal(read, x)
    # one recording of another program, of any length that fits
    write(content[:1, :, :70], tmp_path / "one.wav", Extras(modality=audio))
    read, _ = read_samples(tmp_path / "one.wav", (2, 100), audio, length=rule)
    assert rule.lengths(read).tolist() == [70]
    np.testing.assert_array_equal(read[0, 0, :70], content[0, 0, :70])
    write(content[:1], tmp_path / "long.wav", Extras(modality=audio))
    with pytest.raises(DataError, match="100 samples, and at most 90 fit"):
        read_samples(tmp_path / "long.wav", (2, 90), audio, length=rule)


def test_rules_that_are_none_are_refused():
    for wrong in ({}, {"end": 0, "mask": 1}, {"end": -1}, {"mask": 0, "axis": 2}, {"end": 0, "axis": 1}):
        with pytest.raises(ConfigError, match="the end of an event is marked by a symbol"):
            length_from(wrong)
    assert Length(end=0).misfit((3, 2)) is not None
    assert MASK.misfit((4, 2)) is not None
    assert MASK.misfit((4, 3)) is None


def test_a_manifest_states_the_rule_only_where_there_is_one(bundles):
    assert "length" not in json.loads((bundles("kernels") / "manifest.json").read_text("utf-8"))


SHIPPED = sorted((Path(__file__).parents[2] / "plugins" / "zoo_models").glob("*/bundle/manifest.json"))


def without_coders(text):
    values = json.loads(text)
    for program in filter(None, values["programs"].values()):
        for name in ("encoder", "decoder"):
            if program.get(name, "") is None:
                del program[name]
    return json.dumps(values)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parents[1].name)
def test_manifests_without_any_of_this_are_the_same_bytes(path):
    text = path.read_text("utf-8")
    written = Manifest.from_json(text).to_json()
    # one of them was written before programs named coders
    assert written == text or without_coders(written) == without_coders(text)
    card = ModelCard.from_folder(path.parents[1])
    assert (card.samples, card.length) == (True, None)
    assert not {"samples", "length"} & card.describe().keys()


def test_noises_may_be_stated_by_name(bundles):
    bundle = load(bundles("walk"), "cpu")
    noises = {"z": noise.normal(4, 3, (4, 2)), "end": noise.gumbel(4, 3, (4, 2), step=1)}
    np.testing.assert_array_equal(bundle.sample(3, noise=noises), bundle.sample(3, seed=4))
    # what is not stated is that of the seed
    np.testing.assert_array_equal(bundle.sample(3, noise={"end": noises["end"]}, seed=4), bundle.sample(3, seed=4))
    with pytest.raises(UsageError, match="walk draws several noises: state them by name, z, end"):
        bundle.sample(3, noise=noises["z"])
    with pytest.raises(UsageError, match="walk draws no noise 'w'"):
        bundle.sample(3, noise={"w": noises["z"]})
    with pytest.raises(DataError, match="expected \\[3, 4, 2\\]"):
        bundle.sample(3, noise={"z": np.zeros((3, 5, 2))})
    with pytest.raises(UsageError, match="draws z \\(normal\\), end \\(gumbel\\), not from normals alone"):
        _ = bundle.noise_shape


def test_a_bundle_is_measured_on_events_of_lengths_of_their_own(bundles, monkeypatch):
    """``zoo eval`` on a list of arrays gives what it gives on events with their masks."""
    from click.testing import CliRunner

    from zoo.cli import cli
    from zoo.data import Dataset, Split, ragged
    from zoo.training import data

    folder = bundles("walk")
    x = load(folder, "cpu").sample(8, seed=3)
    rows = ragged(MASK.content(x), MASK.lengths(x))
    measured = []
    for events in (x, rows):
        monkeypatch.setattr(data, "load_data", lambda *_, events=events: Dataset("moons", *[Split(events)] * 3))
        options = ("--data", "moons", "--metric", "likelihood", "--samples", 0, "--provider", "cpu", "--json")
        done = CliRunner().invoke(cli, ["eval", str(folder), *map(str, options)])
        assert done.exit_code == 0, done.stderr
        measured.append(json.loads(done.stdout)["metrics"]["test_nll"])
    assert measured[0] == measured[1]
    assert measured[0]["value"] == pytest.approx(-load(folder, "cpu").log_prob(x).mean(), abs=1e-3)
