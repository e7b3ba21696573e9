"""Targets that pack a bundle: ``python`` and ``cpp``, programs that run it; ``mobile``; ``triton``, for a server."""

from __future__ import annotations

from collections.abc import Iterable

import zoo


@zoo.hookimpl
def zoo_exporters() -> Iterable[zoo.Exporter]:
    """The targets ``python``, ``cpp``, ``mobile`` and ``triton``."""
    return [
        zoo.Exporter(
            name="python",
            summary="A folder that runs with numpy and onnxruntime alone: one file of about 400 lines.",
            entry="zoo_targets.python:pack",
            verify="zoo_targets.python:verify",
            packs=True,
            requires=("onnxruntime",),
        ),
        zoo.Exporter(
            name="cpp",
            summary="A C++17 program and header library that run the bundle with ONNX Runtime's C API.",
            entry="zoo_targets.cpp:pack",
            verify="zoo_targets.cpp:verify",
            packs=True,
            requires=("onnxruntime",),
        ),
        zoo.Exporter(
            name="mobile",
            summary="Graphs in ORT format, and the operators and types that a minimal build of ONNX Runtime needs.",
            entry="zoo_targets.mobile:pack",
            verify="zoo_targets.mobile:verify",
            packs=True,
            requires=("onnxruntime", "onnx", "flatbuffers"),
        ),
        zoo.Exporter(
            name="triton",
            summary="A model repository for NVIDIA Triton Inference Server, and a client that samples through it.",
            entry="zoo_targets.triton:pack",
            verify="zoo_targets.triton:verify",
            packs=True,
            requires=("onnxruntime",),
        ),
    ]
