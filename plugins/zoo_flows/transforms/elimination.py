"""The log-determinant of matrices that are near the identity, written into a graph.

The matrices are I + J with ‖J‖ < 1. Their symmetric parts are positive definite, which elimination hands on to what is
left of them: every pivot is at least 1 - ‖J‖, so no rows are ever swapped, and the pivots' logarithms have a sum that
neither overflows nor vanishes, as ONNX's ``Det`` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.programs.graph_writing import Net, Value

#: matrices up to this size are eliminated without a loop
_SMALL = 8
_END = 2**31 - 1


def log_det(net: Net, way: str, matrix: Value, size: int) -> Value:
    """log det ``[n]`` of matrices ``[n, d, d]``.

    Args:
        net: the graph.
        way: ``"unroll"`` or ``"loop"``.
        matrix: near the identity, see above.
        size: d.
    """
    state: list[Value] = [matrix, net("Log", _part(net, matrix, 0, 0))]
    if way == "loop" and size > _SMALL:
        state = net.loop(size - 1, state, _turn)
    else:
        for _ in range(size - 1):
            state = _turn(net, None, state)
    return net("Squeeze", state[1], net.integers(1, 2))


def _turn(net: Net, turn: Value, state: Sequence[Value]) -> list[Value]:
    """Eliminate the first row and column, which leaves a smaller matrix, and add its first pivot's logarithm."""
    matrix, total = state
    pivot, row, column, rest = (_part(net, matrix, i, j) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    left = net("Sub", rest, net("Mul", column, net("Div", row, pivot)))
    return [left, net("Add", total, net("Log", _part(net, left, 0, 0)))]


def _part(net: Net, matrix: Value, i: int, j: int) -> Value:
    """The first row (0) or the others (1), and the same of columns."""
    ends = (_END if i else 1, _END if j else 1)
    return net("Slice", matrix, net.integers(i, j), net.integers(*ends), net.integers(1, 2))
