"""The kind of program ``rejection``: proposals of one graph, each kept with the probability that another gives."""

from dataclasses import dataclass
from typing import ClassVar

from zoo.programs import Program, event_of


@dataclass(frozen=True)
class Rejection(Program):
    """The first of ``rounds`` proposals that is accepted, or else the last.

    Attributes:
        graph: name of the graph from standard normals ``z`` to proposals ``x``.
        accept: name of the graph from ``x`` to the probability that it is kept.
        rounds: how many proposals there are for a sample.
    """

    graph: str
    accept: str
    rounds: int
    kind: ClassVar[str] = "rejection"

    @property
    def graphs(self):
        return (self.graph, self.accept)

    def noise_shape(self, graphs):
        return (self.rounds, *event_of(graphs, self.graph, "z", 1))

    def summary(self):
        return f"the first of {self.rounds} proposals of {self.graph} that {self.accept} keeps"
