"""Dates as numbers: days since 1970-01-01, with the time of day as a fraction."""

from __future__ import annotations

from datetime import datetime, timedelta

_EPOCH, _DAY = datetime(1970, 1, 1), timedelta(days=1)


def days(moment: datetime) -> float:
    """Days since 1970-01-01."""
    return (moment - _EPOCH) / _DAY


def parsed(text: str, written: str) -> float:
    """The days of a text, written as :meth:`datetime.datetime.strftime` is told by ``written``.

    Raises:
        ValueError: it is no such date.
    """
    return days(datetime.strptime(text.strip(), written))


def formatted(number: float, written: str) -> str:
    """The inverse of :func:`parsed`, to the nearest second; the years 1 to 9999 are all that there are."""
    seconds = min(max(round(number * 86_400), -62_135_596_800), 253_402_300_799)
    return (_EPOCH + timedelta(seconds=seconds)).strftime(written)
