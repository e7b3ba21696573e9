"""Samples as files and pictures. matplotlib and Pillow are imported only when a picture is drawn; no torch."""

from __future__ import annotations

from zoo.render.files import Extras, check_output, default_suffix, write
from zoo.render.formats import FORMATS

__all__ = ["FORMATS", "Extras", "check_output", "default_suffix", "write"]
