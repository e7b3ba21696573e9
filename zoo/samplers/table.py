"""A sampler at run time is a table: :class:`StepTable`, one row per evaluation of the network.

Every common diffusion sampler is linear in the state, in past denoiser outputs and in fresh noise. So DDPM, DDIM,
Heun and DPM-Solver++ differ only in numbers, computed once in float64, and share the same loop::

    D            = clip(denoise(x, t, condition, guidance))
    [x, h₁ … hₖ] = M · [x, h₁ … hₖ, D]
    x            = x + s · noise

k is the number of history slots that the sampler needs (0 for DDPM and DDIM). A table may have a further column, for D
before it was clipped: M · [x, h₁ … hₖ, D, D unclipped]. Where a network predicts the variance of
the noise as well, the scale is s·exp(r·v), v its prediction in [0, 1] for each element and r a column of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Float64Array
from zoo.errors import UsageError
from zoo.paths import CorruptionPath
from zoo.samplers.guidance import Guidance

#: stands for "no bound" in a row if another row has one: finite, so that it can be stored
FREE = 1e30
#: the columns with one number per row
COLUMNS = ("time", "alpha", "sigma", "noise_scale", "noise_range", "guidance", "rescale", "clip")


@dataclass(frozen=True)
class Step:
    """One row of a :class:`StepTable`; scalars are Python floats, ``matrix`` is float64 ``[k+1, k+2]``, or ``[k+1,
    k+3]``."""

    index: int
    time: float
    alpha: float
    sigma: float
    guidance: float
    clip: float
    matrix: Float64Array
    noise_scale: float
    noise_range: float
    rescale: float


@dataclass(frozen=True)
class StepTable:
    """A sampler as numbers. All arrays are float64; N is the number of network evaluations.

    Attributes:
        time: ``[N]``, the network's time input.
        alpha: ``[N]``, α at that time.
        sigma: ``[N]``, σ at that time.
        matrix: ``[N, k+1, k+2]``, the map M from state, history and D to state and history; or ``[N, k+1, k+3]``, from
            state, history, D and D before it is bounded, for graphs that take it
            (``unclipped_column`` of :class:`~zoo.programs.Iterate`).
        noise_scale: ``[N]``, scale s of the fresh noise.
        initial_scale: scale of the initial standard normal noise.
        guidance: ``[N]``, weight w of classifier-free guidance, D = D_null + w·(D_class - D_null); 1 means none.
        clip: ``[N]``, bound on \\|D\\|; ∞ means none.
        noise_range: ``[N]``, r = ln(largest/smallest scale of the noise), for networks that interpolate between the
            two; 0 means that the scale is ``noise_scale``. Zeros by default.
        rescale: ``[N]``, φ of :class:`~zoo.samplers.guidance.Guidance`; 0 means none. Zeros by default.
        free: ``[N]``, the rows in which the sampler needs D without a bound; none by default.
        strength: share of the trajectory from noise to data that the rows cover, for runs that begin with data.
    """

    time: Float64Array
    alpha: Float64Array
    sigma: Float64Array
    matrix: Float64Array
    noise_scale: Float64Array
    initial_scale: float
    guidance: Float64Array
    clip: Float64Array
    noise_range: Float64Array = field(default_factory=lambda: np.zeros(0))
    rescale: Float64Array = field(default_factory=lambda: np.zeros(0))
    free: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Refuse inconsistent tables."""
        rows = len(self.time)
        for name in ("noise_range", "rescale"):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, np.zeros(rows))
        if len(self.free) == 0:
            object.__setattr__(self, "free", np.zeros(rows, bool))
        for name in COLUMNS:
            column = getattr(self, name)
            if column.shape != (rows,):
                raise UsageError(f"step table: {name} has shape {column.shape}, expected ({rows},)")
            if np.isnan(column).any() or (name != "clip" and np.isinf(column).any()):
                raise UsageError(f"step table: {name} has values that are not finite")
        slots = self.matrix.shape[1] if self.matrix.ndim == 3 else 0
        shapes = (rows, slots, slots + 1), (rows, slots, slots + 2)
        if rows < 1 or slots < 1 or self.matrix.shape not in shapes:
            raise UsageError(f"step table: matrix has shape {self.matrix.shape}, expected ({rows}, k+1, k+2 or k+3)")
        if not np.isfinite(self.matrix).all():
            raise UsageError("step table: matrix has values that are not finite")

    def __len__(self) -> int:
        return len(self.time)

    @property
    def slots(self) -> int:
        """k + 1: the state and its history."""
        return int(self.matrix.shape[1])

    @property
    def unclipped_column(self) -> bool:
        """Whether the matrix has a column for D before it is bounded."""
        _, slots, columns = self.matrix.shape
        return bool(columns > slots + 1)

    def __getitem__(self, index: int) -> Step:
        return Step(
            index=index,
            time=float(self.time[index]),
            alpha=float(self.alpha[index]),
            sigma=float(self.sigma[index]),
            guidance=float(self.guidance[index]),
            clip=float(self.clip[index]),
            matrix=self.matrix[index],
            noise_scale=float(self.noise_scale[index]),
            noise_range=float(self.noise_range[index]),
            rescale=float(self.rescale[index]),
        )

    def __iter__(self) -> Iterator[Step]:
        return (self[i] for i in range(len(self)))

    @property
    def noise_level(self) -> Float64Array:
        """``[N]``, σ/α; ∞ at pure noise."""
        with np.errstate(divide="ignore"):
            return self.sigma / self.alpha

    def with_guidance(self, guidance: float | Guidance) -> StepTable:
        """The same table with this guidance in the rows inside its interval, and none in the others."""
        applied = guidance if isinstance(guidance, Guidance) else Guidance(guidance)
        inside = applied.applies(self.noise_level)
        return replace(
            self,
            guidance=np.where(inside, float(applied.weight), 1.0),
            rescale=np.where(inside, float(applied.rescale), 0.0),
        )

    def with_clip(self, bound: float) -> StepTable:
        """The same table with \\|D\\| bounded by ``bound`` (∞ for no bound) in every row that is not ``free``."""
        if not bound > 0:
            raise UsageError(f"a bound on the denoised sample must be above 0, not {bound}")
        return replace(self, clip=np.where(self.free, max(FREE, float(bound)), float(bound)))


def single_step_table(
    path: CorruptionPath,
    start: Float64Array,
    state: Float64Array,
    denoised: Float64Array,
    noise_scale: Float64Array,
    noise_range: Float64Array | None = None,
) -> StepTable:
    """The table of a sampler without history: x ← state·x + denoised·D + noise_scale·noise.

    Args:
        path: the path.
        start: ``[N]``, path time of each evaluation.
        state: ``[N]``, coefficient of x.
        denoised: ``[N]``, coefficient of D.
        noise_scale: ``[N]``, coefficient of the fresh noise.
        noise_range: ``[N]``, see :class:`StepTable`; None for zeros.
    """
    alpha, sigma = path.alpha_sigma(start)
    return StepTable(
        time=path.network_time(start),
        alpha=alpha,
        sigma=sigma,
        matrix=np.stack([state, denoised], axis=-1)[:, None, :],
        noise_scale=noise_scale,
        initial_scale=float(sigma[0]),
        guidance=np.ones(len(start)),
        clip=np.full(len(start), np.inf),
        noise_range=np.zeros(len(start)) if noise_range is None else noise_range,
    )
