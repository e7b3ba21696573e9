"""What workers of other processes need of the tests: a module that they can import."""

import os
import signal
from dataclasses import dataclass

from zoo.bulk.job import Sampling


@dataclass(frozen=True)
class Dying(Sampling):
    """Draws samples, and kills its process in the middle of a shard, once."""

    def make(self, model, task, path):
        if task.number == 1 and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().make(model, task, path)


@dataclass(frozen=True)
class Hopeless(Sampling):
    """Kills every process that it comes to."""

    def make(self, model, task, path):
        os.kill(os.getpid(), signal.SIGKILL)
