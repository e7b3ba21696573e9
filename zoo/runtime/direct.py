"""Programs of one call: a flow's ``sample`` and ``log_prob``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.programs import Direct
from zoo.runtime.session import Session


def sample(
    session: Session, program: Direct, *, seed: int, first: int, n: int, condition: NDArray[Any] | None
) -> NDArray[np.float32]:
    """Samples ``first`` to ``first + n`` of a run: base noise through the graph.

    Args:
        session: the program's graph.
        program: names the input that takes standard normals.
        seed: key of the noise.
        first: index of the first sample.
        n: how many.
        condition: ``[n]`` or ``[n, d]``, or None.

    Returns:
        float32 ``[n, *event]``.
    """
    (port,) = (p for p in session.inputs if p.name == program.noise)
    shape = tuple(int(size) for size in port.shape[1:])
    feeds: dict[str, NDArray[Any]] = {port.name: noise.normal(seed, n, shape, first=first)}
    return _call(session, feeds, condition)


def log_prob(session: Session, x: NDArray[np.float32], condition: NDArray[Any] | None) -> NDArray[np.float64]:
    """Log-density ``[n]`` in nats of data ``[n, *event]``: one call of the graph."""
    (port,) = (p for p in session.inputs if p.name != "condition")
    return _call(session, {port.name: x}, condition).astype(np.float64)


def _call(session: Session, feeds: dict[str, NDArray[Any]], condition: NDArray[Any] | None) -> NDArray[Any]:
    if condition is not None:
        feeds["condition"] = condition
    output = session.outputs[0].name
    return session.run(feeds, [output])[output]
