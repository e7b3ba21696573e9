"""``zoo.Diffusion``, ``zoo.Flow`` and ``zoo.denoiser``, which plugins describe (hook ``zoo_families``), loaded late.

The stub beside this file says what type checkers see. The host imports no plugin: a class is found by the registry.
"""

from __future__ import annotations

from typing import Any

from zoo.registry import installed

#: public name -> the family, and what of its description it is
_FAMILIES = {"Diffusion": ("diffusion", "entry"), "Flow": ("flow", "entry"), "denoiser": ("diffusion", "foreign")}


def __getattr__(name: str) -> Any:
    if name not in _FAMILIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    registry = installed()
    family, part = _FAMILIES[name]
    return registry.load_entry(registry.family(family), part)
