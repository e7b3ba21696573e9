"""Nodes that terminate the process in which ONNX Runtime runs them, found by running random nodes, each in its own
process.

ONNX Runtime reports an error for most invalid nodes. It does not check those refused here, and some of them terminate
the process already when a file is loaded and its constants are folded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.bundle.scan.attributes import describe
from zoo.bundle.scan.reading import refuse
from zoo.bundle.scan.values import FLOATS, Fields, Value


def check_traps(node: Fields, attributes: Mapping[str, Fields], takes: Sequence[Value]) -> None:
    """Refuse such a node."""
    if node["op_type"] in ("Div", "Mod"):
        _check_division(node, takes)
    elif node["op_type"] == "Split":
        _check_split(node, attributes, takes)


def _check_division(node: Fields, takes: Sequence[Value]) -> None:
    """An integer division traps for a divisor of 0, and for the smallest number divided by -1, which overflows.

    So a divisor must be floating-point, or known to be neither 0 nor -1: a constant, or a maximum with a constant of 1
    or more, which is how exporters write divisions by sizes.
    """
    if any(value.dtype in FLOATS for value in takes):
        return
    if takes[1].positive:
        return
    divisor = takes[1].constant
    if divisor is None or divisor.dtype.kind not in "iu" or any(int(v) in (0, -1) for v in divisor):
        refuse(f"has a node {describe(node)} that divides integers by a number that may be 0 or -1")


def _check_split(node: Fields, attributes: Mapping[str, Fields], takes: Sequence[Value]) -> None:
    """A Split writes one part per output, but allocates only as many as its attribute states."""
    outputs = len(node["output"])
    stated = attributes["num_outputs"]["i"] if "num_outputs" in attributes else outputs
    sizes = takes[1].constant if len(takes) > 1 else None
    if stated != outputs or (sizes is not None and len(sizes) != outputs):
        refuse(f"has a node {describe(node)} of {outputs} outputs, whose attribute states a different number of parts")
