"""A bundle whose path and modality a plugin brought runs on without it: its stored tables, and nothing else."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo import weights
from zoo.bundle import TABLES, file_info, open_bundle
from zoo.errors import BundleError, MissingDependencyError, UnknownNameError
from zoo.modality import Foreign
from zoo.registry import extensions
from zoo.registry.discovery import Plugin, PluginRecord
from zoo.runtime import load
from zoo.runtime.check import check
from zoo.samplers import BUILTIN

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests" / "bundles" / "brought" / "games"
STORED = {("ddim", 4), ("ddim", 10), ("ddim", 20), ("ddim", 50), ("ddpm", 100)}


@pytest.fixture(autouse=True)
def nothing_brought(monkeypatch):
    """No plugin, as in a runtime of NumPy and ONNX Runtime alone."""
    monkeypatch.setattr(extensions, "_claims", {})


@pytest.fixture
def installed(monkeypatch):
    """What brings the package zoo-doors, as discovery would."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "third_party" / "zoo-doors"))
    importlib.invalidate_caches()

    def install():
        doors = importlib.import_module("zoo_doors")
        record = PluginRecord(name="doors", distribution="zoo-doors", version="0.1.0", module="zoo_doors")
        described = {"path": tuple(doors.zoo_paths()), "modality": tuple(doors.zoo_modalities())}
        extensions.bring([Plugin(record, described)])

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo_doors"]:
        del sys.modules[name]


@pytest.fixture
def altered(tmp_path):
    """A copy of the bundle whose manifest was changed."""

    def alter(change):
        folder = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
        values = json.loads((folder / "manifest.json").read_text("utf-8"))
        change(values, folder)
        (folder / "manifest.json").write_text(json.dumps(values))
        return folder

    return alter


def test_stored_tables_and_samples_are_those_of_the_plugin(installed):
    without = load(BUNDLE, "cpu")
    assert set(without.opened.stored_tables()) == STORED
    assert isinstance(without.modality, Foreign)
    tables = {choice: without.table(*choice) for choice in STORED}
    samples = without.sample(5, seed=3)
    np.testing.assert_array_equal(without.sample(5, seed=3, batch_size=2), samples)
    installed()
    plugin = load(BUNDLE, "cpu")
    assert (plugin.modality.rows, plugin.modality.pieces) == (3, ".XO")
    for choice, table in tables.items():
        for name, column in vars(plugin.table(*choice)).items():
            np.testing.assert_array_equal(getattr(table, name), column, err_msg=f"{choice}: {name}")
    np.testing.assert_array_equal(plugin.sample(5, seed=3), samples)


def test_what_the_stored_tables_suffice_for_runs():
    model = load(BUNDLE, "cpu")
    whole = model.sample(4, seed=1, sampler="ddim", steps=10)
    begun = model.advance(model.begin(4, seed=1, steps=10), 3)
    np.testing.assert_array_equal(model.finish(begun), whole)
    *_, last = model.stream(4, seed=1, steps=10)
    np.testing.assert_array_equal(last.x, whole)
    # the first is kept, and the rest is sampled
    mask = np.ones((3, 3))
    mask[0] = 0
    kept = model.sample(4, seed=1, init=np.full((3, 3), 1.25), mask=mask)
    np.testing.assert_allclose(kept[:, 0], 1.25, atol=1e-5)
    assert np.abs(kept[:, 1:] - 1.25).max() > 0.1
    np.testing.assert_allclose(model.sample(2, init=whole[:2], strength=0), whole[:2], atol=1e-5)
    np.testing.assert_allclose(model.table(initial_scale=2.0).initial_scale, 2.0)
    model.warm_up()


@pytest.mark.parametrize(
    "asked",
    [{"steps": 7}, {"sampler": "euler"}, {"eta": 0.5}, {"sampler": "ddpm", "steps": 4}, {"strength": 0.5}],
)
def test_other_tables_are_refused_by_the_name_of_the_package(asked):
    given = {"init": np.ones((3, 3))} if "strength" in asked else {}
    with pytest.raises(MissingDependencyError) as caught:
        load(BUNDLE, "cpu").sample(2, **asked, **given)
    assert str(caught.value) == (
        "'zoo-doors' is needed to run other step tables than the stored ones "
        "(ddim-10, ddim-20, ddim-4, ddim-50, ddpm-100) with the path 'even' and is not installed"
    )


def test_what_needs_the_paths_functions_is_refused_alone():
    model, x = load(BUNDLE, "cpu"), np.ones((2, 3, 3), np.float32)
    for call, told in (
        (lambda: model.log_prob(x), "'zoo-doors' is needed to score data with the path 'even' and is not installed"),
        (lambda: model.log_prob_with_errors(x), "is needed to score data"),
        (lambda: model.elbo(x), "is needed to score data"),
        (lambda: model.encode(x), "'zoo-doors' is needed to encode data with the path 'even' and is not installed"),
    ):
        with pytest.raises(MissingDependencyError, match=told):
            call()


def test_a_check_says_what_it_could_not_replay(installed):
    report = check(open_bundle(BUNDLE), "cpu")
    assert report.ok
    assert {row.what for row in report.rows} == {"graph step", "graph divergence", "sample"}
    assert set(report.unrun) == {"log_prob"}
    assert set(report.unmade) == {f"{sampler}-{steps}" for sampler, steps in STORED}
    assert set(report.unmade.values()) == {"'zoo-doors' brings the path 'even', and is not installed"}
    installed()
    report = check(open_bundle(BUNDLE), "cpu")
    assert report.ok
    assert (report.unrun, report.unmade) == ({}, {})
    assert {"log_prob", "table"} <= {row.what for row in report.rows}


def test_a_path_that_names_no_package_is_refused(altered):
    def change(values, folder):
        for program in ("sample", "log_prob"):
            del values["programs"][program]["path"]["package"]

    with pytest.raises(BundleError, match="there is no path named 'even'"):
        load(altered(change), "cpu")


def test_a_bundle_without_stored_tables_says_so(altered):
    def change(values, folder):
        del values["files"][TABLES]
        (folder / TABLES).unlink()

    with pytest.raises(MissingDependencyError, match=r"than the stored ones \(none\)"):
        load(altered(change), "cpu").sample(2)


@pytest.mark.parametrize("wrong", ["missing", "shape", "name"])
def test_damaged_tables_are_told(altered, wrong):
    def change(values, folder):
        arrays = weights.read(folder / TABLES)
        if wrong == "missing":
            del arrays["ddim-4/time"]
        elif wrong == "shape":
            arrays["ddim-4/time"] = arrays["ddim-4/time"][:2].copy()
        else:
            arrays["ddim-4/more"] = np.zeros(4)
        (folder / TABLES).unlink()
        weights.write(folder / TABLES, arrays)
        info = file_info(folder / TABLES)
        values["files"][TABLES] = {"size": info.size, "sha256": info.sha256}

    with pytest.raises(BundleError, match=r"tables\.safetensors does not fit its bundle: table ddim-4"):
        load(altered(change), "cpu").sample(2)


def test_a_sampler_of_a_plugin_that_is_missing_runs_from_its_table_too(installed):
    installed()
    others = {name: function for name, function in BUILTIN.items() if name != "ddim"}
    model, whole = load(BUNDLE, "cpu", samplers=others), load(BUNDLE, "cpu")
    np.testing.assert_array_equal(model.sample(3, seed=0), whole.sample(3, seed=0))
    with pytest.raises(UnknownNameError, match="there is no sampler named 'ddim'"):
        model.sample(3, steps=7)
