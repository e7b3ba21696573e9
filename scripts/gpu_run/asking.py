"""Processes that measure when they are asked: one request a line as JSON, with one line of results each.

What hangs or ends such a process costs that one measurement: who asked starts another process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Measure = Callable[[dict[str, Any]], dict[str, Any]]


def answer(measure: Measure) -> None:
    """Answer requests until the input ends, in a process that :class:`Asked` started."""
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is not a result
    for line in sys.stdin:
        began = time.perf_counter()
        try:
            result = {"status": "measured", **measure(json.loads(line))}
        except Exception as error:  # of any library, and the next request may work
            result = {"status": "failed", "reason": told(error)}
        results.write(json.dumps({**result, "seconds": round(time.perf_counter() - began, 2)}) + "\n")


def told(error: Exception) -> str:
    """An exception in a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


class Asked:
    """A process that answers.

    Args:
        command: what starts it.
        log: the file for what it prints.
        environment: of the process.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.warm = False
        #: how it ended of itself, with the last that it printed, or None
        self.ended: str | None = None
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
        """The result of a request; None if it took too long or the process ended, which it has then."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=max(seconds, 0.1))
            result: dict[str, Any] = json.loads(line)
        except (OSError, queue.Empty, json.JSONDecodeError):
            if (code := self._code()) is not None:
                last = " ".join(Path(self._log.name).read_text(errors="replace")[-300:].split())
                self.ended = f"its process ended with {code}: {last}"
            self.end()
            return None
        self.warm = True
        return result

    def end(self) -> None:
        """Kill it and what it started."""
        kill(self._process)
        self._process.wait()
        self._log.close()

    def _code(self) -> int | None:
        """Its exit code, if it ended, which is seen a moment after the end of its output."""
        try:
            return self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")  # not JSON: it ended


class Interrupted(BaseException):
    """SIGTERM."""


def interrupted(*_: object) -> None:
    """A handler of SIGTERM for :func:`stopping`."""
    raise Interrupted


@contextlib.contextmanager
def stopping(results: dict[str, Any], finish: Callable[[], None]) -> Iterator[None]:
    """A block that SIGTERM and SIGINT end early, as ``results["ended"]`` then says; ``finish`` is called at any end."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stopped:
        results["ended"] = "by SIGTERM" if isinstance(stopped, Interrupted) else "by SIGINT"
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        finish()


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that leads a session, and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
