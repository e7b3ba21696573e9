"""Samples as files and pictures. matplotlib and Pillow are imported only when a picture is drawn; no torch."""

from __future__ import annotations

from zoo.render.files import FORMATS, check_output, default_suffix, write

__all__ = ["FORMATS", "check_output", "default_suffix", "write"]
