"""Steps of training in a second of CPU, beside zuko and diffusers, with networks of equal sizes.

    python benchmarks/training.py                   # --turns 9 --steps 40 --only nsf-ar --compile

Ours train by the loop of ``zoo train``, whole: batches, seeds, checks of the gradient, log. The others train by a plain
loop around their loss, with batches that lie in memory, standardised, and the same optimizer: AdamW, by which torch
computes one parameter after the other on a CPU. All take turns in one process, on one thread, and a ratio is that of
the CPU times of one turn, the median of all turns being shown with its quartiles; so other load on the machine says
little. Above 1, ours is the faster. ``--compile`` measures ``training.compile`` and ``torch.compile`` of the others
too.

Needs zuko and diffusers (pip install 'genzoo[peers]').
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.benchmarking import Spread
from zoo.data import Dataset, Split
from zoo.models import building
from zoo.registry import Registry
from zoo.training import loop
from zoo.training.recipe import Recipe

LEARNING_RATE, ROWS = 1e-3, 20_000
#: steps before each turn is timed
WARMUP = 5


@dataclass(frozen=True)
class Pair:
    """An architecture of ours, and what it is compared with.

    Attributes:
        name: of the row.
        architecture: ours.
        config: of it.
        batch: samples a step.
        peer: makes the other's network, and its loss of a batch of standardised data.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    batch: int
    peer: Callable[[], tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]]


def zuko_flow(size: int, **options: Any) -> Callable[[], tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]]:
    """A neural spline flow of zuko, and its negative log-likelihood."""

    def make() -> tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]:
        import zuko

        return _Likelihood(zuko.flows.NSF(size, transforms=5, bins=8, **options)), lambda net, x: net(x)

    return make


class _Likelihood(nn.Module):
    """The loss as a forward pass, which torch.compile takes as a whole."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor) -> Tensor:
        loss: Tensor = -self.flow().log_prob(x).mean()
        return loss


UNET: dict[str, Any] = {
    "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "attention_head_dim": 32,
}


def diffusers_unet() -> tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]:
    """UNet2DModel, and the loop of diffusers' tutorial: noise added by DDPMScheduler, mean squared error."""
    from diffusers import DDPMScheduler, UNet2DModel

    scheduler = DDPMScheduler()

    def loss(network: nn.Module, x: Tensor) -> Tensor:
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        noisy = scheduler.add_noise(x, noise, t)
        return nn.functional.mse_loss(network(noisy, t, return_dict=False)[0], noise)

    return UNet2DModel(sample_size=16, in_channels=1, out_channels=1, **UNET), loss


def pairs() -> list[Pair]:
    """The rows."""
    eight, plain = {"event_shape": [8], "bins": 8, "transforms": 5}, {"linear": "permutation", "hidden": 64}
    image = {"event_shape": [1, 16, 16], **UNET}
    return [
        Pair("nsf-ar", "nsf-ar", {**eight, "hidden": [64, 64], "mixing": "reverse"}, 256, zuko_flow(8)),
        # three hidden layers of 64 each
        Pair(
            "nsf-coupling",
            "nsf-coupling",
            {**eight, **plain, "blocks": 1},
            256,
            zuko_flow(8, passes=2, hidden_features=(64, 64, 64)),
        ),
        # both as they are unless something else is said: ours has five hidden layers and matrices, theirs two layers
        Pair("nsf-coupling, defaults", "nsf-coupling", eight, 256, zuko_flow(8, passes=2)),
        Pair("unet2d", "unet2d", image, 16, diffusers_unet),
    ]


