"""Density estimation on real tables: flows against a Gaussian and a kernel density, by cross-validation.

    python benchmarks/tables.py                    # --tables wine breast-cancer diabetes --folds 5

Every row is tested on once, by models fitted without it; what a model can choose (when to stop, a bandwidth, a
shrinkage) is chosen on validation rows, which are neither trained nor tested on. Rounded numbers get uniform noise as
wide as their last decimal, five times for a test row. Log-likelihoods are of columns divided by their standard
deviation, so that they can be compared between tables; higher is better.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import KernelDensity

from zoo.data import Dataset, Split
from zoo.models import building
from zoo.registry import Registry
from zoo.training import loop
from zoo.training.data import load_data
from zoo.training.recipe import Recipe

#: of both flows; a small table is overfitted in seconds, so the best evaluation is kept
TRAINING = {
    "steps": 1500,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "warmup": 50,
    "weight_decay": 1.0,
    "gradient_clip": 5.0,
    "ema": 0.98,
    "evaluate_every": 25,
    "checkpoint_every": 100_000,
    "keep": "best",
}
FLOWS: dict[str, dict[str, Any]] = {
    "nsf-coupling": {"transforms": 4, "hidden": 48, "blocks": 1, "bins": 5, "bound": 4.0, "dropout": 0.3},
    "maf": {"transforms": 4, "hidden": [64], "mixing": "lu"},
}
#: shares of the unit matrix in a covariance, and widths of kernels in standard deviations
SHRINKAGES, BANDWIDTHS = np.geomspace(1e-4, 0.5, 30), np.geomspace(0.05, 2.0, 30)
_DEQUANTISATIONS = 5

Rows = NDArray[np.float64]
#: log-densities of rows
Score = Callable[[Rows], NDArray[np.float64]]


def main() -> None:
    """Fit, and print a row a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", default=["wine", "breast-cancer", "diabetes"])
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)  # networks so small only wait for one another
    registry = Registry.discover()
    names = [*FLOWS, "gaussian", "kernel density"]
    print(f"mean held-out log-likelihood in nats a row, ± its standard error; {args.folds} folds\n")
    print(
        f"{'table':<15}{'rows':>6}{'columns':>9}" + "".join(f"{name:>20}" for name in names) + f"{'nsf − gaussian':>20}"
    )
    for table in args.tables:
        began = time.perf_counter()
        scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
        for fold in range(args.folds):
            data = load_data(registry.dataset(table), {"fold": fold, "folds": args.folds}, registry)
            for name, values in held_out(data, registry).items():
                scores[name].append(values)
        rows = {name: np.concatenate(values) for name, values in scores.items()}
        cells = [*rows.values(), rows["nsf-coupling"] - rows["gaussian"]]
        told = "".join(f"{c.mean():>12.2f} ± {c.std() / math.sqrt(len(c)):<5.2f}" for c in cells)
        print(
            f"{table:<15}{len(cells[0]):>6}{data.event_shape[0]:>9}{told}   {time.perf_counter() - began:.0f} s",
            flush=True,
        )


def held_out(data: Dataset, registry: Registry) -> dict[str, NDArray[np.float64]]:
    """Of each way, the log-likelihood of each test row."""
    assert data.grain is not None
    noise = np.random.default_rng(0)
    # of all rows, for units that do not depend on the fold
    every = np.concatenate([split.x for split in (data.train, data.validation, data.test)])
    unit = every.std(0, dtype=np.float64)

    def dequantised(split: Split, times: int) -> Rows:
        rows = np.repeat(split.x[None].astype(np.float64), times, 0)
        return np.concatenate(rows + data.grain * noise.random(rows.shape)) / unit

    train, validation = dequantised(data.train, _DEQUANTISATIONS), dequantised(data.validation, 1)
    ways: dict[str, Score] = {name: flow(name, config, data, unit, registry) for name, config in FLOWS.items()}
    ways["gaussian"] = best([gaussian(train, share) for share in SHRINKAGES], validation)
    ways["kernel density"] = best(
        [KernelDensity(bandwidth=width).fit(train).score_samples for width in BANDWIDTHS], validation
    )
    test = dequantised(data.test, _DEQUANTISATIONS)
    return {name: score(test).reshape(_DEQUANTISATIONS, -1).mean(0) for name, score in ways.items()}


def flow(name: str, config: dict[str, Any], data: Dataset, unit: Rows, registry: Registry) -> Score:
    """A trained flow, of rows divided by ``unit``."""
    recipe = Recipe.from_dict(
        {
            "name": f"{data.name}-{name}",
            "model": {"architecture": name, "config": {"event_shape": list(data.event_shape), **config}},
            "data": {"name": data.name},
            "training": TRAINING,
        }
    )
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        model = building.build(registry, name, recipe.model.config)
        result = loop.train(model, data, recipe, Path(folder) / "checkpoint.safetensors")
    assert result is not None
    model.load_state_dict({key: torch.from_numpy(value) for key, value in result.arrays.items()})
    model.eval()

    @torch.no_grad()
    def score(rows: Rows) -> NDArray[np.float64]:
        return model.log_prob(torch.from_numpy((rows * unit).astype(np.float32))).double().numpy() + np.log(unit).sum()

    return score


def gaussian(rows: Rows, share: float) -> Score:
    """The normal distribution with the mean of the rows, and their covariance shrunk towards its diagonal."""
    mean, covariance = rows.mean(0), np.cov(rows.T)
    covariance = (1 - share) * covariance + share * np.diag(np.diag(covariance))
    lower = np.linalg.cholesky(covariance)
    constant = -np.log(np.diag(lower)).sum() - 0.5 * rows.shape[1] * math.log(2 * math.pi)
    return lambda x: constant - 0.5 * np.square(np.linalg.solve(lower, (x - mean).T)).sum(0)


def best(ways: list[Score], validation: Rows) -> Score:
    """The way that validation rows are likeliest by."""
    return max(ways, key=lambda way: float(way(validation).mean()))


if __name__ == "__main__":
    main()
