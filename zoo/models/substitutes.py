"""Functions that an exporter replaces while it traces, since what PyTorch runs cannot be traced as it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Substitutable(Generic[Function]):
    """What does a thing: a function, or in a block ``with method(replacement)`` another one of its signature.

    Blocks of threads and of asynchronous tasks do not see each other.

    Args:
        usual: the function outside of all blocks.
    """

    def __init__(self, usual: Function) -> None:
        self._current: ContextVar[Function] = ContextVar(usual.__name__, default=usual)

    @property
    def current(self) -> Function:
        """The function to call here."""
        return self._current.get()

    @contextlib.contextmanager
    def __call__(self, replacement: Function) -> Iterator[None]:
        """A block in which ``replacement`` is called."""
        token = self._current.set(replacement)
        try:
            yield
        finally:
            self._current.reset(token)
