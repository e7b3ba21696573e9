"""The time of a training, all sittings together. It goes into checkpoints and cards, and no result depends on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zoo.effort import Effort, processor

if TYPE_CHECKING:
    import torch

    from zoo.training.checkpoint import TrainingState


class Clock:
    """Adds the time of this sitting to that of the ones before it.

    Args:
        state: of the run, whose ``seconds``, ``processor_seconds`` and ``machines`` it keeps.
        device: of the model.
    """

    def __init__(self, state: TrainingState, device: torch.device) -> None:
        self.state = state
        self.begun = time.monotonic() - state.seconds
        self.processor_begun = time.process_time() - state.processor_seconds
        if (here := machine(device)) not in state.machines:
            state.machines.append(here)

    def read(self) -> None:
        """Bring the state up to now."""
        self.state.seconds = time.monotonic() - self.begun
        self.state.processor_seconds = time.process_time() - self.processor_begun


def effort_of(state: TrainingState) -> Effort:
    """What a run took, for a card."""
    return Effort(round(state.seconds, 1), round(state.processor_seconds, 1), tuple(state.machines))


def machine(device: torch.device) -> str:
    """The accelerator of a device, or the processor with the number of threads that torch uses of it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    name = processor() if device.type == "cpu" else f"{device.type} of {processor()}"
    return f"{name}, {threads} thread{'' if threads == 1 else 's'}"
