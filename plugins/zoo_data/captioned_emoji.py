"""Emoji in both styles with captions: what a model needs that draws emoji from words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo_data.emoji import STYLES, check_size, described, drawn, splits_of

#: captions of a picture in training: its label twice, its label with two tags, and three tags
_LABEL, _WITH_TAGS, _TAGS = 2, 2, 3
_WORD = re.compile(r"[a-z0-9]+")
_SEED = 0


def captioned_emoji(*, size: int = 32) -> Dataset:
    """Emoji laid on white, uint8 ``[n, 3, size, size]``, with the parts ``prompt``, a text, and ``style``, a class.

    All emoji without skin tones, in both styles: 0 is Noto, 1 is Twemoji. In training each picture is there four times,
    with four captions in small letters: twice its label, such as "cat with wry smile"; its label and two of its tags;
    and three tags. For validation and testing it is there once, with its label. Splits are those of the emoji without
    captions: no label of a test picture is trained on.

    Args:
        size: side in pixels, as of :func:`zoo_data.emoji.emoji`.

    Raises:
        DataError: the files cannot be had, or are not the published ones.
        ConfigError: no such size.
    """
    check_size(size)
    listed = [each for each in described() if not each.get("tone")]
    pictures = np.stack([drawn(style, listed, size) for style in STYLES])
    splits = []
    for name, chosen in zip(("train", "validation", "test"), splits_of(listed), strict=True):
        rows = [
            (style, int(place), text)
            for place in np.flatnonzero(chosen)
            for style in range(len(STYLES))
            for text in captions(listed[place], [_SEED, int(place), style])[: None if name == "train" else 1]
        ]
        styles, places = (np.array([row[i] for row in rows]) for i in (0, 1))
        condition = {"prompt": np.array([row[2] for row in rows]), "style": styles.astype(np.int32)}
        splits.append(Split(pictures[styles, places], condition))
    extra: dict[str, object] = {"styles": list(STYLES)}
    return Dataset("captioned-emoji", *splits, levels=256, extra=extra)  # type: ignore[misc, arg-type]


def captions(emoji: Mapping[str, Any], seed: list[int]) -> list[str]:
    """Four texts that say what an emoji shows: see :func:`captioned_emoji`."""
    label = label_of(emoji)
    tags = [tag for tag in tags_of(emoji) if tag not in label]
    shuffled = [tags[i] for i in np.random.default_rng(seed).permutation(len(tags))]
    with_tags = " ".join([label, *shuffled[:_WITH_TAGS]])
    return [label] * _LABEL + [with_tags, " ".join(shuffled[-_TAGS:]) if len(shuffled) >= _TAGS else label]


def vocabulary() -> list[str]:
    """The labels of a model's tokens: none, each character of a caption, and the words that occur in training.

    All words of labels are among them, and words of tags that three emoji share; the rest is spelt in characters.
    """
    listed = [each for each in described() if not each.get("tone")]
    characters = set("abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'-&()\"/")
    for each in listed:
        characters |= set(label_of(each)).union(*tags_of(each)) - {" "}
    labels: Counter[str] = Counter()
    tags: Counter[str] = Counter()
    train: NDArray[np.bool_] = splits_of(listed)[0]
    for place in np.flatnonzero(train):
        words = set(_WORD.findall(label_of(listed[place])))
        labels.update(words)
        tags.update(set(_WORD.findall(" ".join(tags_of(listed[place])))) | words)
    words = {word for word in labels | tags if word in labels or tags[word] >= 3}
    return ["", *sorted(characters), *sorted(word for word in words if len(word) > 1)]


def label_of(emoji: Mapping[str, Any]) -> str:
    """What an emoji is called, in small letters."""
    return _small(str(emoji["label"]))


def tags_of(emoji: Mapping[str, Any]) -> list[str]:
    """Other words for it."""
    return [_small(str(tag)) for tag in emoji.get("tags", ())]


def _small(text: str) -> str:
    """In the small letters that the labels of tokens have, in Unicode as typed."""
    return " ".join(text.lower().replace("\u2019", "'").replace("\u201c", '"').replace("\u201d", '"').split())
