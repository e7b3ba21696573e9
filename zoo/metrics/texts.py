"""Whether sampled texts look like real ones, and whether they are new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.modality import Text
from zoo.render.text import texts

_VOWELS = set("aeiouy")
_EDGE = "\0"


def text_metrics(evaluation: Evaluation) -> Metrics:
    """``pronounceable`` and ``novel``: shares of sampled texts, beside those of held-out texts.

    Empty for other data, and for conditional models.
    """
    data, samples = evaluation.data, evaluation.samples
    modality = data.modality
    if not isinstance(modality, Text) or evaluation.model.condition is not None or evaluation.drawn is None:
        return {}
    training, held_out = (texts(split.x, modality) for split in (data.train, data.test))
    drawn = texts(evaluation.drawn.x, modality)
    return {
        "pronounceable": {
            "value": round(pronounceable(drawn, training), 4),
            "of_held_out_texts": round(pronounceable(held_out, training), 4),
            "of": "samples with a vowel (a, e, i, o, u, y) whose every three letters in a row, beginning and end "
            "included, stand in some training text",
            "samples": samples,
        },
        "novel": {
            "value": round(share_outside(drawn, training), 4),
            "of_held_out_texts": round(share_outside(held_out, training), 4),
            "held_out": round(1 - share_outside(drawn, held_out), 4),
            "distinct": round(len(set(drawn)) / len(drawn), 4),
            "of": "samples that are not training texts; held_out: that are held-out texts; distinct: that differ",
            "samples": samples,
        },
    }


def pronounceable(texts: Sequence[str], training: Iterable[str]) -> float:
    """Share of texts that have a vowel, and only triples of letters that occur in training texts."""
    known = {triple for text in training for triple in _triples(text)}
    looks = [bool(_VOWELS & set(text)) and all(triple in known for triple in _triples(text)) for text in texts]
    return sum(looks) / len(looks)


def share_outside(texts: Sequence[str], others: Iterable[str]) -> float:
    """Share of texts that are not among the others."""
    known = set(others)
    return sum(text not in known for text in texts) / len(texts)


def _triples(text: str) -> set[str]:
    whole = f"{_EDGE}{text}{_EDGE}"
    return {whole[i : i + 3] for i in range(len(whole) - 2)}
