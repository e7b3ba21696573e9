from dataclasses import dataclass
from typing import ClassVar

from zoo.programs import Program, event_of


@dataclass(frozen=True)
class Rejection(Program):
    """The first of some proposals of ``graph`` that ``accept``, the graph of a probability, keeps; else the last."""

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
