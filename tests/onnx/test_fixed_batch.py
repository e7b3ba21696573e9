"""Graphs of one size of batch: whatever is asked for is filled up to it, and comes out the same."""

import numpy as np
import pytest

from zoo.bundle import open_bundle
from zoo.exporting import export
from zoo.runtime import load
from zoo.runtime.check import check

BATCH = 3


@pytest.fixture(scope="module", params=("gaussian", "steps", pytest.param("diffusion", marks=pytest.mark.full)))
def pair(request, tmp_path_factory):
    """A bundle whose graphs take any batch, and one of the same model whose graphs take one."""
    model = request.getfixturevalue(request.param)
    folder = export(model, tmp_path_factory.mktemp("fixed") / "bundle", batch=BATCH)
    return load(request.getfixturevalue(f"{request.param}_bundle"), "cpu"), load(folder, "cpu"), folder


@pytest.mark.parametrize("n", [1, 3, 7])
def test_samples_are_the_same(pair, n):
    free, fixed, _ = pair
    np.testing.assert_allclose(fixed.sample(n, seed=4), free.sample(n, seed=4), atol=1e-3)
    np.testing.assert_allclose(fixed.sample(n, seed=4, batch_size=2), free.sample(n, seed=4), atol=1e-3)


def test_densities_are_the_same(pair):
    free, fixed, _ = pair
    if free.manifest.log_prob is None:
        pytest.skip("a model that does not score")
    x = free.sample(4, seed=1)
    options = {"steps": 2} if free.manifest.log_prob.kind == "integrate" else {}
    np.testing.assert_allclose(fixed.log_prob(x, **options), free.log_prob(x, **options), rtol=1e-4)


def test_previews_show_what_was_asked_for(pair):
    free, fixed, _ = pair
    if free.manifest.sample.kind == "direct":
        pytest.skip("a model of one call has no previews")
    seen = {bundle: [] for bundle in ("free", "fixed")}
    free.sample(2, seed=0, preview=lambda *shown: seen["free"].append(shown))
    fixed.sample(2, seed=0, preview=lambda *shown: seen["fixed"].append(shown))
    for (row, part, x), (same_row, same_part, same_x) in zip(seen["fixed"], seen["free"], strict=True):
        assert (row, part) == (same_row, same_part)
        np.testing.assert_allclose(x, same_x, atol=1e-3)


def test_a_run_can_be_stopped_and_resumed_elsewhere(pair):
    free, fixed, _ = pair
    if free.manifest.sample.kind == "direct":
        pytest.skip("a model of one call has no steps")
    state = fixed.advance(fixed.begin(2, seed=3), 2)
    assert state.n == 2
    np.testing.assert_allclose(free.finish(state), free.sample(2, seed=3), atol=1e-3)


def test_the_graph_has_no_symbolic_batch(pair):
    _, fixed, folder = pair
    manifest = open_bundle(folder).manifest
    assert manifest.batch == BATCH
    assert not any("batch" in port.shape for graph in manifest.graphs.values() for port in graph.inputs)
    session = fixed.session(manifest.sample.graph)
    sizes = {d for port in session.inputs for d in port.shape if isinstance(d, str)}
    assert sizes <= {"slots", "wide_columns", "evaluations"}
    assert check(open_bundle(folder), "cpu").ok
