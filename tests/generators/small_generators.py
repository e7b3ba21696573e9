"""Small models of the package zoo-generators."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "third_party" / "zoo-generators"))

from zoo.registry.cards import ModelCard

ALPHABET = ".abcde"


def gru(spread=0.7):
    """Short texts of five letters."""
    from zoo_generators.gru import GRU

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = GRU(event_shape=[5], symbols=len(ALPHABET), hidden=8)
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn(parameter.shape))
    return model.eval()


def walk():
    from zoo_generators.walk import Walk

    return Walk(event_shape=[4, 3]).eval()


def kernels():
    """A kernel density of points in the plane, which only scores."""
    from zoo_generators.kernels import Kernels

    model = Kernels(event_shape=[2], centres=9)
    model.prepare(torch.randn(9, 2, generator=torch.Generator().manual_seed(0)))
    return model.eval()


def card_of(name, model, **data):
    return ModelCard(
        name=name,
        family=model.family,
        architecture="",
        event_shape=tuple(model.event_shape),
        data={"name": "made", **data},
        samples=model.samples,
        length=model.length,
    )
