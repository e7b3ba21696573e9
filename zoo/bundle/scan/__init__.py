"""Checks of untrusted files, made before any other parser sees a byte.

==========================  =====================================================================================
:mod:`zoo.bundle.scan.wire`        protobuf's wire format, as far as ONNX files use it
:mod:`zoo.bundle.scan.messages`    the fields of the messages in an ONNX file
:mod:`zoo.bundle.scan.operators`   the operators that a graph may use
:mod:`zoo.bundle.scan.schemas`     their schemas
:mod:`zoo.bundle.scan.reading`     the parts of a graph's file: ports and tensors
:mod:`zoo.bundle.scan.attributes`  a node's attributes
:mod:`zoo.bundle.scan.values`      constants and types of a graph's values
:mod:`zoo.bundle.scan.traps`       nodes that end the process
:mod:`zoo.bundle.scan.graph`       the rules for a graph
:mod:`zoo.bundle.scan.tensors`     the header of a safetensors file, and finite values
==========================  =====================================================================================

Pure Python and NumPy: neither onnx nor protobuf nor ONNX Runtime is needed or imported. Weights are not loaded.
"""

from zoo.bundle.scan.graph import scan_graph
from zoo.bundle.scan.tensors import check_finite, read_header

__all__ = ["check_finite", "read_header", "scan_graph"]
