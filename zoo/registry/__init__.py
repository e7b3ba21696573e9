"""What is installed: descriptions provided by plugins, discovered through entry points and looked up by name. No torch.

Names are imported lazily: a runtime imports this package only for :mod:`zoo.registry.extensions`, and needs no pluggy.
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
