"""What a distilled model draws in few steps, beside its teacher: class agreement, and distance from real data.

    python scripts/few_steps.py                                # the table of docs/diffusion.md, in a quarter of an hour
    python scripts/few_steps.py --steps 1 2 --samples 250

Samples are drawn in PyTorch, in bfloat16. Agreement and Fréchet distance are by a classifier of the real data, so
the distance is no FID; as many training images stand beside it.
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

_BATCH = 125


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
    click.echo(f"training images: distance {frechet_distance(features(classifier, data.train.x[rows]), real):.1f}")
    classes = (np.arange(samples) % len(data.labels)).astype(np.int32)
    for model_name, counts in ((teacher, steps), (student, [count for count in steps if count <= 4])):
        model = building.load(registry, model_name)
        for count in counts:
            x = drawn(model, classes, count)
            verdict = classify_samples(classifier, data, x, classes)
            distance = frechet_distance(features(classifier, as_real(data, x)), real)
            click.echo(f"{model_name}, {count} steps: agreement {verdict.agreement:.1%}, distance {distance:.1f}")


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
