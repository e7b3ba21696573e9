"""What is installed: descriptions provided by plugins, discovered through entry points and looked up by name. No torch.

Names are imported lazily: a runtime imports this package only for :mod:`zoo.registry.extensions`, and needs no pluggy.
"""

from __future__ import annotations

from zoo.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__)
