"""Held-out emoji that a model draws from other pictures of them: a picture, and whether they show their label.

    python scripts/emoji_pictures.py compare emoji-upscale -o docs/images/models/emoji-upscale.png
    python scripts/emoji_pictures.py sources emoji-upscale -o docs/images/small.png    # what to draw from
    python scripts/emoji_pictures.py labels emoji-upscale    # by the judge of scripts/emoji_judge.py
    python scripts/emoji_pictures.py settings runs/emoji-upscale --steps 1 --steps 2    # what to sample with

How far samples are from the truth is what `zoo eval emoji-upscale --metric reconstruction` measures.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import emoji_judge
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import zoo
from zoo.data import Dataset
from zoo.files import write_bytes, write_text
from zoo.metrics.pictures import fitted, root_mean_square, ssim
from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.registry.cards import CARD_FILE, ModelCard
from zoo.render.images import draw_images
from zoo.training.data import data_of_model, trained_on
from zoo_data.emoji import shrunk
from zoo_onnx.export import update_card

_GAP, _JUDGED = 4, 32
_model = click.argument("name", metavar="MODEL")
_count = click.option("-n", "count", default=14, show_default=True, help="Held-out emoji, drawn by seed.")
_output = click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
_seed = click.option("--seed", default=0, show_default=True)
_steps = click.option("--steps", type=int, default=None)


@click.group()
def main() -> None:
    """Draw held-out emoji, or ask a judge of them."""


@main.command()
@_model
@_count
@_output
@_seed
@_steps
def compare(name: str, count: int, output: Path, seed: int, steps: int | None) -> None:
    """A picture of what is given, if small also by a bicubic filter, of a sample of each, and of the truth."""
    data, part = held_out(name)
    chosen = np.random.default_rng(seed).permutation(len(data.test))[:count]
    shown, truth = data.test.condition_at(chosen)[part], data.test.x[chosen]  # type: ignore[index, call-overload]
    x = zoo.load(name).sample(count, condition={part: shown}, seed=seed, **({} if steps is None else {"steps": steps}))
    rows = [np.asarray(x), truth]
    if shown.shape != truth.shape:
        rows.insert(0, fitted(shown, truth.shape[2:]))
        factors = [a // b for a, b in zip(truth.shape[2:], shown.shape[2:], strict=True)]
        shown = shown.repeat(factors[0], 2).repeat(factors[1], 3)
    Image.fromarray(_tiled([shown, *rows])).save(output)


@main.command()
@_model
@_count
@_output
@_seed
def sources(name: str, count: int, output: Path, seed: int) -> None:
    """The pictures of held-out emoji that :func:`compare` draws from, as `zoo run --condition` reads them."""
    data, part = held_out(name)
    chosen = np.random.default_rng(seed).permutation(len(data.test))[:count]
    pictures = data.test.condition_at(chosen)[part]  # type: ignore[index, call-overload]
    write_bytes(output, draw_images(pictures, levels=256, columns=min(count, 7)))


@main.command()
@_model
@_seed
@_steps
@click.option("--into", type=click.Path(exists=True, path_type=Path), help="A shipped model: write it on its card.")
def labels(name: str, seed: int, steps: int | None, into: Path | None) -> None:
    """How many pictures of held-out emoji are named by their label, beside the given ones and the truth."""
    data, part = held_out(name)
    emoji = emoji_judge.Emoji()
    judge = emoji_judge.judge_of(emoji, emoji_judge.JUDGE)
    pictures: Any = data.test.condition_at(slice(None))
    drawn = zoo.load(name).sample(
        len(data.test), condition=pictures, seed=seed, **({} if steps is None else {"steps": steps})
    )
    places = np.tile(np.flatnonzero(emoji.test), len(data.test) // int(emoji.test.sum()))
    shares = {}
    for what, each in (
        ("given", fitted(pictures[part], data.test.x.shape[2:])),
        ("drawn", drawn),
        ("real", data.test.x),
    ):
        right = emoji_judge.named(judge, emoji, _as_judged(each), places)
        shares[what] = right
        error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
        click.echo(f"{what} pictures of held-out emoji: {right.mean():.1%} ± {error:.1%} right of {len(right)}")
    if into is not None:
        metric = emoji_judge.stated(shares["drawn"], "held-out emoji, the right label of 20, by a judge")
        metric["of_the_given"], metric["of_the_truth"] = (round(float(shares[k].mean()), 4) for k in ("given", "real"))
        card = ModelCard.from_folder(into)
        card = replace(card, metrics={**card.metrics, "held_out_labels": metric})
        update_card(into / "bundle", card)
        write_text(into / CARD_FILE, card.to_json())


@main.command()
@_model
@_seed
@click.option("--steps", "counts", type=int, multiple=True, default=(1, 2, 5, 10, 20))
@click.option("--guidance", "strengths", type=float, multiple=True, help="[the model's]")
@click.option("-n", "count", default=64, show_default=True, help="Emoji of the validation split.")
def settings(name: str, seed: int, counts: tuple[int, ...], strengths: tuple[float, ...], count: int) -> None:
    """How far samples are from the truth with other numbers of steps and guidance, on the validation split."""
    data, part = held_out(name)
    truth = np.asarray(data.validation.x[:count], np.float64)
    shown = data.validation.condition_at(slice(count))[part]  # type: ignore[index, call-overload]
    model = zoo.load(name)
    for steps, guidance in itertools.product(counts, strengths or (None,)):
        guided: dict[str, Any] = {} if guidance is None else {"guidance": guidance}
        x = np.asarray(model.sample(len(truth), condition={part: shown}, seed=seed, steps=steps, **guided), np.float64)
        x = np.floor(x).clip(0, 255)
        error, similar = root_mean_square(x, truth).mean(), ssim(x, truth, 255.0).mean()
        told = "" if guidance is None else f", guidance {guidance:g}"
        click.echo(f"{steps} steps{told}: {error:.1f} levels from the truth, SSIM {similar:.3f}")


def held_out(name: str) -> tuple[Dataset, str]:
    """The data that a model was trained on, whose test split it has not seen, and the part that is a picture."""
    registry = Registry.discover()
    source = resolve(registry, name)
    known = trained_on(source)
    assert known is not None
    data = data_of_model(known, known.options or {}, registry)
    (part,) = data.test.condition or {}
    return data, str(part)


def _as_judged(pictures: Any) -> NDArray[np.float32]:
    """Pictures of 64 or 32 pixels as the judge sees them, of 32."""
    whole = np.asarray(pictures).clip(0, 255).astype(np.uint8)
    return shrunk(whole, whole.shape[-1] // _JUDGED).astype(np.float32)


def _tiled(rows: list[NDArray[Any]]) -> NDArray[np.uint8]:
    """Rows of pictures ``[n, 3, height, width]`` as one, on white."""
    n, _, height, width = rows[0].shape
    tiled = np.full((len(rows) * (height + _GAP) + _GAP, n * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = _GAP + i * (height + _GAP), _GAP + j * (width + _GAP)
            tiled[y : y + height, x : x + width] = np.asarray(picture).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return tiled


if __name__ == "__main__":
    main()
