"""Counts that callers give, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.errors import UsageError


def checked_count(what: str, value: Any, largest: int | None = None, least: int = 1) -> int:
    """Return ``value`` if it is a number of ``what``, else raise UsageError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise UsageError(f"the number of {what} is a whole number from {least} up, not {value!r}")
    if largest is not None and value > largest:
        raise UsageError(f"the number of {what} is at most {largest}, not {value}")
    return int(value)
