"""Every architecture of a flow, small, with weights far from where they start."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo_flows.bases import Logistic  # noqa: E402 - after the check for torch
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

SMALL = {"transforms": 2, "bins": 5, "bound": 3.0, "hidden": 16, "blocks": 1}
CLASSES = {"kind": "classes", "size": 3}
VECTOR = {"kind": "vector", "size": 2}

CONFIGS = {
    "plane": {"event_shape": [2]},
    "permutation": {"event_shape": [3], "linear": "permutation"},
    "marginals": {"event_shape": [3], "marginal_bins": 4},
    "classes": {"event_shape": [2], "condition": CLASSES},
    "vector": {"event_shape": [2], "condition": VECTOR},
    "learned": {"event_shape": [2], "base": "learned", "condition": VECTOR},
    "mixture": {"event_shape": [2], "base": "mixture", "components": 3},
    "mixture-image": {"event_shape": [1, 2, 2], "base": "mixture", "components": 2},
    "image": {"event_shape": [1, 2, 3], "levels": 17, "condition": CLASSES, "marginal_bins": 4, "dropout": 0.5},
    "maf": {"event_shape": [2], "mixing": "lu"},
    "maf-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "residual": True},
    "maf-batchnorm": {"event_shape": [3], "batchnorm": True, "condition": VECTOR},
    "maf-mixture": {"event_shape": [3], "base": "mixture", "components": 3},
    "iaf": {"event_shape": [2], "mixing": "permutation"},
    "iaf-vector": {"event_shape": [2], "condition": VECTOR},
    "nsf-ar": {"event_shape": [2]},
    "nsf-ar-classes": {"event_shape": [2], "condition": CLASSES, "mixing": "reverse"},
    "naf": {"event_shape": [2]},
    "naf-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "mixing": "lu"},
    "naf-vector": {"event_shape": [2], "condition": VECTOR},
    "umnn": {"event_shape": [2]},
    "umnn-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES},
    "umnn-vector": {"event_shape": [2], "condition": VECTOR, "mixing": "permutation"},
    "tarflow": {"event_shape": [2]},
    "tarflow-vector": {"event_shape": [6], "patch": 2, "condition": VECTOR, "base": "learned"},
    "tarflow-image": {"event_shape": [1, 2, 4], "patch": 2, "levels": 17, "condition": CLASSES, "noise": 0.1},
    "tarflow-plane": {"event_shape": [4], "patch": 2, "map": "spline", "bins": 5, "inner": 6, "window": 2},
    "tarflow-pixels": {
        "event_shape": [2, 2, 3],
        "patch": 1,
        "levels": 17,
        "condition": CLASSES,
        "dequantisation": "variational",
        "map": "spline",
        "bins": 5,
        "bound": 3.0,
        "inner": 6,
        "marginal_bins": 4,
        "window": 1,
        "per_channel": True,
    },
    "pixelcnn": {"event_shape": [2, 2, 3]},
    "pixelcnn-affine": {"event_shape": [1, 2, 3], "levels": 17, "map": "affine", "condition": VECTOR},
    "pixelcnn-levels": {"event_shape": [2, 2, 3], "levels": 17, "condition": CLASSES, "dequantisation": "variational"},
    "nsf-circular": {"event_shape": [3]},
    "nsf-circular-vector": {"event_shape": [2], "low": 0.0, "period": 24.0, "condition": VECTOR},
    "nice": {"event_shape": [2]},
    "nice-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "mixing": "permutation"},
    "realnvp": {"event_shape": [3], "mixing": "householder"},
    "realnvp-vector": {"event_shape": [2], "condition": VECTOR},
    "realnvp-image": {"event_shape": [1, 4, 4], "scales": 2, "transforms": 1, "levels": 17, "condition": CLASSES},
    "realnvp-variational": {"event_shape": [1, 2, 3], "levels": 17, "dequantisation": "variational"},
    "realnvp-batchnorm": {"event_shape": [1, 2, 2], "scales": 1, "transforms": 1, "batchnorm": True},
    "glow": {"event_shape": [1, 4, 4], "levels": 17},
    "glow-variational": {"event_shape": [1, 4, 4], "levels": 17, "dequantisation": "variational", "condition": CLASSES},
    "glow-additive": {"event_shape": [1, 2, 4], "scales": 1, "coupling": "additive", "condition": VECTOR},
    "residual": {"event_shape": [3], "base": "learned"},
    "residual-vector": {"event_shape": [2], "condition": VECTOR},
    "residual-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "activation": "elu"},
    "residual-image": {"event_shape": [1, 4, 2], "scales": 2, "transforms": 1, "levels": 17, "condition": CLASSES},
    "cnf": {"event_shape": [3], "objective": "likelihood", "base": "learned"},
    "cnf-vector": {"event_shape": [2], "condition": VECTOR, "activation": "tanh"},
    "cnf-classes": {"event_shape": [1, 2, 2], "levels": 17, "condition": CLASSES, "activation": "softplus"},
    "planar": {"event_shape": [3]},
    "planar-classes": {"event_shape": [2], "condition": CLASSES},
    "planar-plane": {"event_shape": [2]},
    "sylvester-plane": {"event_shape": [2]},
    "radial": {"event_shape": [3]},
    "radial-vector": {"event_shape": [2], "condition": VECTOR},
    "sylvester": {"event_shape": [3]},
    "sylvester-vector": {"event_shape": [2], "condition": VECTOR, "rank": 1, "reflections": 1},
}
#: architectures by the beginning of a config's name, and what makes them small; a coupling flow without one
ARCHITECTURES = {
    "maf": (MAF, {"transforms": 2, "hidden": [12, 12]}),
    "iaf": (IAF, {"transforms": 2, "hidden": [12, 8]}),
    "nsf-ar": (NSFAutoregressive, {"transforms": 2, "bins": 5, "bound": 3.0, "hidden": [12]}),
    "nsf-circular": (NSFCircular, {"transforms": 2, "bins": 5, "hidden": 12, "blocks": 1}),
    "naf": (NAF, {"transforms": 2, "units": 5, "hidden": [12]}),
    "umnn": (UMNN, {"transforms": 2, "signal": 3, "integrand": [6, 5], "hidden": [12]}),
    "tarflow": (TarFlow, {"transforms": 2, "width": 8, "layers": 1}),
    "pixelcnn": (PixelCNN, {"width": 6, "blocks": 1, "field": 2, "reach": 1}),
    "nice": (NICE, {"transforms": 3, "hidden": 12, "blocks": 1}),
    "realnvp": (RealNVP, {"transforms": 2, "hidden": 12, "blocks": 1}),
    "glow": (Glow, {"scales": 2, "steps": 1, "hidden": 6}),
    "residual": (ResidualFlow, {"transforms": 2, "hidden": 12}),
    "cnf": (CNF, {"hidden": 8, "layers": 2, "steps": 64}),
    "planar": (PlanarFlow, {"transforms": 4}),
    "radial": (RadialFlow, {"transforms": 4}),
    "sylvester": (SylvesterFlow, {"transforms": 2}),
}
#: those that model vectors of any numbers
CLASSES_OF_FLOWS = [
    NSFCoupling,
    *(cls for cls, _ in ARCHITECTURES.values() if cls not in (Glow, NSFCircular, PixelCNN)),
]


def architecture_of(config):
    """Class and arguments of a config."""
    for name, (cls, small) in ARCHITECTURES.items():
        if config.startswith(name):
            return cls, {**small, **CONFIGS[config]}
    return NSFCoupling, {**SMALL, **CONFIGS.get(config, {})}


@pytest.fixture(scope="session")
def make(scramble):
    def make(config, *, scale=0.3, seed=0, **changes):
        torch.manual_seed(seed)
        cls, arguments = architecture_of(config)
        return scramble(cls(**{**arguments, **changes}), scale=scale, seed=seed).eval()

    return make


@pytest.fixture(params=CONFIGS)
def model(request, make):
    return make(request.param)


def inputs_for(model, n, *, dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, *model.event_shape, generator=generator, dtype=dtype) * 2
    if isinstance(model, NSFCircular):
        x = model.to_data(x.clamp(-3.1, 3.1))[0] if model.condition is None else 12.0 + 2.0 * x
    if isinstance(model.base, Logistic):
        # there is no density outside the levels
        x = 17.0 * torch.rand(x.shape, generator=generator, dtype=dtype)
    condition = None
    if model.condition is not None:
        given = np.full((n, 2), 0.5) if model.condition.kind == "vector" else None
        condition = model.as_condition(model.condition.array(given, n))
    return x, condition


@pytest.fixture(scope="session")
def inputs():
    """Data and a condition, as many as wanted, that suit a model."""
    return inputs_for


@pytest.fixture(params=CLASSES_OF_FLOWS)
def cls(request):
    return request.param


@pytest.fixture(params=["nsf-coupling", *ARCHITECTURES])
def named(request):
    """Each architecture's name and class."""
    return request.param, ARCHITECTURES.get(request.param, (NSFCoupling,))[0]


@pytest.fixture(scope="session")
def classes_of_configs():
    """The classes that there are configs of."""
    return {architecture_of(config)[0] for config in CONFIGS}
