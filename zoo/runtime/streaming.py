"""Sampling with intermediate frames, and with ``await`` for servers.

asyncio is imported where it is awaited: who does not await need not wait for its import.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.counts import Progress
from zoo.runtime.running import Samples
from zoo.samplers.state import SamplerState
from zoo.samplers.stepping import Preview


@dataclass(frozen=True)
class Frame:
    """Intermediate samples.

    Attributes:
        step: number of steps taken, from 1.
        steps: total number of steps.
        x: the current denoised samples (x̂₀), float32 ``[n, *event_shape]`` in data units; in the last frame the
            samples.
    """

    step: int
    steps: int
    x: NDArray[np.float32]

    @property
    def final(self) -> bool:
        """Whether these are the samples."""
        return self.step == self.steps


class Advancing(Protocol):
    """Advances states: :class:`zoo.runtime.BundledModel`."""

    def advance(
        self,
        state: SamplerState,
        rows: int | None = None,
        *,
        batch_size: int | None = None,
        preview: Preview | None = None,
    ) -> SamplerState:
        """The state after the next rows."""
        ...

    def finish(self, state: SamplerState, *, batch_size: int | None = None) -> Samples:
        """The samples."""
        ...


class _Cancelled(Exception):  # noqa: N818 - internal: the caller has already been cancelled
    """Ends a run whose result is no longer needed."""


def frames(
    model: Advancing, state: SamplerState, event_shape: tuple[int, ...], batch_size: int | None
) -> Iterator[Frame]:
    """A frame after each remaining step of a state.

    Args:
        model: advances the state.
        state: the state of the run.
        event_shape: shape of one sample.
        batch_size: samples in one call of a graph, or None.
    """
    seen = np.empty((state.n, *event_shape), np.float32)

    def look(_: int, part: slice, x: Array) -> None:
        seen[part] = x

    steps = len(state.table)
    for row in range(state.row, steps - 1):
        state = model.advance(state, 1, batch_size=batch_size, preview=look)
        yield Frame(row + 1, steps, seen.copy())
    yield Frame(steps, steps, model.finish(state, batch_size=batch_size))


async def awaited_frames(stream: Callable[[], Iterator[Frame]]) -> AsyncIterator[Frame]:
    """The frames of ``stream()``, each computed in a thread."""
    import asyncio

    coming = await asyncio.to_thread(stream)
    while (frame := await asyncio.to_thread(next, coming, None)) is not None:
        yield frame


async def awaited(draw: Callable[[Progress], Samples], progress: Progress | None) -> Samples:
    """Samples drawn in a thread; if cancelled, it ends after the current call of a graph.

    Args:
        draw: draws them, and reports each call of a graph to its argument.
        progress: receives the same reports, or None.
    """
    import asyncio

    cancelled = threading.Event()

    def look(done: int, total: int) -> None:
        if cancelled.is_set():
            raise _Cancelled
        if progress is not None:
            progress(done, total)

    try:
        return await asyncio.to_thread(draw, look)
    finally:
        cancelled.set()  # a thread cannot be stopped from outside, and would continue to the last step
