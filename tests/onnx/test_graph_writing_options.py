"""Graphs that models write themselves, in fewer bits, of a fixed batch, and inside a fused run."""

import numpy as np
import pytest
import torch

from zoo.bundle import open_bundle
from zoo.errors import UsageError
from zoo.exporting import export
from zoo.runtime import load
from zoo.runtime.check import check

pytest.importorskip("zoo_flows.maf")
from zoo_flows.maf import MAF

WAYS = ("unroll", "loop")


@pytest.fixture(scope="module")
def flow():
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = MAF(event_shape=[5], transforms=2, hidden=[32, 32])
        for layer in model.modules():
            if hasattr(layer, "masked"):
                layer.weight.add_(0.1 * torch.randn_like(layer.weight) * layer.mask)
    return model.eval()


@pytest.fixture(scope="module")
def plain(flow, tmp_path_factory):
    return export(flow, tmp_path_factory.mktemp("plain") / "bundle")


@pytest.mark.sample("int4-weights-unroll", "float16-loop")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "options",
    [{"quantize": "int8"}, {"quantize": "int4-weights", "bound": 0.2}, {"dtype": "float16"}],
    ids=lambda options: next(iter(options.values())),
)
def test_weights_shrink_and_arithmetic_stays(flow, plain, tmp_path, way, options):
    bundle = export(flow, tmp_path / "bundle", inverse=way, **options)
    manifest = open_bundle(bundle).manifest
    # one direction in another arithmetic than the other would not be its inverse
    assert manifest.precision["arithmetic"] == "float32"
    assert 0 < manifest.precision["loss"]["log_prob"] < manifest.precision["bound"]
    assert (bundle / "weights.safetensors").stat().st_size < 0.8 * (plain / "weights.safetensors").stat().st_size
    assert check(open_bundle(bundle)).ok


def test_dynamic_ranges_are_refused(flow, tmp_path):
    with pytest.raises(UsageError, match="stay in float32"):
        export(flow, tmp_path / "bundle", quantize="int8-dynamic")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("way", WAYS)
def test_of_a_fixed_batch_and_fused(flow, plain, tmp_path, way):
    expected = load(plain).sample(7, seed=5)
    fixed = export(flow, tmp_path / "fixed", inverse=way, batch=4)
    np.testing.assert_allclose(load(fixed).sample(7, seed=5), expected, atol=1e-5)
    fused = export(flow, tmp_path / "fused", inverse=way, fused={})
    np.testing.assert_allclose(load(fused).sample(7, seed=5, fused=True), expected, atol=1e-5)
