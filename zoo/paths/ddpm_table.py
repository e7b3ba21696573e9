"""Any table of betas (Ho et al. 2020, section 2), for networks whose own code computed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.discrete import Discrete

MAX_TIMESTEPS = 4096


@dataclass(frozen=True, init=False)
class DDPMTable(Discrete):
    """β_i as given, one for each timestep.

    Attributes:
        table: β_0 … β_{T-1}, at most 4096 numbers.
    """

    table: tuple[float, ...] = ()
    name: ClassVar[str] = "ddpm-table"

    def __init__(self, table: Sequence[float], zero_terminal_snr: bool = False) -> None:
        numbers = isinstance(table, Sequence) and not isinstance(table, str)
        if not numbers or not all(isinstance(b, (int, float)) and not isinstance(b, bool) for b in table):
            raise ConfigError("ddpm-table: table is a list of betas, one for each timestep")
        if len(table) > MAX_TIMESTEPS:
            raise ConfigError(f"ddpm-table: table has at most {MAX_TIMESTEPS} betas, not {len(table)}")
        fields = {"table": tuple(map(float, table)), "num_timesteps": len(table)}
        for field, value in {**fields, "zero_terminal_snr": zero_terminal_snr}.items():
            object.__setattr__(self, field, value)
        self.__post_init__()

    def betas(self) -> Float64Array:
        """β, ``[T]``."""
        return np.array(self.table, np.float64)

    def describe(self) -> dict[str, object]:
        """Name and table; the number of timesteps is its length."""
        described: dict[str, object] = {"name": self.name, "table": list(self.table)}
        return {**described, "zero_terminal_snr": True} if self.zero_terminal_snr else described
