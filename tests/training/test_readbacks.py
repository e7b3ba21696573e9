"""A training step reads nothing back from the device: an accelerator would stand still until it came.

Tensors on torch's device ``meta`` have shapes and no numbers. So whatever asks such a tensor for a number, an array or
a copy on the CPU fails, where on a GPU it would wait.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo  # noqa: E402 - after the check for torch
from zoo.data import Dataset, Split  # noqa: E402
from zoo.models.building import build  # noqa: E402
from zoo.training.feeding import Feed  # noqa: E402
from zoo.training.loop import _step  # noqa: E402
from zoo.training.parallel import Replicas  # noqa: E402
from zoo.training.recipe import TrainingRecipe  # noqa: E402

CLASSES, VECTOR = {"kind": "classes", "size": 3}, {"kind": "vector", "size": 2}
SMALL = {"event_shape": [4], "transforms": 2, "hidden": 8}
AUTOREGRESSIVE = {**SMALL, "hidden": [8]}
IMAGE = {"event_shape": [1, 8, 8]}
CONFIGS = {
    "adm": {**IMAGE, "model_channels": 32, "num_res_blocks": 1},
    "cnf": {"event_shape": [4], "hidden": 8},
    "diffwave": {"event_shape": [1, 16]},
    "dit": {**IMAGE},
    "glow": {**IMAGE, "hidden": 8},
    "iaf": AUTOREGRESSIVE,
    "maf": AUTOREGRESSIVE,
    "masked": {"event_shape": [4], "levels": 5, "width": 8, "layers": 1, "heads": 2},
    "mlp": {"event_shape": [4], "hidden": 8, "blocks": 1},
    "naf": AUTOREGRESSIVE,
    "nice": SMALL,
    "nsf-ar": AUTOREGRESSIVE,
    "nsf-circular": SMALL,
    "nsf-coupling": SMALL,
    "pixelcnn": {**IMAGE},
    "planar": {"event_shape": [4], "transforms": 2},
    "radial": {"event_shape": [4], "transforms": 2},
    "realnvp": SMALL,
    "residual": SMALL,
    "sylvester": {"event_shape": [4], "transforms": 2},
    "tarflow": {**IMAGE},
    "umnn": AUTOREGRESSIVE,
    "unet": {**IMAGE, "multipliers": [1, 2], "attention": []},
    "unet1d": {"event_shape": [1, 256]},
    "unet2d": {**IMAGE},
    "uvit": {**IMAGE},
}


#: of vectors there is a sample: a network of each kind, a flow of each direction
CASES = [(name, CLASSES) for name in CONFIGS] + [(name, VECTOR) for name in ("cnf", "maf", "mlp", "realnvp", "unet")]


def _name(value):
    return value if isinstance(value, str) else value["kind"]


def on_meta(architecture, condition):
    config = CONFIGS[architecture] | {"condition": condition}
    return build(zoo.installed(), architecture, config).train().to("meta")


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """Torch knows none for this device, not even whether it is on."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)


def test_no_architecture_is_left_out():
    names = {item.description.name for item in zoo.installed().items("architecture") if item.plugin.builtin}
    # an autoencoder has no condition, and a diffusion of its latents needs the weights of one
    assert names - set(CONFIGS) == {"kl-autoencoder", "latent"}


@pytest.mark.parametrize(
    ("architecture", "condition"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_loss_reads_nothing_back(architecture, condition):
    model = on_meta(architecture, condition)
    x = torch.empty(6, *model.event_shape, device="meta")
    value = {"classes": torch.zeros(6, dtype=torch.int64), "vector": torch.zeros(6, 2)}[condition["kind"]]
    model.loss(x, condition=value.to("meta")).backward()
    assert any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("condition", [CLASSES, VECTOR], ids=["classes", "vectors"])
def test_a_step_reads_loss_and_gradient_back_at_once(condition, monkeypatch, tmp_path):
    model = on_meta("mlp", condition)
    given = {"classes": np.zeros(16, np.int32), "vector": np.zeros((16, 2), np.float32)}[condition["kind"]]
    split = Split(np.zeros((16, 4), np.float32), given)
    read = []

    def tolist(tensor):
        read.append(tuple(tensor.shape))
        return [0.0] * len(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", tolist)
    settings = TrainingRecipe(steps=1, batch_size=8, learning_rate=1e-3)
    optimizer = torch.optim.AdamW(model.parameters())
    _step(
        model,
        model,
        optimizer,
        Dataset("d", split, split, split),
        settings,
        0,
        None,
        tmp_path / "checkpoint",
        Replicas(model),
        Feed(split, lambda: iter(()), workers=0),
    )
    assert read == [(2,)]
