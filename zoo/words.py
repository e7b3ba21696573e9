"""How a text is split into labels of tokens: words, or pieces of words. Every runtime reads texts like this."""

from __future__ import annotations

from collections.abc import Sequence

#: the letters A to Z alone, since runtimes differ in the case of others; and ASCII's white space
_SMALL, _WHITE = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}, tuple(" \t\r\n")


class Words:
    """Labels by which texts are read.

    A to Z are read as small letters. White space separates and stands for nothing; elsewhere, the longest label that
    the rest of the text begins with is taken, and so on behind it. An empty label is in no text.

    Args:
        labels: each different.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._places = {label: i for i, label in enumerate(labels)}
        self._longest = max(map(len, labels), default=0)

    def ids(self, text: str) -> list[int] | str:
        """The places of a text's labels; or the character at which no label fits."""
        rest = text.translate(_SMALL)
        ids, at = [], 0
        while at < len(rest):
            if rest[at] in _WHITE:
                at += 1
                continue
            sizes = range(min(self._longest, len(rest) - at), 0, -1)
            size = next((size for size in sizes if rest[at : at + size] in self._places), 0)
            if not size:
                return text[at]
            ids.append(self._places[rest[at : at + size]])
            at += size
        return ids


def unreadable(labels: Sequence[str]) -> list[str]:
    """The labels that no text could have: of large letters, or with white space at the beginning."""
    return [label for label in labels if label != label.translate(_SMALL) or label[:1] in _WHITE]
