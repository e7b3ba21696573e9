"""The process that measures cells; see :mod:`gpu_run.asking`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from gpu_run.asking import answer

#: of the time for turns, what ``--quick`` takes
QUICK = 0.1


def serve(scratch: Path, *, quick: bool) -> None:
    """Measure until the input ends.

    Args:
        scratch: a folder for bundles.
        quick: whether to take few turns.
    """

    def measure(request: dict[str, Any]) -> dict[str, Any]:
        module, _, name = request["function"].partition(":")
        function = getattr(importlib.import_module(f"suite.{module}"), name)
        given = Given(
            request["seconds"] * (QUICK if quick else 1.0), scratch, quick, request["without"], request["bound"]
        )
        result: dict[str, Any] = function(given, **request["arguments"])
        return result

    answer(measure)


class Given:
    """What every cell is measured with.

    Attributes:
        seconds: to spend on turns.
        scratch: a folder for bundles, which lasts as long as the run.
        quick: whether a figure does not matter, only that there is one.
        without: engines to leave out, and why.
        bound: seconds after which the cell is stopped.
    """

    def __init__(self, seconds: float, scratch: Path, quick: bool, without: dict[str, str], bound: float) -> None:
        self.seconds, self.scratch, self.quick, self.without, self.bound = seconds, scratch, quick, without, bound
