"""Emoji given other pictures of them: in another style, or smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.errors import ConfigError
from zoo_data.emoji import STYLES, base_of, check_size, described, drawn, shrunk, splits_of

#: how often an emoji without a skin tone is there in training, and how far it is moved, as a share of its side
_TIMES, _MOVED = 4, 1 / 16
_SEED = 0
_WHITE = 255


def paired_emoji(*, size: int = 64) -> Dataset:
    """Twemoji's pictures of emoji, uint8 ``[n, 3, size, size]``, given the part ``picture``: Noto's of the same emoji.

    Both are laid on white, with levels 0 … 255. Validation and testing have the emoji without skin tones that those of
    :func:`zoo_data.captioned_emoji.captioned_emoji` have. All others, with all their skin tones, are trained on: each
    without a skin tone four times, as it is, mirrored, and twice mirrored or not and moved by up to a sixteenth of the
    side, as its pair is; each with a skin tone once, likewise moved.

    Args:
        size: side in pixels, as of :func:`zoo_data.emoji.emoji`.

    Raises:
        DataError: the files cannot be had, or are not the published ones.
        ConfigError: no such size.
    """
    check_size(size)
    splits = []
    for listed, view in _viewed(size):
        noto, twemoji = (view.of(drawn(style, listed, size)) for style in STYLES)
        splits.append(Split(twemoji, {"picture": noto}))
    return Dataset("paired-emoji", *splits, levels=256)  # type: ignore[misc, arg-type]


def shrunk_emoji(*, size: int = 64, small: int = 16) -> Dataset:
    """Emoji of both styles, uint8 ``[n, 3, size, size]``, given the part ``small``: themselves, of fewer pixels.

    A pixel of ``small`` is the mean of a square of pixels. Noto's emoji come first, then Twemoji's; splits, skin tones
    and what is mirrored and moved are as of :func:`paired_emoji`.

    Args:
        size: side in pixels, as of :func:`zoo_data.emoji.emoji`.
        small: side in pixels that is given, below ``size``.

    Raises:
        DataError: the files cannot be had, or are not the published ones.
        ConfigError: no such size.
    """
    check_size(size)
    if small not in (4, 8, 16, 32) or small >= size:
        raise ConfigError(f"small pictures of emoji have sides of 32, 16, 8 or 4 pixels, below {size}, not {small!r}")
    splits = []
    for listed, view in _viewed(size):
        x = np.concatenate([view.of(drawn(style, listed, size)) for style in STYLES])
        splits.append(Split(x, {"small": shrunk(x, size // small)}))
    return Dataset("shrunk-emoji", *splits, levels=256)  # type: ignore[misc, arg-type]


@dataclass(frozen=True)
class View:
    """How pictures are seen: which of them, which of these are mirrored, and where each of them is moved to.

    Attributes:
        places: ``[m]``, of the pictures.
        mirrored: ``[m]``.
        moved: pixels down and to the right ``[m, 2]``.
    """

    places: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    moved: NDArray[np.int64]

    def of(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures ``[n, channels, height, width]`` as they are seen, ``[m, ...]``, white around."""
        seen = np.full((len(self.places), *pictures.shape[1:]), _WHITE, np.uint8)
        height, width = pictures.shape[2:]
        for row, place, flip, (down, right) in zip(seen, self.places, self.mirrored, self.moved, strict=True):
            picture = pictures[place, :, :, ::-1] if flip else pictures[place]
            to = (slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0)))
            of = (slice(max(-down, 0), height - max(down, 0)), slice(max(-right, 0), width - max(right, 0)))
            row[:, to[0], to[1]] = picture[:, of[0], of[1]]
        return seen


def _viewed(size: int) -> list[tuple[list[dict[str, Any]], View]]:
    """The emoji of each split, and how their pictures are seen."""
    every = described()
    plain = [each for each in every if not each.get("tone")]
    train, validation, test = (
        [each for each, own in zip(plain, split, strict=True) if own] for split in splits_of(plain)
    )
    known = {base_of(str(each["code"])) for each in train}
    toned = [each for each in every if each.get("tone") and base_of(str(each["code"])) in known]
    return [
        ([*train, *toned], _varied(len(train), len(toned), round(size * _MOVED))),
        *((listed, _as_they_are(len(listed))) for listed in (validation, test)),
    ]


def _as_they_are(n: int) -> View:
    return View(np.arange(n), np.zeros(n, np.bool_), np.zeros((n, 2), np.int64))


def _varied(plain: int, toned: int, most: int) -> View:
    """What training sees of emoji without skin tones, and of those with them that come after these."""
    random = np.random.default_rng(_SEED)
    places = np.concatenate([np.tile(np.arange(plain), _TIMES), plain + np.arange(toned)])
    mirrored = random.random(len(places)) < 0.5
    moved = random.integers(-most, most + 1, (len(places), 2))
    mirrored[: 2 * plain] = np.repeat([False, True], plain)
    moved[: 2 * plain] = 0
    return View(places, mirrored, moved)
