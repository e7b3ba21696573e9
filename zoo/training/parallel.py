"""How the processes of a run compute one model's gradients together: by torch's own DistributedDataParallel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zoo import weights
from zoo.errors import ConfigError
from zoo.models.interface import GenerativeModel, Objective
from zoo.training.processes import ALONE, Processes


class Replicas:
    """A model of which every process has a whole copy; gradients are averaged over all of them.

    Args:
        model: the model.
        processes: those of the run.
        compiled: whether ``torch.compile`` compiles the loss.

    Raises:
        ConfigError: a loss that cannot be compiled.
    """

    def __init__(self, model: GenerativeModel, processes: Processes = ALONE, *, compiled: bool = False) -> None:
        self.model, self.processes = model, processes
        self._compiled = _compiled(model, processes) if compiled else None
        self._replicas: list[DistributedDataParallel] = []

    def take(self, module: GenerativeModel) -> None:
        """Prepare another module of the same kind, such as the average of the model."""

    def loss(self, index: int, objective: Objective) -> Callable[..., Tensor]:
        """The loss of the objective with this index, whose backward pass averages gradients over all processes."""
        if self._compiled is not None:
            return self._compiled
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


#: parts of a loss that are compiled apart, such as the transforms of a flow, before torch gives up on more of them
_PARTS = 64


def _compiled(model: GenerativeModel, processes: Processes) -> Callable[..., Tensor]:
    """The loss of a model, compiled for the shapes of its batches: it draws the numbers that it draws uncompiled.

    Raises:
        ConfigError: objectives of the model's own, or several processes.
    """
    import torch._dynamo

    objectives = model.objectives()
    if len(objectives) > 1 or objectives[0].loss != model.loss:
        raise ConfigError("training.compile: the loss of a model with objectives of its own is not compiled")
    if processes.size > 1:
        raise ConfigError("training.compile: not with several processes")
    loss = torch.compile(model.loss, dynamic=False, options={"fallback_random": True})

    def compiled(x: Tensor, condition: Any) -> Tensor:
        with torch._dynamo.config.patch(recompile_limit=_PARTS):
            try:
                value: Tensor = loss(x, condition=condition)
            except torch._dynamo.exc.TorchDynamoException as error:
                first = str(error).strip().splitlines()[0]
                raise ConfigError(f"training.compile: torch cannot compile this model here: {first}") from error
        return value

    return compiled


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
