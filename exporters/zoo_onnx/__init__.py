"""Target ``onnx``: the bundle, ONNX graphs that ONNX Runtime runs anywhere. See :mod:`zoo.bundle` for its files."""

from __future__ import annotations

from collections.abc import Iterable

import zoo


@zoo.hookimpl
def zoo_exporters() -> Iterable[zoo.Exporter]:
    """The target ``onnx``."""
    return [
        zoo.Exporter(
            name="onnx",
            summary="A bundle: ONNX graphs, one weights file, and the proof that they equal the model.",
            entry="zoo_onnx.export:export",
            verify="zoo_onnx.export:verify",
            checks="zoo_onnx.checks:model_checks",
            requires=("torch", "onnx", "onnxscript", "onnxruntime"),
        )
    ]
