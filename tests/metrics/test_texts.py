"""Shares of texts that look like others, and that are new."""

from zoo.metrics.texts import pronounceable, share_outside

TRAINING = ["anna", "hanna", "nan"]


def test_looks_are_vowels_and_known_triples():
    # the first three are made of triples that there are; then no vowel, a new end, nothing at all
    assert pronounceable(["anna", "hannan", "na", "nn", "annah", ""], TRAINING) == 3 / 6
    assert pronounceable(TRAINING, TRAINING) == 1


def test_novelty():
    assert share_outside(["anna", "otto"], TRAINING) == 0.5
    assert share_outside(TRAINING, TRAINING) == 0
