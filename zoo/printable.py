"""Text of strangers on a terminal: what would move the cursor, break lines or turn the reading order becomes its code.

Graphs, manifests, cards and plugins bring names and sentences, and files bring their own names. Shown as they are, an
escape sequence clears the screen, a line break makes a second line that nobody of us wrote, and a bidirectional
override shows letters in another order than they have.
"""

from __future__ import annotations

import unicodedata

#: categories of Unicode: controls, formats, halves of pairs, separators of lines and paragraphs
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: formats that scripts are written with: zero-width joiner and non-joiner
_JOINERS = frozenset("\u200c\u200d")


def unprintable(text: str, allowed: str = "") -> bool:
    """Whether a text holds a character that is no printable one, other than those allowed."""
    return not text.isprintable() and any(_unsafe(c) and c not in allowed for c in text)


def printable(text: str, allowed: str = "") -> str:
    """The text with such characters as escapes: ``"a\\x1b[2J"`` for an escape sequence.

    Args:
        text: what is to be shown.
        allowed: characters that stay, such as ``"\\n"`` in what is meant to have lines.
    """
    if not unprintable(text, allowed):
        return text
    return "".join(c.encode("unicode_escape").decode() if _unsafe(c) and c not in allowed else c for c in text)


def shortened(text: str, most: int) -> str:
    """The text, cut in its middle if it is longer: both the beginning and the end of a sentence tell something."""
    if len(text) <= most:
        return text
    tail = most // 4
    return f"{text[: most - tail - 3]} … {text[-tail:]}"


def _unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE and character not in _JOINERS
