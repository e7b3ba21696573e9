"""Programs that run a step table: a diffusion's ``sample``. See :mod:`zoo.samplers.table` for the equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.errors import RuntimeFailure
from zoo.noise import Stream
from zoo.programs import Iterate
from zoo.runtime.session import Session
from zoo.samplers import Step, StepTable, evaluations

Tick = Callable[[], None]


def sample(
    session: Session,
    program: Iterate,
    table: StepTable,
    *,
    event_shape: tuple[int, ...],
    seed: int,
    first: int,
    n: int,
    condition: NDArray[Any] | None,
    tick: Tick,
) -> NDArray[np.float32]:
    """Samples ``first`` to ``first + n`` of a run.

    Args:
        session: the graph ``step``.
        program: scale, shift and range of the data, and the null class.
        table: the sampler.
        event_shape: shape of one sample.
        seed: key of the noise.
        first: index of the first sample.
        n: how many.
        condition: ``[n]`` or ``[n, d]``, or None.
        tick: called after each row.

    Returns:
        float32 ``[n, *event]`` in data units.

    Raises:
        RuntimeFailure: the state is not finite after step k, or ONNX Runtime failed.
    """
    initial = np.zeros((table.slots, n, *event_shape), np.float32)
    initial[0] = np.float32(table.initial_scale) * noise.normal(seed, n, event_shape, first=first)
    silence = np.zeros((n, *event_shape), np.float32)

    def loop(*, watch: bool, tick: Tick) -> NDArray[np.float32]:
        # the state stays where the graph runs and goes back and forth between two buffers
        state, spare = session.value(initial), session.value(initial)
        for row in table:
            fresh = silence
            if row.noise_scale:
                fresh = noise.normal(seed, n, event_shape, first=first, step=row.index, stream=Stream.STEP)
            feeds = _feeds(row, fresh, condition, program.null_class)
            session.run_on(feeds, {"state": state}, {"next_state": spare})
            state, spare = spare, state
            if watch:
                _check(session.fetch(state), row, table, session, first)
            tick()
        return session.fetch(state)

    # looking at every step would make a GPU wait; there a state that ends up not finite is searched for afterwards
    on_cpu = session.provider == "cpu"
    state = loop(watch=on_cpu, tick=tick)
    if not np.isfinite(state).all():
        loop(watch=True, tick=lambda: None)
        raise RuntimeFailure(f"graph {session.graph.name} gives values that are not finite, and not every time")
    x: NDArray[np.float32] = np.float32(program.shift) + np.float32(program.scale) * state[0]
    if program.data_min is not None and program.data_max is not None:
        x = x.clip(np.float32(program.data_min), np.float32(program.data_max))
    return x


def _feeds(
    row: Step, fresh: NDArray[np.float32], condition: NDArray[Any] | None, null_class: int | None
) -> dict[str, NDArray[Any]]:
    """The inputs of the graph ``step`` but the state."""
    evaluated, weights = evaluations(condition, row.guidance, null_class)
    feeds: dict[str, NDArray[Any]] = {
        "time": np.array(row.time, np.float32),
        "alpha": np.array(row.alpha, np.float32),
        "sigma": np.array(row.sigma, np.float32),
        "clip": np.array(row.clip, np.float32),
        "noise_scale": np.array(row.noise_scale, np.float32),
        "matrix": row.matrix.astype(np.float32),
        "noise": fresh,
        "weights": weights,
    }
    if evaluated is not None:
        feeds["condition"] = evaluated
    return feeds


def _check(state: NDArray[np.float32], row: Step, table: StepTable, session: Session, first: int) -> None:
    """Refuse a state that is not finite, saying at which step and in which sample that began."""
    finite = np.asarray(np.isfinite(state).swapaxes(0, 1).reshape(state.shape[1], -1).all(1))
    if not finite.all():
        raise RuntimeFailure(
            f"sampling broke down at step {row.index + 1} of {len(table)}: graph {session.graph.name} gives values "
            f"that are not finite in {np.count_nonzero(~finite)} of {len(finite)} samples, "
            f"first in sample {first + int(np.argmin(finite))}"
        )
