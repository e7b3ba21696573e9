"""What ONNX Runtime itself takes of a run: the seconds of each call of a session's graphs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from zoo.runtime.session import Session


@contextlib.contextmanager
def timed(session: Session) -> Iterator[list[float]]:
    """A block in which the calls of a session are timed, nothing around them: no checks, no binding, no copies.

    Calls that are recorded as CUDA graphs are not seen.

    Yields:
        the seconds of each call so far.
    """
    calls: list[float] = []
    own = session._session
    session._session = _Timed(own, calls)
    try:
        yield calls
    finally:
        session._session = own


class _Timed:
    """A session of ONNX Runtime that notes how long its calls take."""

    def __init__(self, session: Any, calls: list[float]) -> None:
        self._session, self._calls = session, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        begun = time.perf_counter()
        results = self._session.run(*arguments)
        self._calls.append(time.perf_counter() - begun)
        return results

    def run_with_iobinding(self, binding: Any) -> None:
        begun = time.perf_counter()
        self._session.run_with_iobinding(binding)
        self._calls.append(time.perf_counter() - begun)
