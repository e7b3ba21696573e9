"""What people deploy is conditional: each model from a recipe to a bundle that samples as PyTorch does, encoding once.

A policy on a picture and a state, an upscaler, an image of a text, a posterior with an embedding network, and a flow of
which a picture is the context: all of built-in architectures, by what a recipe says.
"""

import tomllib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.data import Dataset, Split  # noqa: E402 - after the checks
from zoo.exporting import export  # noqa: E402
from zoo.models.building import build  # noqa: E402
from zoo.models.building import load as load_model  # noqa: E402
from zoo.models.encoders import ConditionEncoder  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo.runtime.session import Session  # noqa: E402
from zoo.training import run  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402

TRAINING = """
[training]
steps = 12
batch_size = 16
learning_rate = 0.02
"""

POLICY = """
[model]
architecture = "unet1d"

[model.config]
event_shape = [16, 2]
channels_last = true
layout = "diffusion-policy"
down_dims = [8, 16]
step_embedding = 8
path = "ddpm-cosine"
prediction = "v"
data_min = -3.0
data_max = 3.0
likelihood = false
sampling = { steps = 4 }

[[model.config.condition.parts]]
name = "image"
modality = "image"
shape = [3, 32, 32]
minimum = 0.0
maximum = 1.0

[[model.config.condition.parts]]
name = "arm"
modality = "numbers"
shape = [5]

[model.config.conditioning]
image = { channels = [8, 8, 8], grid = 2, width = 8 }
"""

UPSCALER = """
[model]
architecture = "unet2d"

[model.config]
event_shape = [1, 8, 8]
block_out_channels = [8, 8]
down_block_types = ["DownBlock2D", "DownBlock2D"]
up_block_types = ["UpBlock2D", "UpBlock2D"]
norm_num_groups = 4
add_attention = false
shift = 0.5
scale = 0.5
likelihood = false
sampling = { steps = 3 }

[[model.config.condition.parts]]
name = "small"
modality = "image"
shape = [1, 4, 4]
minimum = 0.0
maximum = 1.0
"""

TEXT = """
[model]
architecture = "dit"

[model.config]
event_shape = [1, 4, 4]
hidden_size = 16
depth = 2
num_heads = 2
shift = 0.5
scale = 0.5
likelihood = false
sampling = { steps = 3, guidance = 2.0 }

[[model.config.condition.parts]]
name = "prompt"
modality = "tokens"
shape = ["length"]
alphabet = "_abc"
padding = 0
null = 0

[model.config.conditioning]
prompt = { by = "cross-attention", width = 16 }
"""

POSTERIOR = """
[model]
architecture = "nsf-coupling"

[model.config]
event_shape = [2]
hidden = 8
blocks = 1
transforms = 2
bins = 4

[[model.config.condition.parts]]
name = "signal"
modality = "sequence"
shape = ["length", 3]

[[model.config.condition.parts]]
name = "device"
modality = "classes"
size = 2

[model.config.conditioning]
signal = { width = 8, layers = 1, heads = 2 }
device = { width = 4 }
"""

PICTURE = """
[model]
architecture = "maf"

[model.config]
event_shape = [3]
hidden = [12]
transforms = 2

[[model.config.condition.parts]]
name = "image"
modality = "image"
shape = [1, 8, 8]
minimum = 0.0
maximum = 1.0
null = 0.0
required = false

[model.config.conditioning]
image = { channels = [4, 8], grid = 2, width = 8, dropout = 0.2 }
"""

N = 96


def pictures(random, *shape):
    return random.uniform(size=(N, *shape)).astype(np.float32)


def policy_data(random):
    image, arm = pictures(random, 3, 32, 32), (50 + 5 * random.normal(size=(N, 5))).astype(np.float32)
    towards = np.stack([image.mean((1, 2, 3)), (arm[:, 0] - 50) / 5], 1)
    x = np.linspace(0, 1, 16)[None, :, None] * towards[:, None] + 0.05 * random.normal(size=(N, 16, 2))
    return x, {"image": image, "arm": arm}


def upscaler_data(random):
    small = pictures(random, 1, 4, 4)
    return np.repeat(np.repeat(small, 2, 2), 2, 3), {"small": small}


def text_data(random):
    prompt = random.integers(1, 4, size=(N, 3)).astype(np.int32)
    prompt[::2, 2] = 0
    x = prompt[:, :1, None, None] / 3 + 0.05 * random.normal(size=(N, 1, 4, 4))
    return x, {"prompt": prompt}


