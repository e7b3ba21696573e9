"""The loop that runs a step table, in float64 NumPy around any denoiser: the meaning of tables in ten lines.

The runtime and the models run the same loop around their networks; this one serves to check samplers, with
denoisers in closed form.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zoo.arrays import Float64Array
from zoo.samplers.table import Step, StepTable

#: (x [n, *event], row) -> D [n, *event]
Denoiser = Callable[[Float64Array, Step], Float64Array]


def run_table(
    table: StepTable,
    denoise: Denoiser,
    x: Float64Array,
    noise: Callable[[int], Float64Array] | None = None,
    watch: Callable[[Step, Float64Array, Float64Array], None] | None = None,
) -> Float64Array:
    """Run a table from the state ``x`` and return the last state.

    Args:
        table: the table.
        denoise: the denoiser at a row's time, α and σ.
        x: float64 ``[n, *event]``, the first state: ``table.initial_scale`` times standard normal noise.
        noise: row index to standard normal noise of the shape of ``x``; called only for rows that add noise.
        watch: called after every row with the row, x and D.
    """
    state = np.zeros((table.slots, *x.shape))
    state[0] = x
    for row in table:
        unclipped = denoise(state[0], row)
        d = np.clip(unclipped, -row.clip, row.clip)
        columns = np.concatenate([state, d[None], unclipped[None]])
        state = np.tensordot(row.matrix, columns[: row.matrix.shape[1]], axes=1)
        if row.noise_scale and noise is not None:
            state[0] += row.noise_scale * noise(row.index)
        if watch is not None:
            watch(row, state[0], d)
    return np.asarray(state[0])
