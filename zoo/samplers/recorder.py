"""Write a sampler as in its paper, and get its step table.

A :class:`Recorder` runs a sampler symbolically: x, D and noise are :class:`Linear` combinations that can be added and
scaled, nothing else, so whatever the sampler computes is a row of a table. Which past values are carried in
history slots, and in which slots, follows from what the sampler uses later::

    def euler(path, steps, *, spacing="trailing"):
        run = Recorder(path, steps, spacing)
        x = run.start()
        for here, there in run.grid:
            x, d = run.denoise(x, here)
            x = there.alpha * d + there.sigma / here.sigma * (x - here.alpha * d)
        return run.table(x)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from zoo.arrays import Float64Array
from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.spacing import Grid, Point, Spacing
from zoo.samplers.table import StepTable

_RULE = "a sampler adds x, D and noise to each other and multiplies them by numbers, nothing else"


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear combination of numbered values and of independent noises."""

    values: Mapping[int, float] = field(default_factory=dict)
    noises: Mapping[int, float] = field(default_factory=dict)

    def __add__(self, other: Linear) -> Linear:
        if not isinstance(other, Linear):
            raise TypeError(f"{_RULE}, and a {type(other).__name__} is added")
        return Linear(_added(self.values, other.values), _added(self.noises, other.noises))

    __radd__ = __add__

    def __mul__(self, factor: float | Linear) -> Linear:
        if isinstance(factor, Linear):
            raise TypeError(f"{_RULE}, and two of them are multiplied")
        return Linear({k: factor * v for k, v in self.values.items()}, {k: factor * v for k, v in self.noises.items()})

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Linear) -> Linear:
        if isinstance(divisor, Linear):
            raise TypeError(f"{_RULE}, and one of them is divided by another")
        return self * (1.0 / divisor)

    def __sub__(self, other: Linear) -> Linear:
        return self + -1.0 * other


def _added(a: Mapping[int, float], b: Mapping[int, float]) -> dict[int, float]:
    return {k: a.get(k, 0.0) + b.get(k, 0.0) for k in (*a, *(k for k in b if k not in a))}


@dataclass
class _Row:
    """One evaluation: its point, the numbers of x and D, whether D is unbounded, the number of D before it is bounded
    where both are needed, the values defined after it, and the next x."""

    at: Point
    x: int
    d: int
    free: bool = False
    unclipped: int | None = None
    kept: dict[int, Linear] = field(default_factory=dict)
    after: Linear | None = None