def data_for(shape: Sequence[int], seed: int = 0) -> Dataset:
    """Standard normal numbers, some of which depend on others."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(ROWS, *shape)).astype(np.float32)
    x[:, 1:] += 0.5 * x[:, :1] ** 2
    x = (x - x.mean(0)) / x.std(0)
    return Dataset("normal", Split(x), Split(x[:100]), Split(x[:100]))


def ours(pair: Pair, data: Dataset, registry: Registry, **training: Any) -> tuple[nn.Module, Callable[[int], float]]:
    """Our model, and what trains it for some steps and tells the CPU seconds that they took."""
    recipe = Recipe.from_dict(
        {
            "name": "timed",
            "model": {"architecture": pair.architecture, "config": pair.config},
            "data": {"name": "normal"},
            "training": {
                "batch_size": pair.batch,
                "learning_rate": LEARNING_RATE,
                "schedule": "constant",
                "checkpoint_every": 10**9,
                **training,
            },
        }
    )
    model = building.build(registry, pair.architecture, pair.config)

    def train(steps: int) -> float:
        times = []

        def report(*_: object) -> None:
            times.append(time.process_time())

        whole = replace(recipe, training=replace(recipe.training, steps=steps + WARMUP))
        with tempfile.TemporaryDirectory() as folder:
            loop.train(model, data, whole, Path(folder) / "checkpoint.safetensors", report=report)
        return times[-1] - times[WARMUP - 1]

    return model, train


def theirs(pair: Pair, data: Dataset, *, compiled: bool = False) -> tuple[nn.Module, Callable[[int], float]]:
    """The other's model, and what trains it for some steps and tells the CPU seconds that they took."""
    network, loss_of = pair.peer()
    called = torch.compile(network) if compiled else network
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    batches = batches_of(torch.from_numpy(data.train.x), pair.batch)

    def train(steps: int) -> float:
        began = 0.0
        for step in range(steps + WARMUP):
            if step == WARMUP:
                began = time.process_time()
            loss = loss_of(called, next(batches))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return time.process_time() - began

    return network, train


def batches_of(x: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of one epoch after the other, each in a new order."""
    while True:
        for chosen in torch.randperm(len(x)).split(size):
            if len(chosen) == size:
                yield x[chosen]


def in_turn(trains: dict[str, Callable[[int], float]], steps: int, turns: int) -> dict[str, list[float]]:
    """CPU seconds a step of each, turn by turn; every other turn runs in reverse order."""
    taken: dict[str, list[float]] = {name: [] for name in trains}
    for train in trains.values():
        train(2)
    for turn in range(turns):
        for name in list(trains)[:: -1 if turn % 2 else 1]:
            taken[name].append(trains[name](steps) / steps)
    return taken


def parameters(model: nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def compare(pair: Pair, registry: Registry, args: argparse.Namespace) -> Iterable[str]:
    """A row, and one for torch.compile."""
    data = data_for(pair.config["event_shape"])
    (model, train), (network, other) = ours(pair, data, registry), theirs(pair, data)
    trains = {"ours": train, "theirs": other}
    if args.compile:
        trains["ours compiled"] = ours(pair, data, registry, compile=True)[1]
        trains["theirs compiled"] = theirs(pair, data, compiled=True)[1]
    taken = in_turn(trains, args.steps if pair.batch > 16 else max(args.steps // 4, 5), args.turns)
    for kind in ("", " compiled")[: 2 if args.compile else 1]:
        mine, other_times = taken[f"ours{kind}"], taken[f"theirs{kind}"]
        ratio = Spread.of([b / a for a, b in zip(mine, other_times, strict=True)])
        sizes = f"{parameters(model):,} | {parameters(network):,}"
        times = " | ".join(f"{1e3 * Spread.of(each).median:.2f}" for each in (mine, other_times))
        yield f"| {pair.name}{kind} | {sizes} | {times} | {ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f}) |"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [pair.name for pair in pairs()]
    parser.add_argument("--only", nargs="*", default=names, choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--steps", type=int, default=40, help="in a turn; of images a quarter [40]")
    parser.add_argument("--turns", type=int, default=9, help="of each [9]")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too, which takes minutes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.discover()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {args.turns} turns of {args.steps} steps\n")
    print("| | parameters | theirs | ours, ms | theirs, ms | theirs / ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    for pair in pairs():
        if pair.name in args.only:
            for row in compare(pair, registry, args):
                print(row, flush=True)


if __name__ == "__main__":
    main()
