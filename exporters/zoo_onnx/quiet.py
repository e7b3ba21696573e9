"""Silences libraries that print, warn and log while they work, and keeps the collector of garbage from their way."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A block in which torch's exporter does not print, warn or log.

    Its messages concern its own internals; the proof decides whether the graphs are right.
    """
    disabled = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """A block in which Python looks for cycles of garbage seldom.

    Tracing makes a lot of small objects, nearly all of which live until the end: looking through them every few hundred
    took a tenth of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], 50_000) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