class Recorder:
    """Records the evaluations of one sampler on one grid.

    Args:
        path: the Gaussian path.
        steps: number of steps.
        spacing: see :mod:`zoo.samplers.spacing`.
    """

    def __init__(self, path: GaussianPath, steps: int, spacing: Spacing = "trailing") -> None:
        self.grid = Grid(path, steps, spacing)
        self._rows: list[_Row] = []
        self._count = 0
        self._fresh: set[int] = set()
        self._from_data = False
        self._initial_scale = 0.0

    def start(self) -> Linear:
        """The state that sampling starts from: σ times standard normal noise."""
        return self.grid.points[0].sigma * self.noise()

    def start_from_data(self) -> Linear:
        """The state α·x that encoding starts from, without noise."""
        self._from_data = True
        return Linear()

    def noise(self) -> Linear:
        """Fresh standard normal noise, for the next evaluation's x or the sampler's result.

        Several noises in one x are merged into one with the sum of their variances: only the distribution is then the
        same.
        """
        number = self._number()
        self._fresh.add(number)
        return Linear(noises={number: 1.0})

    def denoise(self, x: Linear, at: Point, *, free: bool = False) -> tuple[Linear, Linear]:
        """Evaluate D at ``x``. Returns (x, D), this x standing for the old one and the noise in it.

        With ``free``, D is not bounded here, whatever bound the table is given later.
        """
        self._close(x)
        row = _Row(at, self._number(), self._number(), free)
        self._rows.append(row)
        return Linear({row.x: 1.0}), Linear({row.d: 1.0})

    def denoise_both(self, x: Linear, at: Point) -> tuple[Linear, Linear, Linear]:
        """Evaluate D at ``x``. Returns (x, D, D before it is bounded), in one evaluation.

        The table then has a column that only some graphs take: see ``unclipped_column`` of
        :class:`~zoo.programs.Iterate`. :func:`zoo.samplers.ddim.ddim` shows what a sampler does for the others.
        """
        x, d = self.denoise(x, at)
        unclipped = self._rows[-1].unclipped = self._number()
        return x, d, Linear({unclipped: 1.0})

    def keep(self, value: Linear) -> Linear:
        """``value``, computed now and carried in a single slot, instead of a slot for each of its parts."""
        if value.noises or not self._rows:
            raise UsageError("only values known after an evaluation, without fresh noise, can be kept")
        number = self._number()
        self._rows[-1].kept[number] = value
        return Linear({number: 1.0})

    def table(self, x: Linear) -> StepTable:
        """The table of everything recorded, with ``x`` the result."""
        self._close(x)
        if not self._rows:
            raise UsageError("a sampler must evaluate the network at least once")
        slots, layout = self._layout()
        wide = any(row.unclipped is not None for row in self._rows)
        matrices = np.zeros((len(self._rows), slots, slots + 1 + wide))
        for row, matrix, (before, after) in zip(self._rows, matrices, layout, strict=True):
            column = {row.x: 0, row.d: slots, **before}
            if row.unclipped is not None:
                column[row.unclipped] = slots + 1
            for number, value in row.kept.items():
                if number in after:
                    self._write(matrix[after[number]], value, column, row)
            for number, slot in after.items():
                if number not in row.kept:
                    matrix[slot, column[number]] = 1.0
            assert row.after is not None
            self._write(matrix[0], row.after, column, row)
        points = [row.at for row in self._rows]
        return StepTable(
            time=np.array([p.time for p in points]),
            alpha=np.array([p.alpha for p in points]),
            sigma=np.array([p.sigma for p in points]),
            matrix=matrices,
            noise_scale=np.array([_scale(row.after) for row in self._rows]),
            initial_scale=self._initial_scale,
            guidance=np.ones(len(points)),
            clip=np.full(len(points), np.inf),
            free=np.array([row.free for row in self._rows]),
        )

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _close(self, x: Linear) -> None:
        """End the last row with the next x, or define the initial state if there is no row yet."""
        stale = set(x.noises) - self._fresh
        if stale:
            raise UsageError("noise of an earlier step is used again: continue with the x returned by denoise()")
        self._fresh.clear()
        if self._rows:
            self._rows[-1].after = x
        elif x.values or not (x.noises or self._from_data):
            raise UsageError("sampling must start from noise alone")
        else:
            self._initial_scale = _scale(x)

    def _layout(self) -> tuple[int, list[tuple[dict[int, int], dict[int, int]]]]:
        """The number of slots, and for each row the slots of values before and after it; slot 0 is x."""
        last_use: dict[int, int] = {}
        for index in reversed(range(len(self._rows))):
            row = self._rows[index]
            assert row.after is not None
            for value in (*row.kept.values(), row.after):
                for number in value.values:
                    last_use.setdefault(number, index)
        layout = []
        before: dict[int, int] = {}
        slots = 1
        for index, row in enumerate(self._rows):
            after = {n: s for n, s in before.items() if last_use.get(n, -1) > index}
            unclipped = () if row.unclipped is None else (row.unclipped,)
            for number in (row.x, row.d, *unclipped, *row.kept):
                if last_use.get(number, -1) > index:
                    after[number] = min(set(range(1, len(after) + 2)) - set(after.values()))
            slots = max(slots, 1 + max(after.values(), default=0))
            layout.append((before, after))
            before = after
        return slots, layout

    def _write(self, line: Float64Array, value: Linear, column: Mapping[int, int], row: _Row) -> None:
        """Add ``value`` to a line of the matrix; values kept in this row are computed, not read from a slot."""
        for number, coefficient in value.values.items():
            if number in row.kept:
                self._write(line, coefficient * row.kept[number], column, row)
            else:
                line[column[number]] += coefficient


def _scale(x: Linear | None) -> float:
    return 0.0 if x is None else float(np.sqrt(sum(c * c for c in x.noises.values())))
