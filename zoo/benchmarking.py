"""How fast a model samples: milliseconds a step in ONNX Runtime, beside the bare calls of its graph and PyTorch.

What is compared takes turns in one run, so that whatever else the machine does meets all of it alike: figures are
medians with quartiles, and ratios are taken turn by turn.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.errors import DeviceMemoryError

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel
    from zoo.runtime import BundledModel

OURS, PYTORCH = "onnxruntime", "pytorch"
#: seconds of a turn to aim at: so many steps are taken in one
TURN = 0.05
#: turns of a measurement, if there is time
TURNS = 9
#: samples of the larger batches that are measured by default; the first is measured in any case
BATCHES = (1, 16, 256)


@dataclass(frozen=True)
class Spread:
    """Of several values: the median, the quartiles, the least, and how many there were."""

    median: float
    low: float
    high: float
    least: float
    turns: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value or more."""
        quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        return cls(quartiles[1], quartiles[0], quartiles[2], min(values), len(values))

    def scaled(self, factor: float) -> Spread:
        """Of the values times a positive factor."""
        numbers = (factor * value for value in (self.median, self.low, self.high, self.least))
        return Spread(*numbers, self.turns)


def in_turns(
    calls: Mapping[str, Callable[[], object]], seconds: float, *, turns: int = TURNS, least: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call in each turn. All are called once before, which counts for nothing.

    Every other turn goes through them backwards, so that none always follows the same other one.

    Args:
        calls: what to call, by name.
        seconds: no turn is begun later than this, beyond the ``least``.
        turns: the most turns.
        least: the fewest.
    """
    began = time.perf_counter()
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns):
        if turn >= least and time.perf_counter() - began > seconds:
            break
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            taken[name].append(seconds_of(calls[name]))
    return taken


def ratios(taken: Mapping[str, Sequence[float]], base: str) -> dict[str, Spread]:
    """How many times as fast as ``base`` the others are, turn by turn."""
    return {
        name: Spread.of([theirs / ours for theirs, ours in zip(taken[base], values, strict=True)])
        for name, values in taken.items()
        if name != base
    }


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Stepping:
    """Something that takes steps, or calls of a model that samples in one.

    Attributes:
        take: takes so many of them for a batch; the result is on the host when it returns.
        steps: how many a sample needs.
    """

    take: Callable[[int], object]
    steps: int


def stepping(model: BundledModel | GenerativeModel, batch: int, **options: Any) -> Stepping:
    """A model's steps for a batch: rows of its step table from the first on, or whole calls.

    Args:
        model: in ONNX Runtime, or in PyTorch on the CPU.
        batch: samples.
        options: of ``begin`` or ``sample``, such as the condition, the sampler and its steps.

    Raises:
        ZooError: options that the model does not support.
    """
    given = {} if not hasattr(model, "bundle") else {"batch_size": batch}
    table = model.table(**_of_table(options)) if hasattr(model, "table") else None
    if table is None:

        def calls(count: int) -> None:
            for _ in range(count):
                model.sample(batch, seed=0, **given, **options)

        return Stepping(calls, 1)
    state = model.begin(batch, seed=0, **options)  # type: ignore[union-attr]
    return Stepping(lambda rows: model.advance(state, rows, **given), len(table))  # type: ignore[union-attr]


def _of_table(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "condition"}


@dataclass(frozen=True)
class Measured:
    """One engine at one batch with so many threads.

    Attributes:
        engine: :data:`OURS` or :data:`PYTORCH`.
        threads: CPU threads.
        batch: samples.
        steps: that a sample needs.
        step: seconds a step.
        samples_a_second: the batch by the median time of all its steps, without a decoder after them.
        overhead: seconds a step outside the calls of the graph; None for PyTorch.
        times_pytorch: how many times as fast as PyTorch, turn by turn; None without it.
    """

    engine: str
    threads: int
    batch: int
    steps: int
    step: Spread
    samples_a_second: float
    overhead: Spread | None = None
    times_pytorch: Spread | None = None


@dataclass
class Report:
    """What was measured of a model, and what was not, with the reason."""

    measured: list[Measured] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def measure(
    bundled: Callable[[int], BundledModel],
    torch_model: GenerativeModel | None,
    *,
    batches: Sequence[int],
    threads: Sequence[int],
    seconds: float,
    options: Mapping[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Measure a model with each number of threads at each batch, the smallest first, until the time is over.

    Args:
        bundled: gives the model in ONNX Runtime for a number of threads.
        torch_model: the same in PyTorch, or None.
        batches: samples of a batch.
        threads: CPU threads.
        seconds: for everything; what was begun is ended.
        options: see :func:`stepping`.
        progress: called with (measurements done, measurements in all).

    Raises:
        ZooError: the first measurement fails.
    """
    report, ends = Report(), time.perf_counter() + seconds
    plan = [(count, batch) for count in threads for batch in sorted(batches)]
    rounds: dict[int, list[tuple[int, float]]] = {}
    for done, (count, batch) in enumerate(plan):
        name = f"batch {batch}, {count} thread{'s' * (count > 1)}"
        left = ends - time.perf_counter()
        if report.measured and _expected(rounds.get(count, []), batch) > left:
            over = f"would take longer than the {left:.0f} s left" if left > 0 else "the time was over"
            report.left_out[name] = over
            continue
        try:
            with _torch_threads(torch_model, count):
                rows, took = _one(bundled(count), torch_model, batch, count, left / (len(plan) - done), options)
        except DeviceMemoryError as error:
            if not report.measured:
                raise
            report.left_out[name] = str(error)
            continue
        report.measured += rows
        rounds.setdefault(count, []).append((batch, took))
        progress(done + 1, len(plan))
    return report


def _expected(rounds: Sequence[tuple[int, float]], batch: int) -> float:
    """Seconds of a round at a batch, on a line through those of the last two smaller ones, or of one and of nothing."""
    if not rounds:
        return 0.0
    (less, before), (size, took) = rounds[-2:] if len(rounds) > 1 else [(0, 0.0), rounds[-1]]
    return took + max(took - before, 0.0) / (size - less) * (batch - size)


def _one(
    bundle: BundledModel,
    torch_model: GenerativeModel | None,
    batch: int,
    threads: int,
    seconds: float,
    options: Mapping[str, Any],
) -> tuple[list[Measured], float]:
    """A batch: what was measured, and the seconds that a round of single steps takes, with the one that warms up."""
    from zoo.runtime.timing import timed

    session = bundle.session(bundle.manifest.sampling.graph)
    ours = stepping(bundle, batch, **options)
    engines = {OURS: ours}
    if torch_model is not None:
        engines[PYTORCH] = stepping(torch_model, batch, **options)
    ours.take(1)
    count = max(1, min(ours.steps if ours.steps > 1 else 1000, int(TURN / max(seconds_of(lambda: ours.take(1)), 1e-9))))
    outside: list[float] = []

    def watched() -> None:
        with timed(session) as calls:
            whole = seconds_of(lambda: ours.take(count))
        outside.append((whole - sum(calls)) / count)

    turns: dict[str, Callable[[], object]] = {
        name: (lambda engine=engine: engine.take(count)) for name, engine in engines.items()
    }
    taken = in_turns({**turns, "watched": watched}, seconds)
    per_step = {name: Spread.of([value / count for value in values]) for name, values in taken.items()}
    times = ratios({name: taken[name] for name in turns}, PYTORCH).get(OURS) if torch_model is not None else None
    rows = []
    for name, engine in engines.items():
        rate = batch / (engine.steps * per_step[name].median)
        own = (Spread.of(outside[1:]), times) if name == OURS else (None, None)
        rows.append(Measured(name, threads, batch, engine.steps, per_step[name], rate, *own))
    return rows, 3 * sum(spread.median for spread in per_step.values())


class _torch_threads:  # noqa: N801 - used as a statement
    """A block in which PyTorch has so many threads, if it is compared."""

    def __init__(self, model: GenerativeModel | None, count: int) -> None:
        self._used, self._count, self._before = model is not None, count, 0

    def __enter__(self) -> None:
        if self._used:
            import torch

            self._before = torch.get_num_threads()
            torch.set_num_threads(self._count)

    def __exit__(self, *_: object) -> None:
        if self._used:
            import torch

            torch.set_num_threads(self._before)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
