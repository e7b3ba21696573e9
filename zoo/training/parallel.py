"""How the processes of a run compute one model's gradients together: by torch's own DistributedDataParallel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zoo import weights
from zoo.models.interface import GenerativeModel, Objective
from zoo.training.processes import ALONE, Processes


class Replicas:
    """A model of which every process has a whole copy; gradients are averaged over all of them.

    Args:
        model: the model.
        processes: those of the run.
    """

    def __init__(self, model: GenerativeModel, processes: Processes = ALONE) -> None:
        self.model, self.processes = model, processes
        self._replicas: list[DistributedDataParallel] = []

    def take(self, module: GenerativeModel) -> None:
        """Prepare another module of the same kind, such as the average of the model."""

    def loss(self, index: int, objective: Objective) -> Callable[..., Tensor]:
        """The loss of the objective with this index, whose backward pass averages gradients over all processes."""
        if self.processes.size == 1:
            return objective.loss
        while len(self._replicas) <= index:
            self._replicas.append(_replica(objective, self.model))
        self._replicas[index].module.loss = objective.loss
        return self._replicas[index]

    @contextlib.contextmanager
    def adding_up(self, *, last: bool) -> Iterator[None]:
        """A block for one of several backward passes, whose gradients are averaged after the last."""
        with contextlib.ExitStack() as stack:
            if not last:
                for replica in self._replicas:
                    stack.enter_context(replica.no_sync())
            yield

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Add the gradient of a loss to those of some parameters."""
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]

    def arrays(self, module: nn.Module) -> weights.Arrays:
        """The state of the model or of its average, whole, in the process that leads."""
        return weights.state_arrays(module)


class _Loss(nn.Module):
    """The loss of an objective as the forward pass of a module, which DistributedDataParallel needs.

    Attributes:
        loss: as of the objective, set before each call.
    """

    loss: Callable[..., Tensor]

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.moved = nn.ParameterList(each for each in objective.parameters if each.requires_grad)
        # torch warns on stderr of a search for unused parameters that finds none
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, condition: Any) -> Tensor:
        """The loss."""
        return self.loss(x, condition=condition)


def _replica(objective: Objective, model: GenerativeModel) -> DistributedDataParallel:
    # which parameters a loss uses may change from step to step
    return DistributedDataParallel(_Loss(objective).to(model.device), find_unused_parameters=True)
