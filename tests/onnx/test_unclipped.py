"""DDIM that keeps the network's own ε: one evaluation a step by a column of the graph, two in bundles without it."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest

from zoo.bundle import open_bundle
from zoo.errors import BundleError, UsageError
from zoo.exporting import export
from zoo.models import loading
from zoo.runtime import load
from zoo.runtime.check import check
from zoo.samplers import Guidance
from zoo.samplers.state import SamplerState
from zoo.weights import read

SCALE = 8.0
STEPS, GUIDED = 4, Guidance(3.0, rescale=0.7)


@pytest.fixture(scope="module")
def pair(unclipped, tmp_path_factory):
    """The model and its bundle, with a fused graph."""
    return unclipped, export(unclipped, tmp_path_factory.mktemp("unclipped") / "bundle", fused={})


@pytest.fixture
def earlier(pair, tmp_path):
    """The bundle as an earlier version would have written it: no further column is known of."""
    folder = shutil.copytree(pair[1], tmp_path / "earlier")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["programs"]["sample"]["unclipped_column"], manifest["programs"]["fused"], manifest["graphs"]["fused"]
    for name in ("fused.onnx", "tables.safetensors", "golden.safetensors"):
        del manifest["files"][name]
        (folder / name).unlink()
    graph = onnx.load(folder / "step.onnx", load_external_data=False)
    (there,) = (value.type.tensor_type.shape.dim[1] for value in graph.graph.input if value.name == "matrix")
    there.dim_param = "columns"
    onnx.save(graph, folder / "step.onnx")
    content = (folder / "step.onnx").read_bytes()
    manifest["files"]["step.onnx"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (stated,) = (port for port in manifest["graphs"]["step"]["inputs"] if port["name"] == "matrix")
    stated["shape"][1] = "columns"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_manifest_says_that_there_is_a_column(pair):
    folder = pair[1]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["programs"]["sample"]["unclipped_column"] is True
    assert manifest["format"]["version"] == 2
    tables = read(folder / "tables.safetensors")
    assert tables[f"ddim-{STEPS}/matrix"].shape == (STEPS, 1, 3)
    assert tables["ddpm-100/matrix"].shape == (100, 1, 2)
    assert check(open_bundle(folder), "cpu").ok


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"guidance": GUIDED, "negative": 1},
        {"init": np.linspace(0, 16, 64).reshape(1, 8, 8), "mask": np.arange(64).reshape(1, 8, 8) % 3 > 0},
    ],
    ids=["plain", "guided", "known parts"],
)
def test_a_bundle_with_the_column_and_one_without_it_draw_the_same(pair, earlier, options):
    model, folder = pair
    given = {"condition": [2, 0], "seed": 3, **options}
    once, twice = load(folder, "cpu"), load(earlier, "cpu")
    assert (len(once.table()), len(twice.table())) == (STEPS, 2 * STEPS - 1)
    x = once.sample(2, **given)
    np.testing.assert_allclose(x, model.sample(2, **given), atol=1e-4 * SCALE)
    np.testing.assert_allclose(x, twice.sample(2, **given), atol=2e-4 * SCALE)
    assert np.abs(x - once.sample(2, epsilon="clipped", **given)).max() > 5e-3 * SCALE


def test_the_fused_graph_reads_the_column(pair):
    bundle = load(pair[1], "cpu")
    assert bundle.manifest.fused is not None
    np.testing.assert_allclose(bundle.sample(3, seed=4, fused=True), bundle.sample(3, seed=4), atol=1e-4 * SCALE)


def test_a_run_goes_on_only_where_the_graph_takes_its_table(pair, earlier, tmp_path):
    model, folder = pair
    bundle, path = load(folder, "cpu"), tmp_path / "state.safetensors"
    bundle.advance(bundle.begin(2, condition=1, seed=0), 2).save(path)
    state = SamplerState.load(path)
    expected = bundle.sample(2, condition=1, seed=0)
    np.testing.assert_allclose(model.finish(state), expected, atol=1e-4 * SCALE)
    with pytest.raises(UsageError, match="before it is clipped, which the model's step graph does not give"):
        load(earlier, "cpu").finish(state)
    with pytest.raises(UsageError, match="before it is clipped"):
        load(earlier, "cpu").sample(1, sampler=bundle.table())


def test_a_manifest_that_does_not_agree_with_its_graph_is_refused(earlier):
    manifest = json.loads((earlier / "manifest.json").read_text())
    manifest["programs"]["sample"]["unclipped_column"] = True
    (earlier / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="has the columns columns, which does not agree with unclipped_column = True"):
        load(earlier, "cpu")


def test_a_shipped_model_takes_one_evaluation_in_pytorch_and_in_its_bundle():
    model, bundle = loading.load("moons-rectified-flow"), load("moons-rectified-flow", "cpu")
    options = {"sampler": "ddim", "steps": 3, "epsilon": "unclipped"}
    assert (len(model.table(**options)), len(bundle.table(**options))) == (3, 3)
    np.testing.assert_allclose(bundle.sample(5, seed=1, **options), model.sample(5, seed=1, **options), atol=1e-4)
