"""What of FrEIA's code is mended while it is traced."""

from __future__ import annotations

from contextlib import AbstractContextManager

from zoo.models.mending import replaced


def mended() -> AbstractContextManager[object]:
    """A block in which FrEIA's modules can be traced."""
    return replaced()
