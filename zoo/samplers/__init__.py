"""Samplers: functions ``(path, steps, **options) -> StepTable``. One algorithm per file, named as in its paper."""

from __future__ import annotations

from zoo.samplers.builtin import BUILTIN, GAUSSIAN, SamplerFunction
from zoo.samplers.guidance import Guidance, evaluations
from zoo.samplers.inversion import inversion
from zoo.samplers.options import SamplingOptions, check_strength
from zoo.samplers.recorder import Recorder
from zoo.samplers.runs import StoredTables, table_for, table_of
from zoo.samplers.spacing import SPACINGS, Grid, Point, spaced_times
from zoo.samplers.table import Step, StepTable

__all__ = [
    "BUILTIN",
    "GAUSSIAN",
    "SPACINGS",
    "Grid",
    "Guidance",
    "Point",
    "Recorder",
    "SamplerFunction",
    "SamplingOptions",
    "Step",
    "StepTable",
    "StoredTables",
    "check_strength",
    "evaluations",
    "inversion",
    "spaced_times",
    "table_for",
    "table_of",
]
