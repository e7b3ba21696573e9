"""Packages whose names are loaded when they are first used, and written once: in the package's stub; and a block for
loading much at once."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable, Iterator


def attach(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package, by the stub ``__init__.pyi`` beside it.

    The stub, which is also what a type checker reads, has a line ``from module import name as name`` for each.

    Args:
        package: its ``__name__``.
    """
    here = sys.modules[package]
    home = dict(_stubbed(here))

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(home[name]), name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            from zoo.errors import MissingDependencyError

            raise MissingDependencyError("torch", f"use {package}.{name}", extra="torch") from error
        setattr(here, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(here), *home})

    return load, names, list(home)


def _stubbed(package: object) -> list[tuple[str, str]]:
    """Each name of a package's stub, with its module."""
    # read by the loader, which also finds it in an archive; the path is that of the source, even if it was compiled
    spec = package.__spec__  # type: ignore[attr-defined]
    stub: bytes = spec.loader.get_data(spec.origin.removesuffix("c") + "i")
    words = [line.split() for line in stub.decode().splitlines() if line.startswith("from ") and " as " in line]
    return [(name, module) for _, module, _, name, *_ in words]


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """A block in which Python looks for cycles of garbage seldom.

    Importing and tracing make a lot of small objects, nearly all of which live until the end: looking through them
    every few hundred took a tenth of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], 50_000) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
