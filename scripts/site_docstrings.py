"""Docstrings in Markdown for the site: an extension of griffe.

The docstrings of the code mark up names as reStructuredText does (``:class:`~zoo.Flow```, double backquotes, ``::``
before an example), which Python's own tools show as they stand.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc|obj|term|ref):`~?([^`<]*?)(?:\s*<([^`>]*)>)?`")
#: parameters that share a description, which griffe takes one by one
_TOGETHER = re.compile(r"^( +)((?:\w+, )+\w+): (.+)$", re.M)
_DOUBLE = re.compile(r"``(.+?)``", re.S)


class Markdown(griffe.Extension):
    """Turns the markup of docstrings into Markdown when they are loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, a class, a function or an attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """A docstring's text in Markdown; names that it refers to are code, shortened where ``~`` says so."""

    def role(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        return f"`{name.rpartition('.')[2] if ':`~' in match.group(0) else name}`"

    def alone(match: re.Match[str]) -> str:
        indent, names, told = match.groups()
        return "\n".join(f"{indent}{name}: {told}" for name in names.split(", "))

    text = _DOUBLE.sub(r"`\1`", _ROLE.sub(role, text))
    return _TOGETHER.sub(alone, re.sub(r"::\n", ":\n", text))
