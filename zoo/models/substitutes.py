"""Functions that an exporter replaces while it traces, since what PyTorch runs cannot be traced as it stands."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class _Current(threading.local, Generic[Function]):
    """The function of each thread; torch.compile reads it without breaking a graph, which it does for a ContextVar."""

    def __init__(self, usual: Function) -> None:
        self.function = usual


class Substitutable(Generic[Function]):
    """What does a thing: a function, or in a block ``with method(replacement)`` another one of its signature.

    Blocks of threads do not see each other.

    Args:
        usual: the function outside of all blocks.
    """

    def __init__(self, usual: Function) -> None:
        self._current = _Current(usual)

    @property
    def current(self) -> Function:
        """The function to call here."""
        return self._current.function

    @contextlib.contextmanager
    def __call__(self, replacement: Function) -> Iterator[None]:
        """A block in which ``replacement`` is called."""
        before, self._current.function = self._current.function, replacement
        try:
            yield
        finally:
            self._current.function = before
