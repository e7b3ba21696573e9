"""Programs of one call: a flow's ``sample`` and ``log_prob``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.programs import Direct
from zoo.runtime.session import Session


def sample(
    session: Session, program: Direct, z: NDArray[np.float32], condition: NDArray[Any] | None
) -> NDArray[np.float32]:
    """Base noise ``[n, *noise_shape]`` through the graph, to float32 ``[n, *event]``."""
    assert program.noise is not None
    return _call(session, {program.noise: z}, condition)


def log_prob(session: Session, x: NDArray[np.float32], condition: NDArray[Any] | None) -> NDArray[np.float64]:
    """Log-density ``[n]`` in nats of data ``[n, *event]``: one call of the graph."""
    (port,) = (p for p in session.inputs if p.name != "condition")
    return _call(session, {port.name: x}, condition).astype(np.float64)


def _call(session: Session, feeds: dict[str, NDArray[Any]], condition: NDArray[Any] | None) -> NDArray[Any]:
    if condition is not None:
        feeds["condition"] = condition
    output = session.outputs[0].name
    return session.run(feeds, [output])[output]
