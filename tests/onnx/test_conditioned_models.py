"""What people deploy is conditional: each model from a recipe to a bundle that samples as PyTorch does, encoding once.

A policy on a picture and a state, an upscaler, an image of a text, a posterior with an embedding network, and a flow of
which a picture is the context: all of built-in architectures, by what a recipe says.
"""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.exporting import export  # noqa: E402 - after the checks
from zoo.models.building import build  # noqa: E402
from zoo.models.building import load as load_model  # noqa: E402
from zoo.models.encoders import ConditionEncoder  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo.runtime.session import Session  # noqa: E402

_path = Path(__file__).parents[1] / "conditioned_models.py"
_spec = importlib.util.spec_from_file_location("conditioned_models", _path)
deployed = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(deployed)
MODELS, OTHER = deployed.MODELS, deployed.OTHER


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The model folder that a recipe of a name gives, once."""
    folders = {}

    def folder(name):
        if name not in folders:
            folders[name] = deployed.trained(name, tmp_path_factory.mktemp(name))
        return folders[name]

    return folder


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The trained model in PyTorch and its bundle's folder, once."""
    made = {}

    def both(name):
        if name not in made:
            model = load_model(Registry.discover(), str(trained(name))).eval()
            made[name] = model, export(model, tmp_path_factory.mktemp(name) / "bundle")
        return made[name]

    return both


def counted(monkeypatch):
    """Rows of each call of a bundle's encoder, and of PyTorch's, from here on."""
    made = {"bundle": [], "torch": []}
    of_session, of_module = Session.run, ConditionEncoder.forward

    def counting(self, feeds, outputs=None):
        if self.graph.stem == "condition":
            made["bundle"].append(len(next(iter(feeds.values()))))
        return of_session(self, feeds, outputs)

    def encoding(self, parts):
        made["torch"].append(len(next(iter(parts.values()))))
        return of_module(self, parts)

    monkeypatch.setattr(Session, "run", counting)
    monkeypatch.setattr(ConditionEncoder, "forward", encoding)
    return made


@pytest.mark.parametrize("name", MODELS)
def test_a_recipe_trains_it_and_its_encoder(name, trained):
    registry = Registry.discover()
    model = load_model(registry, str(trained(name))).eval()
    assert [part.name for part in model.condition.parts] == list(MODELS[name][2])
    for key, parameter in model.named_parameters():
        assert parameter.abs().max() > 0, key
    samples = [model.sample(2, condition=given, seed=1).detach() for given in (MODELS[name][2], OTHER[name])]
    assert (samples[0] - samples[1]).abs().max() > 1e-3
    # what is said of each part alone is seen
    for part in OTHER[name]:
        mixed = {**MODELS[name][2], part: OTHER[name][part]}
        assert (model.sample(2, condition=mixed, seed=1).detach() - samples[0]).abs().max() > 1e-5, part


@pytest.mark.slow  # five exports
@pytest.mark.parametrize("name", MODELS)
def test_its_bundle_samples_what_pytorch_does_and_encodes_once(name, exported, monkeypatch):
    model, folder = exported(name)
    bundle, given = load(folder, "cpu"), MODELS[name][2]
    calls = counted(monkeypatch)
    x = model.sample(6, condition=given, seed=3).detach().numpy()
    np.testing.assert_allclose(bundle.sample(6, condition=given, seed=3, batch_size=4), x, atol=1e-4)
    guided = 2 if name == "text" else 1  # the null is one row more
    assert calls == {"bundle": [1] * guided, "torch": [1] * guided}
    several = {key: [value, OTHER[name][key], value] for key, value in given.items()}
    y = model.sample(3, condition=several, seed=4).detach().numpy()
    np.testing.assert_allclose(bundle.sample(3, condition=several, seed=4), y, atol=1e-4)
    assert calls["bundle"][guided] == 2  # of three conditions, two are different


@pytest.mark.slow  # see above
@pytest.mark.parametrize("name", ["posterior", "picture"])
def test_a_flows_density_of_a_condition_is_pytorchs(name, exported):
    model, folder = exported(name)
    bundle, given = load(folder, "cpu"), MODELS[name][2]
    x = bundle.sample(4, condition=given, seed=0)
    expected = model.log_prob(torch.from_numpy(x), condition=given).detach().numpy()
    np.testing.assert_allclose(bundle.log_prob(x, condition=given), expected, atol=1e-4)
    assert np.abs(bundle.log_prob(x, condition=OTHER[name]) - expected).max() > 1e-3


