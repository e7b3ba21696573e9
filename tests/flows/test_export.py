"""Flows leave PyTorch: both directions of every architecture, proven when exported, and run by ONNX Runtime."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import zoo_flows  # noqa: E402 - after the checks
from zoo.exporting import export  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo_flows.cnf import CNF  # noqa: E402
from zoo_flows.glow import Glow  # noqa: E402
from zoo_flows.iaf import IAF  # noqa: E402
from zoo_flows.maf import MAF  # noqa: E402
from zoo_flows.naf import NAF  # noqa: E402
from zoo_flows.nice import NICE  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402
from zoo_flows.nsf_ar import NSFAutoregressive  # noqa: E402
from zoo_flows.nsf_circular import NSFCircular  # noqa: E402
from zoo_flows.pixelcnn import PixelCNN  # noqa: E402
from zoo_flows.planar import PlanarFlow  # noqa: E402
from zoo_flows.radial import RadialFlow  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402
from zoo_flows.residual import ResidualFlow  # noqa: E402
from zoo_flows.sylvester import SylvesterFlow  # noqa: E402
from zoo_flows.tarflow import TarFlow  # noqa: E402
from zoo_flows.umnn import UMNN  # noqa: E402

VECTOR, CLASSES = {"kind": "vector", "size": 2}, {"kind": "classes", "size": 3}
SMALL = {"transforms": 2, "hidden": 8, "blocks": 1}
FLOWS = {
    "nice": lambda: NICE(event_shape=[1, 2, 2], levels=17, condition=CLASSES, mixing="permutation", **SMALL),
    "realnvp": lambda: RealNVP(event_shape=[3], mixing="householder", **SMALL),
    "realnvp-vector": lambda: RealNVP(event_shape=[3], condition=VECTOR, **SMALL),
    "realnvp-image": lambda: RealNVP(event_shape=[1, 4, 4], scales=2, hidden=4, levels=17, transforms=1, blocks=1),
    "glow": lambda: Glow(event_shape=[1, 4, 4], scales=2, steps=1, hidden=4, levels=17, condition=CLASSES),
    "variational": lambda: RealNVP(
        event_shape=[1, 2, 2], levels=17, dequantisation="variational", condition=VECTOR, **SMALL
    ),
    "nsf-coupling": lambda: NSFCoupling(event_shape=[3], bins=4, marginal_bins=3, condition=VECTOR, **SMALL),
    "nsf-ar": lambda: NSFAutoregressive(event_shape=[3], transforms=1, bins=4, hidden=[8], condition=CLASSES),
    "learned": lambda: NICE(event_shape=[2], base="learned", condition=CLASSES, **SMALL),
    "mixture": lambda: RealNVP(event_shape=[3], base="mixture", components=4, **SMALL),
    "maf-mixture": lambda: MAF(event_shape=[3], transforms=2, hidden=[8], base="mixture"),
    "maf-learned": lambda: MAF(
        event_shape=[1, 2, 2], transforms=1, hidden=[8], base="learned", condition=CLASSES, levels=17
    ),
    "maf-batchnorm": lambda: MAF(event_shape=[3], transforms=2, hidden=[8], batchnorm=True),
    "iaf-mixture": lambda: IAF(event_shape=[3], transforms=1, hidden=[8], base="mixture", condition=VECTOR),
    "naf": lambda: NAF(event_shape=[3], transforms=2, units=4, hidden=[8], condition=VECTOR),
    "umnn": lambda: UMNN(event_shape=[3], transforms=1, signal=3, integrand=[6], hidden=[8], condition=CLASSES),
    "tarflow": lambda: TarFlow(
        event_shape=[1, 4, 4], transforms=2, patch=2, width=8, heads=2, condition=CLASSES, levels=17, noise=0.1
    ),
    "pixelcnn": lambda: PixelCNN(
        event_shape=[2, 3, 4], width=6, blocks=2, field=2, reach=1, condition=CLASSES, levels=17
    ),
    "pixelcnn-spline": lambda: PixelCNN(event_shape=[1, 3, 4], width=6, blocks=1, bins=4, condition=VECTOR),
    "nsf-circular": lambda: NSFCircular(event_shape=[3], bins=4, low=0.0, period=24.0, condition=CLASSES, **SMALL),
    "residual": lambda: ResidualFlow(event_shape=[3], transforms=2, hidden=8, condition=VECTOR),
    "residual-image": lambda: ResidualFlow(
        event_shape=[1, 4, 4], scales=2, transforms=1, hidden=4, levels=17, condition=CLASSES
    ),
    "residual-classes": lambda: ResidualFlow(
        event_shape=[1, 3, 4], transforms=1, hidden=8, layers=1, activation="elu", levels=17, condition=CLASSES
    ),
    "cnf": lambda: CNF(event_shape=[3], hidden=8, steps=6, condition=VECTOR),
    "cnf-classes": lambda: CNF(
        event_shape=[1, 2, 2],
        hidden=8,
        layers=1,
        activation="softplus",
        steps=6,
        levels=17,
        condition=CLASSES,
        objective="likelihood",
        base="learned",
    ),
    "planar": lambda: PlanarFlow(event_shape=[3], transforms=2, condition=VECTOR),
    "radial": lambda: RadialFlow(event_shape=[3], transforms=2, condition=VECTOR),
    "sylvester": lambda: SylvesterFlow(event_shape=[3], transforms=2, rank=2, condition=VECTOR),
}


def test_no_architecture_is_left_out():
    here = {f"{type(made).__module__}:{type(made).__name__}" for made in (make() for make in FLOWS.values())}
    assert {each.entry for each in zoo_flows.zoo_architectures()} <= here


@pytest.mark.sample("realnvp-vector", "maf-batchnorm", "nsf-circular", "residual")
@pytest.mark.parametrize("name", FLOWS)
def test_onnx_runtime_samples_and_scores_what_torch_does(name, scramble, tmp_path):
    torch.manual_seed(0)
    model = scramble(FLOWS[name](), scale=0.2).eval()
    bundle = load(export(model, tmp_path / "bundle", fused={}), "cpu")
    condition = None
    if model.condition is not None:
        condition = model.condition.array(np.full((7, 2), 0.4) if model.condition.kind == "vector" else None, 7)
    x = bundle.sample(7, condition=condition, seed=4)
    np.testing.assert_allclose(x, model.sample(7, condition=condition, seed=4).numpy(), rtol=1e-4, atol=1e-4)
    given = bundle.log_prob(x, condition=condition)
    with torch.no_grad():
        expected = model.log_prob(torch.from_numpy(x), condition=condition).numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
