"""Flows: what is described, what is refused, and what configs and weights make."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

import zoo_flows  # noqa: E402 - after the check for torch
from zoo import weights  # noqa: E402
from zoo.errors import ConfigError, ZooError  # noqa: E402
from zoo.models.building import build, keywords  # noqa: E402
from zoo.registry import installed  # noqa: E402
from zoo_flows import config  # noqa: E402
from zoo_flows.glow import Glow  # noqa: E402
from zoo_flows.iaf import IAF  # noqa: E402
from zoo_flows.maf import MAF  # noqa: E402
from zoo_flows.naf import NAF  # noqa: E402
from zoo_flows.nice import NICE  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402
from zoo_flows.nsf_ar import NSFAutoregressive  # noqa: E402
from zoo_flows.nsf_circular import NSFCircular  # noqa: E402
from zoo_flows.planar import PlanarFlow  # noqa: E402
from zoo_flows.radial import RadialFlow  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402
from zoo_flows.residual import ResidualFlow  # noqa: E402
from zoo_flows.sylvester import SylvesterFlow  # noqa: E402
from zoo_flows.tarflow import TarFlow  # noqa: E402
from zoo_flows.umnn import UMNN  # noqa: E402


def test_weights_and_config_make_the_same_model(make, tmp_path, inputs):
    model = make("image")
    weights.write(tmp_path / "w.safetensors", weights.state_arrays(model))
    other = make("image", seed=99)
    weights.load_into(other, weights.read(tmp_path / "w.safetensors"), source="test")
    x, condition = inputs(model, 5)
    assert torch.equal(other.log_prob(x, condition=condition), model.log_prob(x, condition=condition))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_shape": []}, "event_shape"),
        ({"event_shape": [1]}, "2 components or more"),
        ({"event_shape": [2], "transforms": 0}, "transforms must be 1 or more"),
        ({"event_shape": [2], "bins": 1}, "bins must be 2 or more"),
        ({"event_shape": [2], "bound": 0.0}, "bound must be above 0"),
        ({"event_shape": [2], "dropout": 1.0}, "dropout must be in"),
        ({"event_shape": [2], "linear": "qr"}, "no linear layer named 'qr'"),
        ({"event_shape": [2], "levels": 1}, "2 levels or more"),
        ({"event_shape": [2], "condition": {"kind": "classes", "size": 0}}, "size 1 or more"),
    ],
)
def test_what_cannot_be_built_is_refused(config, message):
    with pytest.raises(ZooError, match=message) as caught:
        NSFCoupling(**config)
    assert isinstance(caught.value, ConfigError) or "qr" in message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"event_shape": [0]}, "event_shape"),
        ({"event_shape": [2], "transforms": 0}, "transforms must be 1 or more"),
        ({"event_shape": [2], "hidden": []}, r"hidden layers of width 1 or more, not \[\]"),
        ({"event_shape": [2], "hidden": [8, 9], "residual": True}, r"the same width, not \[8, 9\]"),
        ({"event_shape": [2], "mixing": "qr"}, "no linear layer named 'qr'"),
        ({"event_shape": [2], "levels": 1}, "2 levels or more"),
    ],
)
@pytest.mark.parametrize("cls", [MAF, IAF, NSFAutoregressive, NAF, UMNN])
def test_what_cannot_be_autoregressive_is_refused(cls, config, message):
    with pytest.raises(ZooError, match=message):
        cls(**config)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (NICE, {"event_shape": [1]}, "2 components or more"),
        (NICE, {"event_shape": [2], "blocks": -1}, "blocks must be 0 or more"),
        (NICE, {"event_shape": [2], "mixing": "qr"}, "no linear layer named 'qr'"),
        (RealNVP, {"event_shape": [2], "hidden": 0}, "hidden must be 1 or more"),
        (RealNVP, {"event_shape": [2], "dropout": -0.1}, "dropout must be in"),
        (ResidualFlow, {"event_shape": [2], "lipschitz": 1.0}, "between 0 and 1, not 1.0"),
        (ResidualFlow, {"event_shape": [1, 6, 6], "scales": 3}, "3 scales need .* multiples of 4, not .1, 6, 6."),
        (ResidualFlow, {"event_shape": [2], "layers": 0}, "layers must be 1 or more"),
        (ResidualFlow, {"event_shape": [2], "activation": "qr"}, "no activation named 'qr'"),
        (NAF, {"event_shape": [2], "units": 0}, "units must be 1 or more"),
        (UMNN, {"event_shape": [2], "integrand": []}, "integrand must be 1 or more"),
        (UMNN, {"event_shape": [2], "nodes": 1}, "nodes must be 2 or more"),
        (UMNN, {"event_shape": [2], "bound": 0.0}, "bound must be above 0"),
        (TarFlow, {"event_shape": [1]}, "1 components do not divide into two or more patches of 1"),
        (TarFlow, {"event_shape": [5], "patch": 2}, "5 components do not divide into two or more patches of 2"),
        (TarFlow, {"event_shape": [1, 4, 6], "patch": 4}, "4×6 pixels do not divide into patches of 4×4"),
        (TarFlow, {"event_shape": [4], "heads": 3}, "width of 64 cannot be divided among 3 heads"),
        (TarFlow, {"event_shape": [4], "noise": -0.1}, "noise must be 0.0 or more"),
        (TarFlow, {"event_shape": [4], "inner": -1}, "inner must be 0 or more"),
        (TarFlow, {"event_shape": [4], "map": "qr"}, "no map named 'qr'"),
        (TarFlow, {"event_shape": [4], "bins": 4}, "bins are those of splines, and the maps of this"),
        (TarFlow, {"event_shape": [4], "bins": 4, "marginal_bins": 8}, "bins are those of splines"),
        (TarFlow, {"event_shape": [4], "bound": 4.0}, "bound is that of splines, and this flow has none"),
        (Glow, {"event_shape": [1, 4, 4], "bins": 4}, "bins are those of splines"),
        (PlanarFlow, {"event_shape": [2], "transforms": 0}, "transforms must be 1 or more"),
        (RadialFlow, {"event_shape": []}, "event_shape"),
        (RealNVP, {"event_shape": [2], "base": "qr"}, "no base distribution named 'qr'"),
        (RealNVP, {"event_shape": [2], "base": "mixture", "components": 0}, "1 component or more"),
        (RealNVP, {"event_shape": [1, 6, 4], "scales": 2}, "multiples of 4, not .1, 6, 4."),
        (RealNVP, {"event_shape": [1, 4, 4], "scales": 2, "mixing": "lu"}, "in turn, without mixing 'lu'"),
        (Glow, {"event_shape": [4, 4]}, "channels, height, width"),
        (Glow, {"event_shape": [1, 4, 4], "steps": 0}, "steps must be 1 or more"),
        (Glow, {"event_shape": [1, 4, 4], "coupling": "qr"}, "no coupling named 'qr'"),
        (Glow, {"event_shape": [1, 4, 4], "dequantisation": "variational"}, "for whole numbers"),
        (RealNVP, {"event_shape": [4], "levels": 4, "dequantisation": "qr"}, "no dequantisation named 'qr'"),
        (NSFCircular, {"event_shape": [2], "period": 0.0}, "length above 0"),
        (NSFCircular, {"event_shape": [2], "bins": 1}, "bins must be 2 or more"),
        (SylvesterFlow, {"event_shape": [2], "rank": 3}, "rank from 1 to 2, not 3"),
        (SylvesterFlow, {"event_shape": [2], "reflections": -1}, "reflections must be 0 or more"),
    ],
)
def test_what_no_flow_can_be_is_refused(cls, config, message):
    with pytest.raises(ConfigError if "qr" not in message else ZooError, match=message):
        cls(**config)


def test_architectures_are_described(named):
    name, cls = named
    (description,) = (a for a in zoo_flows.zoo_architectures() if a.name == name)
    assert description.entry == f"{cls.__module__}:{cls.__name__}"
    assert description.family == "flow"
    assert "arXiv:" in description.paper


def test_every_architecture_has_a_config_here(classes_of_configs):
    entries = {f"{cls.__module__}:{cls.__name__}" for cls in classes_of_configs}
    assert {each.entry for each in zoo_flows.zoo_architectures()} == entries


#: what an architecture takes of what configs of flows share, beside shape and condition
SHARED = {
    **dict.fromkeys(["planar", "radial", "sylvester"], "levels alpha"),
    **dict.fromkeys(["nice", "cnf", "residual"], "levels alpha base components"),
    **dict.fromkeys(["maf", "iaf", "nsf-ar", "naf", "umnn"], "levels alpha base components marginals"),
    "nsf-coupling": "levels alpha base components marginals dequantisation",
    "tarflow": "levels alpha base components dequantisation",
    "realnvp": "levels alpha base components dequantisation",
    "glow": "levels alpha dequantisation",
    "pixelcnn": "levels alpha dequantisation",
    "nsf-circular": "",
}


@pytest.mark.parametrize("architecture", zoo_flows.zoo_architectures(), ids=lambda a: a.name)
def test_an_architecture_takes_what_it_uses_and_refuses_the_rest(architecture):
    registry = installed()
    expected = {"event_shape", "condition", "conditioning", "bounds", "temperature", *SHARED[architecture.name].split()}
    every = {field.name for field in dataclasses.fields(config.Shared)}
    assert keywords(registry.load_entry(architecture)).keys() & every == expected
    for name in every - expected:
        with pytest.raises(ConfigError, match=f"takes no {name}"):
            build(registry, architecture.name, {"event_shape": [2], name: None})