def posterior_data(random):
    device = random.integers(2, size=N).astype(np.int32)
    signal = random.normal(size=(N, 5, 3)).astype(np.float32)
    return signal.mean(1)[:, :2] + device[:, None] + 0.1 * random.normal(size=(N, 2)), {
        "signal": signal,
        "device": device,
    }


def picture_data(random):
    image = pictures(random, 1, 8, 8)
    where = image[:, 0, :3, 0]
    return where + 0.1 * random.normal(size=(N, 3)), {"image": image}


#: recipe, its data, and a condition that differs from another in each of its parts
MODELS = {
    "policy": (POLICY, policy_data, {"image": np.full((3, 32, 32), 0.3), "arm": [50.0, 45, 50, 55, 50]}),
    "upscaler": (UPSCALER, upscaler_data, {"small": np.eye(4)[None]}),
    "text": (TEXT, text_data, {"prompt": "abca"}),
    "posterior": (POSTERIOR, posterior_data, {"signal": np.ones((4, 3)), "device": 1}),
    "picture": (PICTURE, picture_data, {"image": np.eye(8)[None]}),
}
OTHER = {
    "policy": {"image": np.full((3, 32, 32), 0.9), "arm": [60.0, 50, 50, 50, 50]},
    "upscaler": {"small": 1 - np.eye(4)[None]},
    "text": {"prompt": "cb"},
    "posterior": {"signal": -np.ones((2, 3)), "device": 0},
    "picture": {"image": 1 - np.eye(8)[None]},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The model folder that a recipe of a name gives, once."""
    folders, registry = {}, Registry.discover()

    def folder(name):
        if name in folders:
            return folders[name]
        recipe, make, _ = MODELS[name]
        x, parts = make(np.random.default_rng(0))
        ends = [slice(0, 64), slice(64, 80), slice(80, 96)]
        splits = [Split(x[i].astype(np.float32), {key: part[i] for key, part in parts.items()}) for i in ends]
        given = tomllib.loads(f'name = "{name}"\n[data]\nname = "moons"\n{recipe}{TRAINING}')
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "load_data", lambda *_: Dataset("moons", *splits))
            folders[name] = tmp_path_factory.mktemp(name)
            assert run.train_recipe(Recipe.from_dict(given), folders[name], registry) is not None
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


IMAGE = {"event_shape": [1, 4, 4], "sampling": {"steps": 3}}
BOTH = {"prompt": {"width": 8}, "arm": {"width": 4}}
#: what the models above leave out: every network under a derivative, and a graph that a plugin writes
OTHERS = {
    "unet2d": {
        "event_shape": [1, 4, 4],
        "block_out_channels": [8, 8],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "norm_num_groups": 4,
        "attention_head_dim": 8,
        "sampling": {"steps": 3},
        "conditioning": {"prompt": {"width": 8}, "arm": {"width": 4}},
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
    "adm": {
        **IMAGE,
        "model_channels": 8,
        "channel_mult": [1, 2],
        "attention_resolutions": [2],
        "num_head_channels": 8,
        "conditioning": BOTH,
    },
    "diffwave": {
        "event_shape": [1, 8],
        "patch": 2,
        "residual_channels": 8,
        "layers": 2,
        "cycle": 2,
        "embedding": 8,
        "sampling": {"steps": 3},
        "conditioning": BOTH,
    },
    "unet": {
        **IMAGE,
        "base": 8,
        "multipliers": [1, 2],
        "attention": [1],
        "head_channels": 8,
        "conditioning": BOTH,
    },
    "unet1d": {
        "event_shape": [1, 8],
        "patch": 2,
        "base": 8,
        "multipliers": [1, 2],
        "attention": [1],
        "head_channels": 8,
        "sampling": {"steps": 3},
        "conditioning": BOTH,
    },
    "dit": {**IMAGE, "hidden_size": 8, "depth": 2, "num_heads": 2, "conditioning": BOTH},
    "uvit": {**IMAGE, "embed_dim": 8, "depth": 2, "num_heads": 2, "conditioning": BOTH},
}
SHARED = {
    "parts": [
        {"name": "prompt", "modality": "tokens", "shape": ["length"], "size": 4, "padding": 0, "null": 0},
        {"name": "arm", "modality": "numbers", "shape": [2], "null": 0.0},
    ]
}


@pytest.mark.slow  # exports with a likelihood
@pytest.mark.sample("tarflow")
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
    options = {} if name == "tarflow" else {"steps": 4}
    density = model.log_prob(x, condition=given, **options).detach()
    np.testing.assert_allclose(bundle.log_prob(x.numpy(), condition=given, **options), density, atol=1e-3)
