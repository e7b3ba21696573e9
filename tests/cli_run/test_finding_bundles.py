"""Bundles that are not quite where somebody said: above, packed; and models by name in the runtime."""

import shutil

import numpy as np
import pytest

from zoo.errors import BundleError, UnknownNameError, UsageError
from zoo.runtime import load


@pytest.fixture
def places(flow, tmp_path):
    """{what is named: where the hint says that the bundle is}."""
    shutil.copytree(flow, tmp_path / "above" / "one" / "inner")
    shutil.copytree(flow, tmp_path / "packed" / "bundle")
    return {
        "above": "There is a bundle in it: {}/above/one/inner.",
        "packed": "There is a bundle in it: {}/packed/bundle.",
    }


@pytest.mark.parametrize("command", [["run"], ["check"], ["show"], ["bench"], ["export", "-o", "out"], ["eval"]])
def test_every_command_says_where_the_bundle_is(zoo, places, command, tmp_path):
    for place, hint in places.items():
        done = zoo(command[0], tmp_path / place, *command[1:])
        assert done.exit_code == 2, done.stderr
        assert hint.format(tmp_path) in done.stderr


def test_the_runtime_says_it_too(places, tmp_path):
    for place, hint in places.items():
        with pytest.raises(BundleError, match="is not a bundle") as caught:
            load(tmp_path / place)
        assert caught.value.hint.startswith(hint.format(tmp_path))
    (tmp_path / "nothing").mkdir()
    for name in ("nothing", "nowhere"):
        with pytest.raises(BundleError) as caught:
            load(tmp_path / name)
        assert caught.value.hint is None


def test_the_runtime_takes_the_names_of_installed_models(flow, tmp_path, monkeypatch):
    from zoo.registry import installed

    monkeypatch.chdir(tmp_path)
    by_name = load("moons-nsf", "cpu")
    by_path = load(installed().model("moons-nsf").bundle_path, "cpu")
    np.testing.assert_array_equal(by_name.sample(3, seed=0), by_path.sample(3, seed=0))
    with pytest.raises(UnknownNameError, match="moons-nfs") as caught:
        load("moons-nfs")
    assert "moons-nsf" in caught.value.hint
    shutil.copytree(flow, tmp_path / "moons-nsf")
    assert load("moons-nsf", "cpu").name == "gaussian-flow"  # a folder comes first


def test_a_model_without_a_bundle_is_not_run_by_name(monkeypatch):
    from types import SimpleNamespace

    import zoo.registry

    registry = SimpleNamespace(model=lambda name: SimpleNamespace(bundle_path=None))
    monkeypatch.setattr(zoo.registry, "installed", lambda: registry)
    with pytest.raises(UsageError, match="no bundle") as caught:
        load("some-model")
    assert "zoo export some-model" in caught.value.hint


def test_an_archive_is_opened_as_a_folder_is_not(flow, tmp_path):
    from zoo.bundle import open_bundle

    archive = shutil.make_archive(tmp_path / "itself", "zip", flow)
    with pytest.raises(BundleError, match="is not a bundle") as caught:
        open_bundle(archive)
    assert caught.value.hint == f"It is an archive: `zoo pull {archive} -o DIR` unpacks the bundle in it."
