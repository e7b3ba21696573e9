"""Log-densities of diffusions, given any evaluator of the denoiser: by the probability-flow ODE, and variational
bounds."""

from __future__ import annotations

from zoo.arrays import Float64Array as Array
from zoo.likelihood.ode import (
    EXACT,
    EXACT_SIZE,
    FLOAT32,
    LOG_NOISE_MAX,
    Evaluator,
    LogDensity,
    default_probes,
    differentiable_log_density,
    evaluations,
    log_density,
    log_density_with_errors,
    log_noise_ends,
    student_t,
)

__all__ = [
    "EXACT",
    "EXACT_SIZE",
    "FLOAT32",
    "LOG_NOISE_MAX",
    "Array",
    "Evaluator",
    "LogDensity",
    "default_probes",
    "differentiable_log_density",
    "evaluations",
    "log_density",
    "log_density_with_errors",
    "log_noise_ends",
    "student_t",
]
