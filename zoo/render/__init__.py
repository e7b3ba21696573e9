"""Samples as files and pictures. matplotlib and Pillow are imported only when a picture is drawn; no torch.

The names stand in the stub beside this file and are loaded when they are first used: every registry lists the formats,
and none writes a file.
"""

from __future__ import annotations

from zoo.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__)
