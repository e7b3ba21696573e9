"""What is installed: descriptions that plugins hand over, found by entry points and looked up by name. No torch.

Names are looked up late: a runtime imports this package for :mod:`zoo.registry.extensions` alone, and needs no pluggy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.registry.lookup import Item, Registry, installed

__all__ = ["Item", "Registry", "installed"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'zoo.registry' has no attribute {name!r}")
    from zoo.registry import lookup

    return getattr(lookup, name)
