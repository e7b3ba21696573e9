"""Draw the README's figures of samplers and of editing with the shipped mnist-unet, or measure class agreement.

python scripts/figures.py                 # docs/images/samplers.png and docs/images/editing.png
python scripts/figures.py --agreement     # how often a classifier agrees, for few evaluations (needs MNIST)
python scripts/figures.py --agreement --sampler plms --sampler pndm --steps 10 --steps 20
python scripts/figures.py --agreement --neighbours --sampler pndm --steps 10 --samples 50     # without training a judge
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.runtime import BundledModel, load
from zoo.samplers.slerp import slerp

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
EVALUATIONS = (5, 8, 10, 20, 50)
#: samplers, and evaluations of each of their steps
SAMPLERS = {"ddpm": 1, "ddim": 1, "heun": 2, "deis": 1, "unipc": 1, "dpm-solver-pp": 1}
CLASSES = [2, 5, 8]
SCALE, GAP, LABEL = 2, 2, 108


@click.command()
@click.option("--agreement", is_flag=True, help="Measure class agreement instead of drawing.")
@click.option("--samples", default=200, show_default=True, help="Samples that are judged.")
@click.option("--sampler", "samplers", multiple=True, help="Judge this sampler, with its defaults; may be repeated.")
@click.option("--steps", multiple=True, type=click.IntRange(1), help="At so many steps instead of few evaluations.")
@click.option("--neighbours", is_flag=True, help="Judge by the nearest real digits instead of a trained classifier.")
def main(agreement: bool, samples: int, samplers: tuple[str, ...], steps: tuple[int, ...], neighbours: bool) -> None:
    """Draw, or measure."""
    registry = Registry.discover()
    folder = resolve(registry, "mnist-unet").bundle
    assert folder is not None
    model = load(folder, "cpu")
    if agreement:
        measure(model, registry, samples, samplers or tuple(SAMPLERS), steps, neighbours)
    else:
        few_steps(model)
        editing(model)


def few_steps(model: BundledModel) -> None:
    """Samplers by evaluations: the same three digits of one seed."""
    rows = []
    for name, each in SAMPLERS.items():
        cells = []
        for evaluations in EVALUATIONS:
            # the last step of Heun's method takes one evaluation
            steps = -(-(evaluations + each - 1) // each)
            x = model.sample(len(CLASSES), seed=0, condition=CLASSES, sampler=name, steps=steps, guidance=1.0)
            cells.append(strip(x))
        rows.append((name, cells))
    save(rows, [f"{n} evaluations" for n in EVALUATIONS], IMAGES / "samplers.png")


def editing(model: BundledModel) -> None:
    """From data, around data, back to noise, and in between."""
    solver: dict[str, Any] = {"sampler": "dpm-solver-pp", "steps": 20}
    n = 10
    digits = model.sample(n, seed=0, condition=range(n), **solver)
    strengths = np.linspace(0.1, 1.0, n)
    turned = [
        model.sample(1, seed=5, condition=3, init=digits[8], strength=float(s), guidance=2.0, **solver)[0]
        for s in strengths
    ]
    mask = np.zeros(model.event_shape)
    mask[..., 14:] = 1
    cut = np.where(mask == 1, np.float32(96), digits)
    filled = model.sample(n, seed=1, condition=range(n), init=digits, mask=mask, **solver)
    noise = model.encode(digits, condition=list(range(n)), steps=30)
    back = model.sample(
        n, condition=range(n), noise=noise, seed=0, guidance=1.0, sampler="heun", steps=30, spacing="karras"
    )
    ends = model.encode(digits[[4, 9]], condition=[4, 9], steps=30)
    way = np.stack([slerp(ends[0], ends[1], u) for u in np.linspace(0, 1, n)])
    between = model.sample(n, condition=[4] * 5 + [9] * 5, noise=way, seed=0, guidance=1.0, **solver)
    rows = [
        ("samples", digits),
        ("an 8 to a 3,\nby strength", np.stack(turned)),
        ("right half\nmasked", cut),
        ("sampled anew", filled),
        ("encoded and\ndecoded", back),
        ("from a 4 to a 9", between),
    ]
    save([(name, [strip(x[i : i + 1]) for i in range(n)]) for name, x in rows], [], IMAGES / "editing.png")


def strip(x: np.ndarray) -> np.ndarray:
    """Images ``[n, 1, height, width]`` in 0..256 side by side."""
    return np.concatenate([np.clip(image[0], 0, 255).astype(np.uint8) for image in x], axis=1)


def save(rows: list[tuple[str, list[np.ndarray]]], heads: list[str], path: Path) -> None:
    """A grid of images with labels at its left and top."""
    height, width = (SCALE * size for size in rows[0][1][0].shape)
    top = 22 if heads else 2
    size = (LABEL + len(rows[0][1]) * (width + GAP * 2), top + len(rows) * (height + GAP * 2))
    canvas = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for j, head in enumerate(heads):
        draw.text((LABEL + j * (width + GAP * 2) + width // 2, 4), head, fill=40, font=font, anchor="ma")
    for i, (name, cells) in enumerate(rows):
        y = top + i * (height + GAP * 2)
        draw.multiline_text((6, y + height // 2), name, fill=40, font=font, anchor="lm")
        for j, cell in enumerate(cells):
            image = Image.fromarray(cell).resize((width, height), Image.Resampling.BICUBIC)
            canvas.paste(image, (LABEL + j * (width + GAP * 2), y))
    canvas.quantize(32).save(path, optimize=True)


def measure(
    model: BundledModel,
    registry: Registry,
    samples: int,
    samplers: tuple[str, ...],
    counts: tuple[int, ...],
    neighbours: bool,
) -> None:
    """How often a classifier of real digits sees the class that was asked for."""
    from zoo.training.data import load_data

    data = load_data(registry.dataset("mnist"), {}, registry)
    judge = nearest(data) if neighbours else trained(data)
    classes = (np.arange(samples) % 10).astype(np.int32)
    for name in samplers:
        each = SAMPLERS.get(name, 1)
        # so many steps, or as many as evaluations pay for
        cases = {f"{n:>3} steps": n for n in counts} or {
            f"{n:>3} evaluations": -(-(n + each - 1) // each) for n in (5, 8, 10)
        }
        for what, steps in cases.items():
            x = model.sample(samples, seed=1, condition=classes, sampler=name, steps=steps)
            click.echo(f"{name:<16}{what}: {np.mean(judge(x) == classes):.1%} of {samples}")
    # two parts of ten for the slower judge
    parts = list(zip(np.split(data.test.x, 10), np.split(data.test.condition, 10), strict=True))[
        : 2 if neighbours else 10
    ]
    right = np.mean([np.mean(judge(x) == label) for x, label in parts])
    click.echo(f"the judge is right on {right:.2%} of {sum(len(x) for x, _ in parts):,} test images")


def trained(data: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The judge of ``zoo eval``, from images to classes."""
    import torch

    from zoo.metrics.agreement import as_real, train_classifier

    judge = train_classifier(data)

    def classes(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            classes: np.ndarray = judge(torch.from_numpy(as_real(data, x).astype(np.float32))).argmax(1).numpy()
        return classes

    return classes


def nearest(data: Any, count: int = 12_000) -> Callable[[np.ndarray], np.ndarray]:
    """The class that most of the three nearest of so many real digits have, of 2×2 pixels averaged."""

    def averaged(x: np.ndarray) -> np.ndarray:
        real = np.floor(x).clip(0, 255).astype(np.float32)
        return real.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(len(x), -1)

    known, labels = averaged(data.train.x[:count]), data.train.condition[:count]
    squares = (known**2).sum(1)

    def classes(x: np.ndarray) -> np.ndarray:
        closest = np.argpartition(squares - 2 * averaged(x) @ known.T, 3, axis=1)[:, :3]
        return np.array([np.bincount(votes, minlength=10).argmax() for votes in labels[closest]])

    return classes


if __name__ == "__main__":
    main()
