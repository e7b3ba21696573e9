"""Untrusted text on a terminal: characters that move the cursor, break lines or change the reading order are escaped.

Graphs, manifests, cards, plugins and file names contain text from others. Printed unchanged, an escape sequence could
clear the screen, a line break could forge a line of output, and a bidirectional override could reorder
letters.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

#: categories of Unicode: controls, formats, surrogates, line and paragraph separators
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: format characters that some scripts need: zero-width joiner and non-joiner
_JOINERS = frozenset("\u200c\u200d")


def unprintable(text: str, allowed: str = "") -> bool:
    """Whether a text has a character that is neither printable nor allowed."""
    return not text.isprintable() and any(_unsafe(c) and c not in allowed for c in text)


def printable(text: str, allowed: str = "") -> str:
    """The text with such characters as escapes: ``"a\\x1b[2J"`` for an escape sequence.

    Args:
        text: the text to show.
        allowed: characters to keep, such as ``"\\n"`` in text of several lines.
    """
    if not unprintable(text, allowed):
        return text
    return "".join(c.encode("unicode_escape").decode() if _unsafe(c) and c not in allowed else c for c in text)


def shortened(text: str, most: int) -> str:
    """The text, shortened in the middle if it is longer, since both ends of a sentence are informative."""
    if len(text) <= most:
        return text
    tail = most // 4
    return f"{text[: most - tail - 3]} … {text[-tail:]}"


def assignments(options: Mapping[str, Any], most: int = 200) -> str:
    """Options in one line, values as JSON: ``noise = 0.05, train = 1000``; shortened like any text."""
    return shortened(", ".join(f"{name} = {json.dumps(value, default=str)}" for name, value in options.items()), most)


def _unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE and character not in _JOINERS
