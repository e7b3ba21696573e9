"""Draw posteriors beside the reference ones of sbibm, and whether they are calibrated, for docs/images/models.

    python scripts/posteriors.py two-moons-posterior slcp-posterior

Left, samples given one of the observations of sbibm, over its reference samples; right, ranks of simulation-based
calibration (Talts et al. 2018, arXiv:1804.06788). Needs `pip install --no-deps sbibm`; figures are those of
`zoo eval NAME --metric calibration`, and `zoo eval NAME --metric reference-posterior --samples 10000`.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from matplotlib.figure import Figure

from zoo.metrics.evaluation import Evaluation
from zoo.metrics.posterior import ranks
from zoo.metrics.report import draw_ranks
from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.runtime import load
from zoo.training.data import load_data
from zoo.training.recipe import Recipe
from zoo_data.reference import TASKS, as_part, observed

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images" / "models"
#: the two parameters that are drawn, of the posterior of which observation
SHOWN = {"two-moons": (0, 1, 1), "slcp": (2, 3, 1)}
_SAMPLES = 2000


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--folder", default=PICTURES, type=click.Path(path_type=Path), help="Where pictures go.")
def main(models: tuple[str, ...], folder: Path) -> None:
    """Draw a picture for each of MODELS."""
    registry = Registry.discover()
    for name in models:
        source = resolve(registry, name)
        assert source.card is not None
        assert source.card.recipe is not None
        assert source.bundle is not None
        recipe = Recipe.from_dict(source.card.recipe)
        # the test split is the same for any number of simulations to train on
        data = load_data(registry.dataset(recipe.data.name), {**recipe.data.options, "train": 1}, registry)
        evaluation = Evaluation(model=load(source.bundle, "cpu"), data=data)
        figure = Figure(figsize=(9.0, 3.6), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
        first, second, number = SHOWN[data.name]
        observation, reference = observed(TASKS[data.name], number)
        assert evaluation.model.condition is not None
        condition = as_part(evaluation.model.condition, observation)
        drawn = np.asarray(evaluation.model.sample(_SAMPLES, condition=condition, seed=0))
        both = ((reference[:_SAMPLES], "#b0b0b0", 6.0, "reference"), (drawn, "#1f77b4", 1.5, source.name))
        for x, colour, size, label in both:
            left.plot(x[:, first], x[:, second], ".", color=colour, markersize=size, label=label)
        left.set_xlabel(f"parameter {first + 1}")
        left.set_ylabel(f"parameter {second + 1}")
        left.legend(fontsize=7)
        ranked = ranks(evaluation)
        assert ranked is not None
        draw_ranks(right, ranked)
        path = folder / f"{source.name}-calibration.png"
        figure.savefig(path, dpi=100, metadata={"Software": None})
        click.echo(f"wrote {path}")


if __name__ == "__main__":
    main()
