"""What is installed: descriptions that plugins hand over, found by entry points and looked up by name. No torch."""

from __future__ import annotations

from zoo.registry.lookup import Item, Registry, installed

__all__ = ["Item", "Registry", "installed"]