@pytest.mark.slow  # see above
def test_what_is_not_required_is_left_out(exported):
    model, folder = exported("picture")
    x = load(folder, "cpu").sample(4, condition={}, seed=0)
    np.testing.assert_allclose(x, model.sample(4, condition={}, seed=0).detach(), atol=1e-4)


# the likelihood's ODE takes as many derivatives of the network a stage as an event has numbers: two, or four where a
# network halves the sides
IMAGE = {"event_shape": [1, 1, 2], "sampling": {"steps": 3}}
BOTH = {"prompt": {"width": 8}, "arm": {"width": 4}}
#: what the models above leave out: every network under a derivative, and a graph that a plugin writes
OTHERS = {
    "unet2d": {
        **IMAGE,
        "block_out_channels": [8],
        "down_block_types": ["AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D"],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 8,
        "conditioning": BOTH,
    },
    "mlp": {
        "event_shape": [3],
        "hidden": 8,
        "blocks": 1,
        "sampling": {"steps": 3},
        "conditioning": {"prompt": {"width": 8}, "arm": {"by": "concatenation"}},
    },
    "tarflow": {
        "event_shape": [3],
        "transforms": 2,
        "width": 8,
        "layers": 1,
        "conditioning": {"prompt": {"width": 8}},
    },
    "pixelcnn": {
        "event_shape": [1, 2, 3],
        "width": 8,
        "blocks": 1,
        "conditioning": {"prompt": {"width": 8}},
    },
    "adm": {
        **IMAGE,
        "event_shape": [1, 4, 4],
        "model_channels": 8,
        "channel_mult": [1],
        "attention_resolutions": [1],
        "num_head_channels": 8,
        "conditioning": BOTH,
    },
    "diffwave": {
        "event_shape": [1, 2],
        "patch": 1,
        "residual_channels": 8,
        "layers": 2,
        "cycle": 2,
        "embedding": 8,
        "sampling": {"steps": 3},
        "conditioning": BOTH,
    },
    "unet": {
        **IMAGE,
        "event_shape": [1, 4, 4],  # of one pixel, groups of one channel have a single number, and no deviation
        "base": 8,
        "multipliers": [1, 2],
        "attention": [0],
        "head_channels": 8,
        "conditioning": BOTH,
    },
    "unet1d": {
        "event_shape": [1, 8],
        "patch": 1,
        "base": 8,
        "multipliers": [1, 2],
        "attention": [0],
        "head_channels": 8,
        "sampling": {"steps": 3},
        "conditioning": BOTH,
    },
    "dit": {**IMAGE, "patch_size": 1, "hidden_size": 8, "depth": 2, "num_heads": 2, "conditioning": BOTH},
    "uvit": {**IMAGE, "patch_size": 1, "embed_dim": 8, "depth": 2, "num_heads": 2, "conditioning": BOTH},
}
SHARED = {
    "parts": [
        {"name": "prompt", "modality": "tokens", "shape": ["length"], "size": 4, "padding": 0, "null": 0},
        {"name": "arm", "modality": "numbers", "shape": [2], "null": 0.0},
    ]
}


@pytest.mark.slow  # exports with a likelihood
@pytest.mark.sample("tarflow", "pixelcnn")
@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_exported_with_their_density(name, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(Registry.discover(), name, {**OTHERS[name], "condition": SHARED}).eval()
        # what starts at zero hides what comes before it
        for parameter in model.parameters():
            if not parameter.detach().any():
                torch.nn.init.normal_(parameter, std=0.1)
    bundle = load(export(model, tmp_path / "bundle"), "cpu")
    given = {"prompt": [1, 2, 3, 1], "arm": [0.5, -1.0]}
    x = model.sample(2, condition=given, seed=0).detach()
    np.testing.assert_allclose(bundle.sample(2, condition=given, seed=0), x, atol=1e-4)
    options = {} if name in ("tarflow", "pixelcnn") else {"steps": 4}
    density = model.log_prob(x, condition=given, **options).detach()
    exact = copy.deepcopy(model).double().log_prob(x.double(), condition=given, **options).detach()
    # of some of these weights, float32 itself is a few tenths of a nat off
    rounding = 3 * (density - exact).abs().numpy()
    off = np.abs(bundle.log_prob(x.numpy(), condition=given, **options) - exact.numpy())
    assert (off <= np.maximum(1e-3, rounding)).all()
