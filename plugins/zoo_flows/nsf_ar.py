"""Architecture ``nsf-ar``: the neural spline flow RQ-NSF (AR) of Durkan et al. 2019, arXiv:1906.04032."""

from __future__ import annotations

from typing import Any

from zoo_flows import config
from zoo_flows.maf import AutoregressiveFlow


class NSFAutoregressive(AutoregressiveFlow):
    """Spline autoregressive transforms: densities in one pass, samples in d small steps that cost about as much.

    The paper's mixing is ``"lu"``.

    Args:
        splines: see :class:`~zoo_flows.config.Splines`.
        others: see :class:`~zoo_flows.maf.AutoregressiveFlow`.
    """

    @config.splines()
    def __init__(self, splines: config.Splines, **others: Any) -> None:
        super().__init__(splines.map, False, splines.landmarks(), **others)
