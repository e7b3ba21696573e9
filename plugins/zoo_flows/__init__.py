"""Normalizing flows. Importing this describes them; torch is imported when one is built."""

from __future__ import annotations

from zoo.cards import Architecture
from zoo.hookspecs import hookimpl


@hookimpl
def zoo_architectures() -> list[Architecture]:
    """The neural spline flow."""
    return [
        Architecture(
            name="nsf-coupling",
            summary="Neural spline flow with coupling layers: exact densities, sampling in one pass",
            family="flow",
            entry="zoo_flows.nsf:NSFCoupling",
            paper="Durkan, Bekasov, Murray & Papamakarios 2019, Neural spline flows, arXiv:1906.04032",
        )
    ]
