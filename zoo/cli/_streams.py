"""The streams of a process that may be closed, full or broken, and the signals that end it.

A shell may start a program with stdout closed (``>&-``), on a full disk (``> /dev/full``), or before a reader that
leaves (``| head``). None of these is a fault of the program, and each ends a command in the way of :mod:`_errors`.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import IO, Any

#: the signals that end a process from outside as Ctrl-C does from within; a system may lack some
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(KeyboardInterrupt):
    """A signal has asked the process to end: what Ctrl-C cleans up, this does too.

    Args:
        number: the signal's.
        said: what the command has said about it, if anything.

    Attributes:
        code: the exit code of a process that a signal ended, 128 and the signal's number.
    """

    def __init__(self, number: int, said: str = "") -> None:
        super().__init__(*([said] if said else []))
        self.code = 128 + number


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """A block in which SIGTERM and SIGHUP raise :class:`Terminated`, but for one that is ignored (``nohup``)."""
    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                previous[number] = signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # cleaning up is not interrupted by the same signal again
    raise Terminated(number)


class StdoutError(OSError):
    """What was to be written to stdout could not be."""


class Stdout(io.TextIOWrapper):
    """A stdout whose failures are told from those of files: they are a :class:`StdoutError`."""

    def write(self, text: str) -> int:
        """As of any text stream."""
        with _named():
            return super().write(text)

    def flush(self) -> None:
        """As of any text stream."""
        with _named():
            super().flush()


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StdoutError(error.errno, error.strerror) from error


def own_streams() -> None:
    """Prepare the streams of a process that runs nothing but the command line.

    Where it began without stdin, stdout or stderr, something is put behind them: otherwise the next file that is opened
    would get the number of stdout, and whatever a library prints would be written into it. What is put behind
    stdout can only be read, so that a write fails as it does on a full disk.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    before = sys.stdout
    if before is None:
        sys.stdout = stdout_on(1)
    elif isinstance(before, io.TextIOWrapper):
        options = {"encoding": before.encoding, "errors": before.errors, "line_buffering": before.line_buffering}
        binary = before.detach()
        # with PYTHONUNBUFFERED it is a raw file, which may write less than it is given
        buffered = io.BufferedWriter(binary) if isinstance(binary, io.RawIOBase) else binary
        sys.stdout = Stdout(buffered, **options)  # type: ignore[arg-type]
    # whoever asks how wide the terminal is, as click does for its help, asks the original
    sys.__stdout__ = sys.stdout  # type: ignore[misc, assignment]
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process


def stdout_on(number: int) -> Stdout:
    """A stdout that writes to a file descriptor, which it closes."""
    return Stdout(open(number, "wb"), encoding="utf-8")


def abandon(stream: IO[str] | None) -> None:
    """Drop what a stream cannot write, so that Python does not complain when it flushes it at the end."""
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        with contextlib.suppress(OSError):
            stream.flush()
