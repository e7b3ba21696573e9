"""What it saves to encode a condition once: sampling with the encoder in every step, once, and once by hand.

    python benchmarks/conditions.py                 # --repeats 7 --threads 1

Two models are built and exported twice each: as they are, and with their encoder in the step graph. "once" is
``bundle.sample(n, condition=...)``; "by hand" calls the encoder's graph and then the step graph with nothing around
them but ONNX Runtime and the rows of the same table, the noise drawn beforehand. The three run in turn, and the ratios
are medians over the repeats, each of one turn.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.exporting import export
from zoo.models.encoders import ConditionEncoder
from zoo.noise import normal
from zoo.runtime import BundledModel, load
from zoo.runtime.ort import onnxruntime
from zoo.samplers.table import FREE
from zoo_diffusion.conditioning import evaluated
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.unet1d import UNet1dDiffusion

Values = dict[str, Any]

#: an action chunk [16, 2] given a picture and the angles of an arm, and one given the ids of a text
POLICY: Values = {
    "event_shape": [16, 2],
    "channels_last": True,
    "layout": "diffusion-policy",
    "down_dims": [32, 64],
    "step_embedding": 32,
    "likelihood": False,
}
PARTS: Mapping[str, Values] = {
    "picture": {
        "condition": {
            "parts": [
                {"name": "image", "modality": "image", "shape": [3, 32, 32], "minimum": 0.0, "maximum": 1.0},
                {"name": "arm", "modality": "numbers", "shape": [5]},
            ]
        },
        "conditioning": {"image": {"channels": [32, 64, 64], "width": 64}},
    },
    "text": {
        "condition": {"parts": [{"name": "prompt", "modality": "tokens", "shape": ["length"], "size": 64}]},
        "conditioning": {"prompt": {"by": "embedding", "width": 64, "layers": 2}},
    },
}
#: model, samples of one observation, steps
CASES = [("picture", 1, 10), ("picture", 1, 50), ("picture", 16, 50), ("text", 1, 50)]
WAYS = ("in every step", "once", "by hand")


class InEveryStep(nn.Module):
    """A network that encodes the condition itself, whenever it is called."""

    def __init__(self, network: nn.Module, encoder: ConditionEncoder) -> None:
        super().__init__()
        self.network, self.encoder = network, encoder

    def forward(self, x: Tensor, time: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """As a network of :class:`~zoo_diffusion.diffusion.Diffusion` that takes named parts."""
        return evaluated(self.network, self.encoder, x, time, self.encoder(condition))


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"ONNX Runtime {onnxruntime().__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(f"DDIM, {args.threads} thread(s), medians of {args.repeats} turns; milliseconds, and ratios of one turn")
    print(f"{'given':<10}{'n':>4}{'K':>4}{''.join(f'{way:>15}' for way in WAYS)}{'every/once':>12}{'once/hand':>11}")
    with tempfile.TemporaryDirectory() as scratch:
        bundles = {name: exported(name, Path(scratch), args.threads) for name in PARTS}
        for name, n, steps in CASES:
            turns = measured(*bundles[name], observation(name), n, steps, args.repeats)
            medians = [1e3 * statistics.median(column) for column in zip(*turns, strict=True)]
            ratios = [statistics.median(a[i] / a[i + 1] for a in turns) for i in range(2)]
            shown = "".join(f"{value:>15.1f}" for value in medians)
            print(f"{name:<10}{n:>4}{steps:>4}{shown}{ratios[0]:>12.2f}{ratios[1]:>11.2f}")


def exported(name: str, folder: Path, threads: int) -> tuple[BundledModel, BundledModel]:
    """A model's bundles, the encoder in the step graph and once, with the same weights."""
    torch.manual_seed(0)
    once = UNet1dDiffusion(**POLICY, **PARTS[name]).eval()
    with torch.no_grad():
        for parameter in once.parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.1)
    assert once.encoder_module is not None
    network = InEveryStep(once.network, once.encoder_module)
    every = Diffusion(network, once.event_shape, condition=once.condition, likelihood=False).eval()
    bundles = [load(export(model, folder / f"{name}-{i}"), "cpu", threads) for i, model in enumerate((every, once))]
    return bundles[0], bundles[1]


def observation(name: str) -> Values:
    """What all samples are conditioned on."""
    random = np.random.default_rng(0)
    if name == "text":
        return {"prompt": random.integers(64, size=24).astype(np.int32)}
    return {"image": random.uniform(size=(3, 32, 32)).astype(np.float32), "arm": random.normal(size=5)}


def measured(
    every: BundledModel, once: BundledModel, condition: Values, n: int, steps: int, repeats: int
) -> list[Sequence[float]]:
    """Seconds of each way in each turn, once all are warm and agree."""
    options = {"condition": condition, "seed": 0, "sampler": "ddim", "steps": steps}
    ways: list[Callable[[], NDArray[Any]]] = [
        lambda: every.sample(n, **options),
        lambda: once.sample(n, **options),
        by_hand(once, condition, n, steps),
    ]
    results = [way() for way in ways]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-4)
    turns = []
    for _ in range(repeats):
        turn = []
        for way in ways:
            begin = time.perf_counter()
            way()
            turn.append(time.perf_counter() - begin)
        turns.append(turn)
    return turns


def number(value: float) -> NDArray[np.float32]:
    """A float32 array of no axes."""
    return np.array(value, np.float32)


def by_hand(bundle: BundledModel, condition: Values, n: int, steps: int) -> Callable[[], NDArray[Any]]:
    """What somebody writes who knows these graphs: two sessions and a loop over DDIM's rows."""
    encoder, step = (bundle.session(name)._session for name in ("condition", "step"))
    table = bundle.table("ddim", steps)
    assert table is not None
    state_shape = bundle.manifest.event_shape
    described = bundle.manifest.condition
    assert described is not None
    noise = np.float32(table.initial_scale) * normal(0, n, state_shape)
    nothing, whole = np.zeros((n, *state_shape), np.float32), np.ones((n, *state_shape), np.float32)
    names = [output.name for output in encoder.get_outputs()]
    rows = [
        {
            "time": number(row.time),
            "alpha": number(row.alpha),
            "sigma": number(row.sigma),
            "clip": number(min(row.clip, FREE)),
            "noise_scale": number(0.0),
            "rescale": number(0.0),
            "matrix": np.asarray(row.matrix, np.float32),
            "noise": nothing,
            "weights": np.ones(1, np.float32),
            "known": nothing,
            "mask": whole,
        }
        for row in table
    ]

    def sample() -> NDArray[Any]:
        arrays, _ = described.distinct(condition, 1)
        encoded = dict(zip(names, encoder.run(None, arrays), strict=True))
        repeated = {name: np.broadcast_to(each, (1, n, *each.shape[1:])) for name, each in encoded.items()}
        repeated = {name: np.ascontiguousarray(each) for name, each in repeated.items()}
        x = noise[None]
        for row in rows:
            x = step.run(["next_state"], {"state": x, **row, **repeated})[0]
        return np.asarray(x[0])

    return sample


if __name__ == "__main__":
    main()
