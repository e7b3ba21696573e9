"""The log-determinant of matrices that are near the identity, written into a graph.

The matrices are I + J with ‖J‖ < 1. Their symmetric parts are positive definite, which elimination hands on to what is
left of them: every pivot is at least 1 - ‖J‖, so no rows are ever swapped, and the pivots' logarithms have a sum that
neither overflows nor vanishes, as ONNX's ``Det`` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.programs.graph_writing import GraphBuilder, Value

#: matrices up to this size are eliminated without a loop
_SMALL = 8
_END = 2**31 - 1


def log_det(builder: GraphBuilder, way: str, matrix: Value, size: int) -> Value:
    """log det ``[n]`` of matrices ``[n, d, d]``.

    Args:
        builder: the graph.
        way: ``"unroll"`` or ``"loop"``.
        matrix: near the identity, see above.
        size: d.
    """
    state: list[Value] = [matrix, builder("Log", _part(builder, matrix, 0, 0))]
    if way == "loop" and size > _SMALL:
        state = builder.loop(size - 1, state, _turn)
    else:
        for _ in range(size - 1):
            state = _turn(builder, None, state)
    return builder("Squeeze", state[1], builder.integers(1, 2))


def _turn(builder: GraphBuilder, turn: Value, state: Sequence[Value]) -> list[Value]:
    """Eliminate the first row and column, which leaves a smaller matrix, and add its first pivot's logarithm."""
    matrix, total = state
    pivot, row, column, rest = (_part(builder, matrix, i, j) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    left = builder("Sub", rest, builder("Mul", column, builder("Div", row, pivot)))
    return [left, builder("Add", total, builder("Log", _part(builder, left, 0, 0)))]


def _part(builder: GraphBuilder, matrix: Value, i: int, j: int) -> Value:
    """The first row (0) or the others (1), and the same of columns."""
    ends = (_END if i else 1, _END if j else 1)
    return builder("Slice", matrix, builder.integers(i, j), builder.integers(*ends), builder.integers(1, 2))
