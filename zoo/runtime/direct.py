"""Programs of one call: a flow's ``sample`` and ``log_prob``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.programs import Direct
from zoo.runtime.session import Session
from zoo.samplers.state import spread


def given_noise(session: Session, program: Direct, values: Any, n: int) -> NDArray[np.float32]:
    """Base noise ``[n, *noise_shape]`` from an array that can be broadcast to it.

    Raises:
        DataError: it cannot, or its values are not finite numbers.
    """
    return spread(values, _noise_shape(session, program), n, "the noise to start from")


def noise_of(session: Session, program: Direct, seed: int, part: slice) -> NDArray[np.float32]:
    """The specified base noise of some samples of a run."""
    return noise.normal(seed, part.stop - part.start, _noise_shape(session, program), first=part.start)


def _noise_shape(session: Session, program: Direct) -> tuple[int, ...]:
    (port,) = (p for p in session.inputs if p.name == program.noise)
    return tuple(int(size) for size in port.shape[1:])


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
