"""Sampling that can be watched and waited for: frames as they come, and ``await`` for servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.progress import Progress
from zoo.runtime.running import Samples
from zoo.runtime.sampling import Sampling
from zoo.samplers.state import SamplerState


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


class _Cancelled(Exception):  # noqa: N818 - nobody sees it: who would have waited for the samples has gone
    """Ends a run in whose outcome nobody is interested any more."""


class Streaming(Sampling):
    """What of a bundle's model can be watched and waited for."""

    def stream(self, n: int, *, batch_size: int | None = None, **options: Any) -> Iterator[Frame]:
        """Draw samples, and give a frame after each step. A model that samples in one call does so here, for one frame.

        Args:
            n: how many; all of them go through a step before the next, so that all are in memory.
            batch_size: as for :meth:`sample`.
            options: of :meth:`sample` or :meth:`begin`. Whoever does not take all frames stops the run.

        Raises:
            UsageError, DataError, ConditionError: as for :meth:`sample`, before the first frame is asked for.
            RuntimeFailure: with a frame.
        """
        if self.manifest.sample.stepped and not options.get("fused"):
            options.pop("fused", None)
            return self._frames(self.begin(n, **options), batch_size)
        return iter([Frame(1, 1, self.sample(n, batch_size=batch_size, **options))])

    async def stream_async(self, n: int, **options: Any) -> AsyncIterator[Frame]:
        """:meth:`stream` for ``async for``; each step runs in a thread, and others may run between.

        Cancelled, or left early, it ends with the step that is being computed.
        """
        if not self.manifest.sample.stepped or options.get("fused"):
            yield Frame(1, 1, await self.sample_async(n, **options))
            return
        frames = await asyncio.to_thread(self.stream, n, **options)
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            yield frame

    async def sample_async(self, n: int, *, progress: Progress | None = None, **options: Any) -> Samples:
        """:meth:`sample` in a thread, for ``await``. Cancelled, it ends with the call of a graph that is being made."""
        cancelled = threading.Event()

        def look(done: int, total: int) -> None:
            if cancelled.is_set():
                raise _Cancelled
            if progress is not None:
                progress(done, total)

        try:
            return await asyncio.to_thread(self.sample, n, progress=look, **options)
        finally:
            cancelled.set()  # a thread cannot be ended from outside, and would go on to the last step

    def warm_up(self, n: int = 1) -> None:
        """Load what sampling and scoring take, and run a step, so that the first request is as fast as the next.

        Args:
            n: samples in a request, where the device prepares itself for sizes.
        """
        if self.manifest.sample.stepped:
            self.advance(self.begin(n, seed=0), 1)
        else:
            self.sample(n, seed=0)
        if self.manifest.log_prob is not None:
            self.session(self.manifest.log_prob.graph)

    def _frames(self, state: SamplerState, batch_size: int | None) -> Iterator[Frame]:
        seen = np.empty((state.n, *self.event_shape), np.float32)

        def look(_: int, part: slice, x: NDArray[Any]) -> None:
            seen[part] = x

        steps = len(state.table)
        for row in range(state.row, steps - 1):
            state = self.advance(state, 1, batch_size=batch_size, preview=look)
            yield Frame(row + 1, steps, seen.copy())
        yield Frame(steps, steps, self.finish(state, batch_size=batch_size))
