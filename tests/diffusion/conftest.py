"""Small diffusion models, shared by the tests of this folder."""

import pytest

torch = pytest.importorskip("torch")

from zoo_diffusion.unet import UNetDiffusion  # noqa: E402 - after the check for torch

CLASSES = {"kind": "classes", "size": 3, "labels": [], "required": False}


def tiny(**changes):
    """A U-Net diffusion over 8×8 images, with weights that are not those of a fresh model (whose output is zero)."""
    config = {
        "event_shape": [1, 8, 8],
        "base": 8,
        "multipliers": [1, 2],
        "attention": [1],
        "head_channels": 8,
        "condition": CLASSES,
        "shift": 8.0,
        "scale": 8.0,
        "data_min": 0.0,
        "data_max": 16.0,
        "sampling": {"steps": 4},
        **changes,
    }
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = UNetDiffusion(**config)
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


@pytest.fixture(scope="session")
def model():
    return tiny()


@pytest.fixture(scope="session", name="tiny")
def tiny_():
    return tiny
