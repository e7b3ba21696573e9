"""The exported folder: its manifest, the checks before anything runs, and the comparison of arrays."""

from __future__ import annotations

from zoo.bundle.manifest import FORMAT, VERSION, FileInfo, GraphInfo, Manifest, read_manifest
from zoo.bundle.nearby import MANIFEST
from zoo.bundle.opening import (
    EXAMPLE,
    GOLDEN,
    MODEL_CARD,
    TABLES,
    WEIGHTS,
    Bundle,
    file_info,
    is_bundle,
    open_bundle,
)

__all__ = [
    "EXAMPLE",
    "FORMAT",
    "GOLDEN",
    "MANIFEST",
    "MODEL_CARD",
    "TABLES",
    "VERSION",
    "WEIGHTS",
    "Bundle",
    "FileInfo",
    "GraphInfo",
    "Manifest",
    "file_info",
    "is_bundle",
    "open_bundle",
    "read_manifest",
]
