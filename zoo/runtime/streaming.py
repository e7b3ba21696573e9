"""Sampling that can be watched and waited for: frames as they come, and ``await`` for servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zoo.counts import Progress
from zoo.runtime.running import Samples
from zoo.samplers.state import SamplerState
from zoo.samplers.stepping import Preview


@dataclass(frozen=True)
class Frame:
    """Samples on their way.

    Attributes:
        step: of how many steps this is the outcome, from 1 up.
        steps: how many there are.
        x: what the network takes the samples for by now (x̂₀), float32 ``[n, *event_shape]`` in data units; in the last
            frame the samples.
    """

    step: int
    steps: int
    x: NDArray[np.float32]

    @property
    def final(self) -> bool:
        """Whether these are the samples."""
        return self.step == self.steps


class Advancing(Protocol):
    """What moves states: :class:`zoo.runtime.BundledModel`."""

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


class _Cancelled(Exception):  # noqa: N818 - nobody sees it: who would have waited for the samples has gone
    """Ends a run in whose outcome nobody is interested any more."""


def frames(
    model: Advancing, state: SamplerState, event_shape: tuple[int, ...], batch_size: int | None
) -> Iterator[Frame]:
    """A frame after each step that is left of a state.

    Args:
        model: moves the state.
        state: where the run stands.
        event_shape: shape of one sample.
        batch_size: samples in one call of a graph, or None.
    """
    seen = np.empty((state.n, *event_shape), np.float32)

    def look(_: int, part: slice, x: NDArray[Any]) -> None:
        seen[part] = x

    steps = len(state.table)
    for row in range(state.row, steps - 1):
        state = model.advance(state, 1, batch_size=batch_size, preview=look)
        yield Frame(row + 1, steps, seen.copy())
    yield Frame(steps, steps, model.finish(state, batch_size=batch_size))


async def awaited_frames(stream: Callable[[], Iterator[Frame]]) -> AsyncIterator[Frame]:
    """The frames of ``stream()``, each computed in a thread."""
    coming = await asyncio.to_thread(stream)
    while (frame := await asyncio.to_thread(next, coming, None)) is not None:
        yield frame


async def awaited(draw: Callable[[Progress], Samples], progress: Progress | None) -> Samples:
    """Samples drawn in a thread; cancelled, it ends with the call of a graph that is being made.

    Args:
        draw: draws them, and tells its argument about each call of a graph.
        progress: is told likewise, or None.
    """
    cancelled = threading.Event()

    def look(done: int, total: int) -> None:
        if cancelled.is_set():
            raise _Cancelled
        if progress is not None:
            progress(done, total)

    try:
        return await asyncio.to_thread(draw, look)
    finally:
        cancelled.set()  # a thread cannot be ended from outside, and would go on to the last step
