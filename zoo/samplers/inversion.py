"""Encoding: the probability-flow ODE from data to the noise that generates it, as a step table.

The ODE of a Gaussian path is deterministic and can be followed either way (Song et al. 2021, "Score-based generative
modeling", section 4.3; "DDIM inversion" is its Euler form). Here it is Heun's method in the noise level, as in
:mod:`zoo.samplers.edm`: second order, so that encoding and sampling again recovers the data.
"""

from __future__ import annotations

import itertools

import numpy as np

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import along, epsilon, toward
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing, check_steps
from zoo.samplers.table import StepTable

#: the noise level σ/α that data is assumed to have, and the largest one before a step to pure noise, if any
NOISE_MIN, NOISE_MAX = 0.002, 80.0


def inversion(path: GaussianPath, steps: int, *, order: int = 2) -> StepTable:
    """The table that maps data to noise: it starts from α·x, and its result is σ·z at t = 1.

    The remaining signal there, (α/σ)·D, stays in z: none on paths that end in pure noise, and little on others. The
    noise levels in between are those of Karras et al. 2022, eq. 5.

    Args:
        path: the Gaussian path.
        steps: number of steps, of two evaluations each at order 2 (a step to pure noise takes one).
        order: 1 (DDIM inversion) or 2.

    Raises:
        UsageError: ``steps`` that the path does not support, or another ``order``.
    """
    if order not in (1, 2):
        raise UsageError(f"inversion has the orders 1 and 2, not {order}")
    check_steps(path, steps)
    run = Recorder(path, steps if path.zero_terminal_snr else steps + 1, _spacing(path))
    points = run.grid.points[-2::-1]
    if path.zero_terminal_snr:
        points = [*points, run.grid.at(1.0)]
    x = run.start_from_data()
    for here, there in itertools.pairwise(points):
        x, d = run.denoise(x, here)
        guess = toward(x, d, here, there)
        if order == 1 or there.pure_noise:
            x = guess
            continue
        partial = run.keep(along(x, 0.5 * epsilon(x, d, here), here, there))
        guess, d_guess = run.denoise(guess, there)
        gain = there.sigma - here.sigma * there.alpha / here.alpha
        x = partial + 0.5 * gain * epsilon(guess, d_guess, there)
    return run.table(x)


def _spacing(path: GaussianPath) -> Spacing:
    with np.errstate(divide="ignore"):
        least = float(np.exp(-0.5 * path.log_snr(path.t_min)))
    bounds = {"noise_min": max(NOISE_MIN, least), **({"noise_max": NOISE_MAX} if path.zero_terminal_snr else {})}
    return {"name": "karras", **bounds}
