"""How close flows come to densities whose entropy is known, beside zuko on the same samples; and 8×8 digits.

    python benchmarks/densities.py        # --data moons eight-gaussians checkerboard circles digits

A gap is the mean negative log-likelihood of 20,000 test samples minus the entropy, in nats: 0 for the true density.
Both flows get the same 3,000 batches of 512 out of 100,000 samples; ours is `nsf-coupling` as `recipes/moons-nsf.toml`
has it, zuko's its NSF with couplings and its other defaults, by Adam at 1e-3 with a cosine. The entropy and the 20,000
samples are the same for both, so the error of their difference is much smaller than that of either gap.

The digits are whole numbers 0 … 16 with uniform noise; the flow is `recipes/digits-nsf.toml` without the classes.
Needs zuko for its column (pip install zuko==1.6.0), and goes on without.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data import Dataset
from zoo.metrics.density import held_out_density
from zoo.models import building
from zoo.registry import Registry
from zoo.training import feeding, loop
from zoo.training.data import load_data
from zoo.training.recipe import Recipe

RECIPES = Path(__file__).parent.parent / "recipes"


def main() -> None:
    """Train, and print a row a density."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", nargs="*", default=["moons", "eight-gaussians", "checkerboard", "circles", "digits"], metavar="NAME"
    )
    parser.add_argument("--steps", type=int, default=3000)
    args = parser.parse_args()
    registry = Registry.discover()
    planar = [name for name in args.data if name != "digits"]
    if planar:
        print(f"gaps in nats after {args.steps} steps of 512; ± is the standard error of what stands before it\n")
        print(f"{'density':<17}{'entropy':>9}{'nsf-coupling':>18}{'zuko NSF':>18}{'ours − theirs':>20}{'times':>14}")
    for name in planar:
        compare(name, args.steps, registry)
    if "digits" in args.data:
        digits(registry)


def compare(name: str, steps: int, registry: Registry) -> None:
    """A row."""
    recipe = adapted("moons-nsf", name, {}, steps=steps)
    recipe.data.options.pop("noise", None)
    data = load_data(registry.dataset(name), recipe.data.options, registry)
    assert data.entropy is not None
    began = time.perf_counter()
    model = trained(recipe, data, registry)
    with torch.no_grad():
        ours = -model.log_prob(torch.from_numpy(data.test.x).float()).double().numpy()
    between = time.perf_counter()
    theirs = zuko_nll(data, recipe)
    after = time.perf_counter()
    cells = [told(ours - data.entropy), "not installed", ""]
    if theirs is not None:
        cells[1:] = [told(theirs - data.entropy), told(ours - theirs)]
    seconds = f"{between - began:.0f} s, {after - between:.0f} s"
    print(f"{name:<17}{data.entropy:>9.4f}{cells[0]:>18}{cells[1]:>18}{cells[2]:>20}{seconds:>14}", flush=True)


def digits(registry: Registry) -> None:
    """The line of the digits."""
    recipe = adapted("digits-nsf", "digits", {"condition": None})
    data = load_data(registry.dataset("digits"), {}, registry)
    result = held_out_density(trained(recipe, data, registry), data)["test_bits_per_dim"]
    value = f"{result['value']:.3f} ± {result['standard_error']:.3f} bits/dim"
    print(f"\ndigits 8×8, any digit: {value} on {result['samples']} images")


def adapted(recipe: str, data: str, config: dict[str, object], **training: int) -> Recipe:
    """A shipped recipe for other data."""
    base = Recipe.from_file(RECIPES / f"{recipe}.toml")
    return replace(
        base,
        model=replace(base.model, config={**base.model.config, **config}),
        data=replace(base.data, name=data, options=dict(base.data.options)),
        training=replace(base.training, checkpoint_every=10**9, **training),
    )


def trained(recipe: Recipe, data: Dataset, registry: Registry) -> torch.nn.Module:
    """A flow as ``zoo train`` would make it."""
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(recipe.training.seed)
        model = building.build(registry, recipe.model.architecture, recipe.model.config)
        result = loop.train(model, data, recipe, Path(folder) / "checkpoint.safetensors")
    assert result is not None
    model.load_state_dict({name: torch.from_numpy(array) for name, array in result.arrays.items()})
    return model.eval()


def zuko_nll(data: Dataset, recipe: Recipe) -> NDArray[np.float64] | None:
    """Negative log-likelihoods of the test samples by zuko's flow, of standardised data."""
    try:
        import zuko
    except ImportError:
        return None
    settings = recipe.training
    mean, deviation = data.train.x.mean(0), data.train.x.std(0)
    train, test = (torch.from_numpy((split.x - mean) / deviation).float() for split in (data.train, data.test))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        flow = zuko.flows.NSF(2, transforms=5, passes=2, hidden_features=(64, 64))
        optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
        for step in range(settings.steps):
            chosen = feeding.indices_of(len(train), settings, step)
            loss = -flow().log_prob(train[torch.from_numpy(chosen)]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return -flow().log_prob(test).double().numpy() + float(np.log(deviation).sum())


def told(values: NDArray[np.float64]) -> str:
    """A mean and its standard error."""
    return f"{values.mean():.4f} ± {values.std() / math.sqrt(len(values)):.4f}"


if __name__ == "__main__":
    main()
