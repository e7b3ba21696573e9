"""``zoo.Diffusion`` and ``zoo.Flow``: classes that plugins describe (hook ``zoo_families``), loaded when first used.

The stub beside this file says what type checkers see. The host imports no plugin: a class is found by the registry.
"""

from __future__ import annotations

from typing import Any

from zoo.registry import installed

#: public name -> the family whose class it is
_FAMILIES = {"Diffusion": "diffusion", "Flow": "flow"}


def __getattr__(name: str) -> Any:
    if name not in _FAMILIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    registry = installed()
    return registry.load_entry(registry.family(_FAMILIES[name]))
