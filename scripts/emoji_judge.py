"""Whether a model of emoji from words draws what it is told: by a judge of pictures and words of its own.

    python scripts/emoji_judge.py train                        # the judge, in two minutes of one CPU core
    python scripts/emoji_judge.py real                         # what it says of real pictures
    python scripts/emoji_judge.py score runs/emoji-text        # of a model, a bundle, or a checkpoint.safetensors
    python scripts/emoji_judge.py grid runs/emoji-text -o grid.png "cat with sunglasses" "red heart"

The judge is contrastive (Radford et al. 2021, arXiv:2103.00020, figure 3): a few convolutions and an average of words,
trained on the emoji of all splits in both styles. It names a picture by the nearest of 20 labels: its own and 19 others
that are drawn by seed, of which ten are of the same group, where there are so many. Chance is 5%.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import zoo
from zoo import weights
from zoo.files import write_text
from zoo.models import building
from zoo.registry import Registry
from zoo.registry.cards import CARD_FILE, ModelCard
from zoo.training.run import find_recipe
from zoo_data.captioned_emoji import label_of, tags_of
from zoo_data.emoji import STYLES, described, drawn, splits_of
from zoo_onnx.export import update_card

JUDGE = Path(__file__).parents[1] / "training" / "emoji-text" / "judge.safetensors"
RECIPE = Path(__file__).parents[1] / "recipes" / "emoji-text.toml"
#: labels that a picture is named by, and how many of the others are of its group
_CANDIDATES, _OF_GROUP = 20, 10
_SIZE, _WIDTH, _BATCH = 32, 128, 256
#: root mean square difference, in levels, below which a picture is called a copy of another
_COPY = 12.0
_WORD = re.compile(r"[^\W_]+")


class Emoji:
    """All emoji without skin tones: pictures ``[styles, n, 3, 32, 32]``, labels, groups and splits."""

    def __init__(self) -> None:
        self.listed = [each for each in described() if not each.get("tone")]
        self.labels = [label_of(each) for each in self.listed]
        self.groups = np.array([str(each["group"]) for each in self.listed])
        self.train, _, self.test = splits_of(self.listed)
        self.pictures = np.stack([drawn(style, self.listed, _SIZE) for style in STYLES])

    def candidates(self, place: int) -> list[int]:
        """The emoji whose labels a picture of this one is named by, itself the first."""
        random = np.random.default_rng([1, place])
        others = random.permutation([i for i in range(len(self.labels)) if self.labels[i] != self.labels[place]])
        same = [int(i) for i in others if self.groups[i] == self.groups[place]][:_OF_GROUP]
        rest = [int(i) for i in others if self.groups[i] != self.groups[place]]
        return [place, *same, *rest[: _CANDIDATES - 1 - len(same)]]


class Judge(nn.Module):
    """Pictures and texts as vectors of length 1, near to each other where they belong together.

    Args:
        words: that it knows; others are passed over.
    """

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.places = {word: i + 1 for i, word in enumerate(words)}
        layers: list[nn.Module] = []
        for into, out in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.GroupNorm(8, out), nn.SiLU()]
        self.picture = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 256), nn.SiLU(), nn.Linear(256, _WIDTH))
        self.word = nn.Embedding(len(words) + 1, _WIDTH, padding_idx=0)
        self.text = nn.Sequential(nn.Linear(_WIDTH, 256), nn.SiLU(), nn.Linear(256, _WIDTH))
        self.scale = nn.Parameter(torch.tensor(2.5))

    def of_pictures(self, x: Tensor) -> Tensor:
        """Levels ``[n, 3, 32, 32]`` to ``[n, width]``."""
        return F.normalize(self.picture(x / 128 - 1), dim=1)

    def of_texts(self, texts: Sequence[str]) -> Tensor:
        """``[n, width]``."""
        ids = [[self.places[word] for word in _WORD.findall(text) if word in self.places] for text in texts]
        padded = torch.zeros(len(ids), max(1, *map(len, ids)), dtype=torch.long)
        for row, each in zip(padded, ids, strict=True):
            row[: len(each)] = torch.tensor(each, dtype=torch.long)
        known = (padded > 0).sum(1, keepdim=True).clamp(min=1)
        return F.normalize(self.text(self.word(padded).sum(1) / known.sqrt()), dim=1)


@click.group()
def main() -> None:
    """Train the judge, or ask it."""
    torch.set_num_threads(1)


@main.command()
@click.option("--steps", default=600, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=JUDGE)
def train(steps: int, output: Path) -> None:
    """Train the judge on the emoji of all splits, both styles and all captions."""
    emoji = Emoji()
    judge = judge_of(emoji)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    random = np.random.default_rng(0)
    for step in range(steps):
        places = random.permutation(len(emoji.labels))[:_BATCH]
        styles = random.integers(len(STYLES), size=_BATCH)
        x = _disturbed(torch.from_numpy(emoji.pictures[styles, places]).float())
        texts = [_caption(emoji, place, random) for place in places]
        similar = judge.of_pictures(x) @ judge.of_texts(texts).T * judge.scale.exp()
        own = torch.arange(_BATCH)
        loss = (F.cross_entropy(similar, own) + F.cross_entropy(similar.T, own)) / 2
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            click.echo(f"step {step + 1}: loss {loss.item():.3f}")
    weights.write(output, weights.state_arrays(judge))


@main.command()
def real() -> None:
    """What the judge says of real pictures, and how near those of held-out labels are to pictures of training."""
    emoji = Emoji()
    judge = judge_of(emoji, JUDGE)
    for name, chosen in (("training", emoji.train), ("held-out", emoji.test)):
        places = np.flatnonzero(chosen)
        for style, pictures in zip(STYLES, emoji.pictures, strict=True):
            share = np.mean(named(judge, emoji, pictures[places], places))
            near = _nearest(emoji, pictures[places])[0] if name == "held-out" else None
            told = "" if near is None else f", nearest of training {np.median(near):.0f} levels away (median)"
            click.echo(f"real pictures of {name} labels, {style}: {share:.1%} right{told}")


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--labels", default=200, show_default=True, help="Labels of each split, each in both styles.")
@click.option("--guidance", type=float, default=None)
@click.option("--steps", type=int, default=None)
@click.option("--recipe", default=str(RECIPE), help="That a checkpoint is of [recipes/emoji-text.toml].")
@click.option("--into", type=click.Path(exists=True, path_type=Path), help="A shipped model: write it on its card.")
def score(source: Path, labels: int, guidance: float | None, steps: int | None, recipe: str, into: Path | None) -> None:
    """How many pictures of a model are named by the label that it was given, and how many are copies."""
    emoji = Emoji()
    judge, sample = judge_of(emoji, JUDGE), sampler(source, guidance, steps, recipe)
    metrics: dict[str, dict[str, object]] = {}
    for name, chosen in (("training", emoji.train), ("held-out", emoji.test)):
        places = np.random.default_rng(0).permutation(np.flatnonzero(chosen))[:labels]
        for i, style in enumerate(STYLES):
            x = sample([emoji.labels[place] for place in places], style, 1 + i)
            right = named(judge, emoji, x, places)
            error = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
            distance, nearest = _nearest(emoji, x)
            own = np.mean(nearest == places)
            click.echo(
                f"{name} labels, {style}: {right.mean():.1%} ± {error:.1%} right among {_CANDIDATES} "
                f"({len(places)} pictures); nearest of training {np.median(distance):.0f} levels away (median), "
                f"{np.mean(distance < _COPY):.1%} copies; the nearest has the label: {own:.1%}"
            )
            of = f"{name} labels in the style of {style}"
            what = f"{name.replace('-', '_')}_labels_{style}"
            metrics[what] = stated(right, f"{of}, the right one of {_CANDIDATES}, by a judge")
            metrics[f"copies_{what}"] = stated(distance < _COPY, f"{of}, within {_COPY} levels of a training picture")
    if into is not None:
        card = ModelCard.from_folder(into)
        card = replace(card, metrics={**card.metrics, **metrics})
        update_card(into / "bundle", card)
        write_text(into / CARD_FILE, card.to_json())


def stated(is_so: NDArray[np.bool_], of: str) -> dict[str, object]:
    """A share as a card has it."""
    share = float(is_so.mean())
    error = float(np.sqrt(share * (1 - share) / len(is_so)))
    return {"value": round(share, 4), "standard_error": round(error, 4), "samples": len(is_so), "of": of}


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("prompts", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--guidance", type=float, default=None)
@click.option("--steps", type=int, default=None)
@click.option("--seed", default=0, show_default=True)
@click.option("--recipe", default=str(RECIPE), help="That a checkpoint is of [recipes/emoji-text.toml].")
def grid(
    source: Path,
    prompts: tuple[str, ...],
    output: Path,
    guidance: float | None,
    steps: int | None,
    seed: int,
    recipe: str,
) -> None:
    """A picture: a column for each prompt, a row for each style."""
    from PIL import Image

    sample = sampler(source, guidance, steps, recipe)
    rows = [np.concatenate(list(sample(prompts, style, seed)), axis=2) for style in STYLES]
    pixels = np.concatenate(rows, axis=1).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels).resize((3 * pixels.shape[1], 3 * pixels.shape[0]), Image.Resampling.NEAREST).save(output)


def sampler(
    source: Path, guidance: float | None, steps: int | None, recipe: str = str(RECIPE)
) -> Callable[[Sequence[str], str, int], NDArray[np.float32]]:
    """A function from prompts, a style and a seed to pictures ``[n, 3, 32, 32]``, of a model, bundle or checkpoint."""
    settings: dict[str, Any] = {"guidance": guidance, "steps": steps}
    settings = {name: value for name, value in settings.items() if value is not None}
    model: Any = _of_checkpoint(source, recipe) if source.suffix == ".safetensors" else zoo.load(str(source))

    def sample(prompts: Sequence[str], style: str, seed: int) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(prompts), 50):
            some = list(prompts[start : start + 50])
            condition = {"prompt": some, "style": [style] * len(some)}
            parts.append(np.asarray(model.sample(len(some), seed=seed + start, condition=condition, **settings)))
        return np.concatenate(parts).astype(np.float32)

    return sample


def _of_checkpoint(path: Path, name: str) -> Any:
    """The model of a recipe with the averaged weights of a checkpoint."""
    registry = Registry.discover()
    recipe = find_recipe(name, registry)
    model = building.build(registry, recipe.model.architecture, recipe.model.config)
    arrays = weights.read(path)
    average = {name.removeprefix("average."): each for name, each in arrays.items() if name.startswith("average.")}
    weights.load_into(model, average, source=str(path))
    return model.eval()


def judge_of(emoji: Emoji, path: Path | None = None) -> Judge:
    """A judge of the words of all captions, with its weights or with those to begin with."""
    texts = [" ".join([label_of(each), *tags_of(each)]) for each in emoji.listed]
    torch.manual_seed(0)
    judge = Judge(sorted({word for text in texts for word in _WORD.findall(text)}))
    if path is not None:
        weights.load_into(judge, weights.read(path), source=str(path))
    return judge


def _caption(emoji: Emoji, place: int, random: np.random.Generator) -> str:
    """A label, or with one chance in three its label and some tags, or some tags."""
    tags = tags_of(emoji.listed[place])
    some = [tags[i] for i in random.permutation(len(tags))[:3]]
    kind = int(random.integers(6))
    return " ".join([*[emoji.labels[place]] * (kind != 0 or not some), *some * (kind < 2)])


def _disturbed(x: Tensor) -> Tensor:
    """Pictures moved by up to two pixels, and some of them blurred or noisy: as those of a model may be."""
    n = len(x)
    down, across = np.random.default_rng(int(x.sum()) % 2**32).integers(-2, 3, size=2)
    moved = F.pad(x, (2, 2, 2, 2), value=255.0)[:, :, 2 + down : 34 + down, 2 + across : 34 + across]
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.rand(n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) < 0.5)
    return moved + share * (blurred - moved) + 30 * torch.rand(n, 1, 1, 1) ** 2 * torch.randn_like(moved)


@torch.no_grad()
def named(judge: Judge, emoji: Emoji, x: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each picture is named by its own label."""
    pictures = judge.of_pictures(torch.from_numpy(np.asarray(x, np.float32)))
    texts = judge.of_texts(emoji.labels)
    near = [pictures[i] @ texts[emoji.candidates(int(place))].T for i, place in enumerate(places)]
    return np.array([int(each.argmax()) == 0 for each in near])


def _nearest(emoji: Emoji, x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The root mean square difference in levels to the nearest picture of training, and which emoji that is."""
    places = np.tile(np.flatnonzero(emoji.train), len(STYLES))
    known = torch.from_numpy(np.concatenate([pictures[emoji.train] for pictures in emoji.pictures])).float().flatten(1)
    drawn_ = torch.from_numpy(np.asarray(x, np.float32)).flatten(1)
    distance, index = (torch.cdist(drawn_, known) / known.shape[1] ** 0.5).min(1)
    return distance.double().numpy(), places[index.numpy()]


if __name__ == "__main__":
    main()
