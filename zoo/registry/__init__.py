"""What is installed: descriptions that plugins hand over, found by entry points and looked up by name. No torch.

Names are looked up late: a runtime imports this package for :mod:`zoo.registry.extensions` alone, and needs no pluggy.
"""

from __future__ import annotations

from zoo.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__)
