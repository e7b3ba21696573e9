"""The version of genzoo that is installed."""

from __future__ import annotations

from importlib import metadata

try:
    __version__ = metadata.version("genzoo")
except metadata.PackageNotFoundError:  # a checkout on the path that is not installed
    __version__ = "0+unknown"
