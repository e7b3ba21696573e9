"""``module:function``: data that a user's Python function returns. Naming it runs its code."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.data import Dataset
from zoo.errors import ConfigError, DataError, ZooError
from zoo.reading import objects
from zoo.reading.content import Rows, Samples
from zoo.registry.discovery import last_line

NAMES = re.compile(r"[^\d\W]\w*(\.[^\d\W]\w*)*:[^\d\W]\w*")


def called(name: str, **options: Any) -> Dataset | Rows | Samples:
    """What a function returns: a :class:`zoo.Dataset`, or whatever :func:`zoo.reading.objects.content_of` takes.

    Args:
        name: ``"module:function"``; the module is looked for in the current folder too.
        options: the function's keywords.

    Raises:
        ConfigError: there is no such module or function.
        DataError: it fails, or returns something else.
    """
    function = imported(name)
    try:
        value = function(**options)
    except ZooError:
        raise
    except Exception as error:
        raise DataError(f"{name} fails: {last_line(error)}") from error
    return value if isinstance(value, Dataset) else objects.content_of(value)


def source(name: str) -> Path | None:
    """The file of a function's module, or None if it has none."""
    module = sys.modules.get(name.partition(":")[0])
    file = getattr(module, "__file__", None)
    return Path(file) if file else None


def imported(name: str) -> Callable[..., Any]:
    """The function ``"module:function"``, whose module is looked for in the current folder too and is run.

    Raises:
        ConfigError: there is no such module or function.
    """
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module_name), attribute, None)
    except Exception as error:
        raise ConfigError(f"the module {module_name} cannot be imported: {last_line(error)}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not callable(function):
        raise ConfigError(f"the module {module_name} has no function {attribute!r}")
    checked: Callable[..., Any] = function
    return checked
