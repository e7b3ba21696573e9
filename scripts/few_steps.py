"""What a distilled model draws in few steps, beside its teacher: class agreement, and distance from real data.

    python scripts/few_steps.py                                # the table of docs/diffusion.md, in a quarter of an hour
    python scripts/few_steps.py --steps 1 --steps 2 --samples 300
    python scripts/few_steps.py --student runs/mnist-unet-consistency

Samples are drawn in PyTorch, in bfloat16. Agreement and Fréchet distance are by a classifier of the real data, so
the distance is no FID; as many training images stand beside it. Haze is the share of dark grey pixels, of levels 1 to
30 of 255, of which pictures of digits have few.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from zoo.metrics.agreement import as_real, classify_samples, features, train_classifier
from zoo.metrics.distance import frechet_distance
from zoo.models import building
from zoo.registry import Registry
from zoo.training.data import load_data

_BATCH, _DARK = 125, 30


@click.command()
@click.option("--teacher", default="mnist-unet", show_default=True)
@click.option("--student", default="mnist-unet-consistency", show_default=True)
@click.option("--data", "name", default="mnist", show_default=True)
@click.option("--steps", multiple=True, type=int, default=(1, 2, 4, 50), show_default=True)
@click.option("--samples", default=1000, show_default=True)
def main(teacher: str, student: str, name: str, steps: tuple[int, ...], samples: int) -> None:
    """Print a row for each model and number of steps; the student is drawn in four steps at most."""
    registry = Registry.discover()
    data = load_data(registry.dataset(name), {}, registry)
    classifier = train_classifier(data)
    real = features(classifier, data.test.x)
    rows = np.random.default_rng(1).permutation(len(data.train))[:samples]
    floor = frechet_distance(features(classifier, data.train.x[rows]), real)
    click.echo(f"training images: distance {floor:.1f}, haze {haze(data.train.x[rows]):.1%}")
    classes = (np.arange(samples) % len(data.labels)).astype(np.int32)
    for model_name, counts in ((teacher, steps), (student, [count for count in steps if count <= 4])):
        model = building.load(registry, model_name)
        for count in counts:
            x = drawn(model, classes, count)
            verdict = classify_samples(classifier, data, x, classes)
            distance = frechet_distance(features(classifier, as_real(data, x)), real)
            told = f"agreement {verdict.agreement:.1%}, distance {distance:.1f}, haze {haze(as_real(data, x)):.1%}"
            click.echo(f"{model_name}, {count} steps: {told}")


def haze(x: NDArray[Any]) -> float:
    """The share of pixels that are dark grey."""
    return float(((x >= 1) & (x <= _DARK)).mean())


def drawn(model: Any, classes: NDArray[np.int32], steps: int) -> NDArray[np.float32]:
    """Samples of these classes, a batch after the other."""
    with torch.autocast("cpu", torch.bfloat16):
        parts = [
            model.sample(len(part), seed=1 + i, condition=part, steps=steps).float().numpy()
            for i, part in enumerate(np.split(classes, range(_BATCH, len(classes), _BATCH)))
        ]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
