"""Fused runs: a whole batch of samples in one call of one graph, noise and all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.runtime.session import Session


def sample(session: Session, *, seed: int, first: int, n: int, condition: NDArray[Any] | None) -> NDArray[np.float32]:
    """Samples ``first`` to ``first + n`` of a run, float32 ``[n, *event]`` in data units.

    Args:
        session: the fused graph.
        seed: key of the noise, a whole number in [0, 2⁶⁴).
        first: index of the first sample.
        n: how many.
        condition: ``[n]`` or ``[n, d]``, or None.
    """
    feeds: dict[str, NDArray[Any]] = {
        # the graph takes the 64 bits of the seed in an int64, which every runtime has
        "seed": np.array(seed, np.uint64).view(np.int64),
        "first": np.array(first, np.int64),
        "n": np.array(n, np.int64),
    }
    if condition is not None:
        feeds["condition"] = condition
    return session.run(feeds)["x"]
