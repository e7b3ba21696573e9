"""How many steps the whole runs of a proof take, planned from the cost of one evaluation of a graph.

Every graph is proven on the same inputs whatever it costs; a whole run adds the loop around it, which a few steps test
as well as fifty. So each run has a budget, and the more an evaluation costs, the fewer steps it has. Costs are counted
rather than timed, so that every machine plans the same proof, and writes the same bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from zoo.overriding import override

#: floating-point operations of one whole run: about half a second of one core
ALLOWED = 2e10
#: of one evaluation of a graph, some of which are repeated, with and without ONNX Runtime's optimiser: some seconds
EVALUATION = 10 * ALLOWED
#: of encoding the conditions of one batch: about as much as a small network takes for all that it is called with
ENCODING = ALLOWED / 20
#: what calling one operator of PyTorch costs beside its arithmetic, in floating-point operations
OPERATOR = 5e5


@dataclass(frozen=True)
class Cost:
    """What an evaluation of a graph costs, in floating-point operations.

    Attributes:
        call: of the call itself, whatever the size of the batch.
        sample: of each sample in the batch.
    """

    call: float
    sample: float

    def steps(self, rows: int, calls: int, least: int) -> int:
        """The most steps of a run within :data:`ALLOWED`.

        Args:
            rows: samples in each call.
            calls: of the graph in each step.
            least: the steps of a run that costs more than allowed.
        """
        return max(least, int(ALLOWED / (calls * self.of(rows))))

    def of(self, rows: int) -> float:
        """The cost of one call with so many samples."""
        return self.call + rows * self.sample


def allows(cost: Cost, rows: int, calls: int) -> bool:
    """Whether so many calls, each of so many samples, are within :data:`ALLOWED`."""
    return calls * cost.of(rows) <= ALLOWED


def cost(evaluate: Callable[[], object]) -> Cost:
    """The cost of a graph, counted while ``evaluate`` calls it with one sample: products and convolutions count."""
    with _Counting() as counted:
        evaluate()
    return Cost(OPERATOR * counted.operators, counted.arithmetic)


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators of PyTorch, and their floating-point operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators, self.arithmetic = 0, 0.0

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.operators += 1
        if (formula := flop_registry.get(getattr(func, "overloadpacket", None))) is not None:
            self.arithmetic += formula(*args, **kwargs, out_val=result)
        return result
