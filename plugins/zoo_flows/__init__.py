"""Normalizing flows. Importing this describes them; torch is imported when one is built."""

from __future__ import annotations

from zoo.cards import Architecture
from zoo.hookspecs import hookimpl


@hookimpl
def zoo_architectures() -> list[Architecture]:
    """Coupling and autoregressive flows."""
    return [
        Architecture(
            name="nsf-coupling",
            summary="Neural spline flow with coupling layers: exact densities, sampling in one pass",
            family="flow",
            entry="zoo_flows.nsf:NSFCoupling",
            paper="Durkan, Bekasov, Murray & Papamakarios 2019, Neural spline flows, arXiv:1906.04032",
        ),
        Architecture(
            name="nsf-ar",
            summary="Neural spline flow with autoregressive layers: exact densities, sampling at the cost of one pass",
            family="flow",
            entry="zoo_flows.nsf_ar:NSFAutoregressive",
            paper="Durkan, Bekasov, Murray & Papamakarios 2019, Neural spline flows, arXiv:1906.04032",
        ),
        Architecture(
            name="maf",
            summary="Masked autoregressive flow: exact densities in one pass, sampling at the cost of one pass",
            family="flow",
            entry="zoo_flows.maf:MAF",
            paper="Papamakarios, Pavlakou & Murray 2017, Masked autoregressive flow, arXiv:1705.07057",
        ),
        Architecture(
            name="iaf",
            summary="Inverse autoregressive flow: samples in one pass, exact densities in many small steps",
            family="flow",
            entry="zoo_flows.iaf:IAF",
            paper="Kingma et al. 2016, Improving variational inference with IAF, arXiv:1606.04934",
        ),
    ]
