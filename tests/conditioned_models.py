"""The conditional models that people deploy, as a recipe and data each, for the tests of bundles and of all targets.

A policy on a picture and a state, an upscaler, an image of a text, a posterior with an embedding network, and a flow of
which a picture is the context: all of built-in architectures. Loaded from its path.
"""

import tomllib

import numpy as np
import pytest

from zoo.data import Dataset, Split
from zoo.registry import Registry
from zoo.training import data, run
from zoo.training.recipe import Recipe

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


def trained(name, folder):
    """Train a model by its recipe into a folder."""
    recipe, make, _ = MODELS[name]
    x, parts = make(np.random.default_rng(0))
    ends = [slice(0, 64), slice(64, 80), slice(80, 96)]
    splits = [Split(x[i].astype(np.float32), {key: part[i] for key, part in parts.items()}) for i in ends]
    given = tomllib.loads(f'name = "{name}"\n[data]\nname = "moons"\n{recipe}{TRAINING}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load_data", lambda *_: Dataset("moons", *splits))
        assert run.train_recipe(Recipe.from_dict(given), folder, Registry.discover()) is not None
    return folder
