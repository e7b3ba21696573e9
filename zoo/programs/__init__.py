"""The exportable form of a model: named graphs, and the programs that turn them into ``sample`` and ``log_prob``.

Programs are plain data that a manifest stores and a runtime in any language follows:

- :class:`Direct`, one call of one graph. A flow samples by ``inverse`` and scores by ``log_prob``.
- :class:`Iterate`, a :class:`~zoo.samplers.StepTable` run over the graph ``step``. Diffusions sample this way.
- :class:`Integrate`, the probability-flow ODE over the graph ``divergence``. Diffusions score this way.
- :class:`Fused`, a whole run of ``sample`` in one call, for runtimes where even a short loop is too much. Exporters
  write it on request.

No torch here; :class:`Graph` holds the callable that the exporter traces.
"""

from __future__ import annotations

from zoo.programs.graph import Graph, HasPorts, event_of
from zoo.programs.graph_writing import Value
from zoo.programs.model import KINDS, Programs, describe, fused_from, program_from
from zoo.programs.one_call import Direct, Fused, NoiseInput
from zoo.programs.ports import Dim, Port
from zoo.programs.program import MARGIN, USUAL_TABLES, WIDE_COLUMNS, Integrate, Iterate, Program

__all__ = [
    "KINDS",
    "MARGIN",
    "USUAL_TABLES",
    "WIDE_COLUMNS",
    "Dim",
    "Direct",
    "Fused",
    "Graph",
    "HasPorts",
    "Integrate",
    "Iterate",
    "NoiseInput",
    "Port",
    "Program",
    "Programs",
    "Value",
    "describe",
    "event_of",
    "fused_from",
    "program_from",
]
