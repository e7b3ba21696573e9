"""Data that needs no files: names of syllables, and walks."""

import itertools

import numpy as np

from zoo.data import Dataset, Split
from zoo.modality import Text
from zoo.render.text import numbers

ALPHABET = Text(".abcdefghijklmnopqrstuvwxyz")
LENGTH = 8


def syllables():
    """Names of two or three syllables, as whole numbers ``[n, 8]``, 0 after their ends."""
    parts = [a + b for a, b in itertools.product("klmnrst", "aeio")]
    names = ["".join(each) for each in itertools.product(parts, parts)]
    names += [a + b + c for a, b, c in itertools.product(parts[::3], parts[1::3], parts[2::3])]
    x = numbers(names, ALPHABET, LENGTH, "syllables").astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(x))
    splits = [Split(x[each]) for each in np.split(order, [int(0.8 * len(x)), int(0.9 * len(x))])]
    return Dataset("syllables", *splits, levels=len(ALPHABET.alphabet), modality=ALPHABET)


def walks(length=6, numbers=2):
    """Sequences of one to ``length`` actions, with their masks, ``[n, length, numbers + 1]``."""
    random = np.random.default_rng(0)

    def some(n):
        x = np.cumsum(random.normal(0.3, 0.5, (n, length, numbers)), 1)
        within = (np.arange(length) < random.geometric(0.25, (n, 1)).clip(max=length))[:, :, None]
        return Split(np.concatenate([x * within, within], 2).astype(np.float32))

    return Dataset("walks", some(2000), some(200), some(500))
