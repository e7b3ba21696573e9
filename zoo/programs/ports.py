"""Inputs and outputs of graphs: their names, types and sizes. A leaf module, shared by manifests, scans and writers."""

from __future__ import annotations

from dataclasses import dataclass

#: a size, or the name of a symbolic dimension such as ``"batch"``
Dim = int | str


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    Attributes:
        name: as in the ONNX file.
        dtype: ``"float32"`` or ``"int32"``.
        shape: sizes, or names of symbolic dimensions such as ``"batch"``.
        meaning: one line for authors of runtimes.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    meaning: str = ""
