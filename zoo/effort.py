"""What a training took, as cards state it, and the name of the processor."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Effort:
    """What a training took.

    Attributes:
        seconds: from beginning to end, all sittings together.
        processor_seconds: that processors spent, all threads together.
        machines: where, each once.
    """

    seconds: float
    processor_seconds: float
    machines: tuple[str, ...]

    def __str__(self) -> str:
        """In minutes: ``7.1 minutes (6.9 of processor time) on AMD EPYC, 1 thread``."""
        minutes, processor_minutes = self.seconds / 60, self.processor_seconds / 60
        where = f" on {' and '.join(self.machines)}" if self.machines else ""
        return f"{minutes:.1f} minutes ({processor_minutes:.1f} of processor time){where}"


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()
