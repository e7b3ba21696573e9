"""Checks of counts that callers pass, and progress reports."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zoo.errors import UsageError

#: called with (parts done, parts in all)
Progress = Callable[[int, int], None]
#: called with (current stage, parts done, parts in all), by work with several stages
StageProgress = Callable[[str, int, int], None]


def checked_count(what: str, value: object, largest: int | None = None, least: int = 1) -> int:
    """Return ``value`` if it is a number of ``what``, else raise UsageError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise UsageError(f"the number of {what} is a whole number, {least} or more, not {value!r}")
    if largest is not None and value > largest:
        raise UsageError(f"the number of {what} is at most {largest}, not {value}")
    return int(value)


def ticker(progress: Progress | None, total: int) -> Callable[[], None]:
    """A function that counts its calls and reports the count to ``progress``.

    Calls beyond ``total``, of batches that had to be halved, are reported as the last one.
    """
    done = 0

    def tick() -> None:
        nonlocal done
        done = min(done + 1, total)
        if progress is not None:
            progress(done, total)

    return tick
