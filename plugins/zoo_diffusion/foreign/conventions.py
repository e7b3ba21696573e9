"""Time, sign and scale of other projects' networks: none of them is visible in the network, so each is stated.

D is the denoised sample, σ the noise level σ/α, t the time of our paths, from 0 at data to 1 at noise, s = 1 - t.

====================  ============================================================  =================================
convention            whose network                                                 its output, its time
====================  ============================================================  =================================
torchcfm              torchcfm's CFM: x_s = s·x₁ + (1 - s)·x₀                       x₁ - x₀; s
velocity-field        any field dx/ds, from noise at s = 0 to data: torchcfm's      dx/ds; s
                      OT-CFM, SB-CFM and Target, polynomial schedulers
torchcfm-vp           torchcfm's VariancePreserving, flow_matching's Cosine         dx/ds, x_s = sin·x₁ + cos·x₀; s
flow-matching         flow_matching's CondOT                                        x₁ - x₀; s
flow-matching-vp      flow_matching's VP scheduler, β from 0.1 to 20                dx/ds on the VP path; s
noise-minus-data      velocities with data at t = 0: pi0, SmolVLA, FMPE             ε - x₀; t
diffusers-flow        FlowMatchEulerDiscreteScheduler                               ε - x₀; 1000·t
ddpm                  a DDPM over a table of β                                      ε; the index, whole numbers
denoiser              a whole EDM, EDM2 or k-diffusion wrapper D(x, σ)              D; σ
edm                   the network inside EDMPrecond, s = 0.5                        (D - skip·x)/out; ln σ/4
edm-vp                the network inside VPPrecond                                  ε; 999·t
edm-ve                the network inside VEPrecond                                  -ε; ln(σ/2)
edm-iddpm             the network inside iDDPMPrecond                               ε, then the variance; the index
k-diffusion           the network inside layers.Denoiser, s = 1                     (D - skip·x)/out; σ
k-diffusion-v         the network inside VDenoiser                                  α·ε - σ·x₀; 2/π·arctan σ
====================  ============================================================  =================================

Sources: Tong et al. 2024, arXiv:2302.00482 (torchcfm); Lipman et al. 2024, arXiv:2412.06264 (flow_matching); Karras et
al. 2022, arXiv:2206.00364, table 1 and appendix C (EDM); Ho et al. 2020; Salimans & Ho 2022 (v).

A field that is not E[x₁ - x₀ | x] of independent normal noise x₀, as of a coupling or of another source, is integrated
as well: with D = x + (1 - s)·dx/ds, every deterministic sampler solves dx/ds. Samplers that add noise on the way
are refused for it (``coupled`` of the path).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import ConfigError, UnknownNameError
from zoo.paths import CorruptionPath, GaussianPath, LinearBeta, RectifiedFlow, Retimed, SubVP
from zoo.paths.retimed import CLOCKS

#: the time at data and at noise
ENDS: dict[str, tuple[float, float]] = {
    "data-to-noise": (0.0, 1.0),
    "noise-to-data": (1.0, 0.0),
    "thousand": (0.0, 1000.0),
}
#: the timesteps of a discrete path, as floating-point numbers and as whole ones
TIMESTEPS = ("timestep", "index")
TIMES = (*ENDS, *TIMESTEPS, *CLOCKS)

Time = str | tuple[float, float]


@dataclass(frozen=True)
class Convention:
    """How the networks of a project are to be understood.

    Attributes:
        path: the Gaussian path; None if it is not the same for all of them.
        prediction: one of :data:`zoo_diffusion.prediction.Prediction`, ``"minus-epsilon"`` or ``"path-velocity"``.
        time: how they receive the time.
        sampling: defaults of sampling.
        settings: further settings of the diffusion.
        labels: how they take classes.
        variance: as of the diffusion, or ``"dropped"``.
    """

    path: Mapping[str, object] | None
    prediction: str
    time: Time
    sampling: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: str = "index"
    variance: str = "fixed"


_EULER: dict[str, Any] = {"sampler": "flow-euler", "steps": 100}
_HEUN: dict[str, Any] = {"sampler": "heun", "steps": 18, "options": {"spacing": "karras"}}
_STRAIGHT = {"name": "rectified-flow"}

_TO_DATA = Convention(_STRAIGHT, "velocity-to-data", "noise-to-data", _EULER)
CONVENTIONS: dict[str, Convention] = {
    "torchcfm": _TO_DATA,
    "velocity-field": Convention({**_STRAIGHT, "coupled": True}, "velocity-to-data", "noise-to-data", _EULER),
    "torchcfm-vp": Convention({"name": "trigonometric"}, "path-velocity", "noise-to-data", _EULER),
    "flow-matching": _TO_DATA,
    "flow-matching-vp": Convention({"name": "vp-linear"}, "path-velocity", "noise-to-data", _EULER),
    "noise-minus-data": Convention(_STRAIGHT, "velocity", "data-to-noise", _EULER),
    "diffusers-flow": Convention(
        _STRAIGHT, "velocity", "thousand", {"sampler": "flow-euler", "steps": 50, "options": {"spacing": "linspace"}}
    ),
    # loops of DDPMs start at noise of scale 1, whatever is left of the data at the last timestep
    "ddpm": Convention(None, "epsilon", "index", {"options": {"initial_scale": 1.0}}),
    "denoiser": Convention({"name": "edm"}, "x0", "sigma", _HEUN, labels="one-hot"),
    "edm": Convention({"name": "edm"}, "edm", "log-sigma/4", _HEUN, {"data_std": 0.5}, labels="one-hot"),
    "edm-vp": Convention({"name": "vp-linear"}, "epsilon", (0.0, 999.0), labels="one-hot"),
    "edm-ve": Convention(
        {"name": "ve", "sigma_min": 0.02, "sigma_max": 100.0}, "minus-epsilon", "log-half-sigma", labels="one-hot"
    ),
    "edm-iddpm": Convention({"name": "ddpm-cosine"}, "epsilon", "timestep", labels="one-hot", variance="dropped"),
    "k-diffusion": Convention({"name": "edm"}, "edm", "sigma", _HEUN, {"data_std": 1.0}),
    "k-diffusion-v": Convention({"name": "trigonometric"}, "v", "data-to-noise"),
}


def convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        UnknownNameError: there is no such convention.
    """
    if name not in CONVENTIONS:
        raise UnknownNameError("convention", str(name), CONVENTIONS)
    return CONVENTIONS[name]


def timed(path: CorruptionPath, time: Time | Sequence[float]) -> GaussianPath:
    """The path whose network receives the time in this form.

    Args:
        path: a Gaussian path.
        time: a name of :data:`TIMES`, or the times at data and at noise.

    Raises:
        ConfigError: a path that is not Gaussian, or a time that the path does not have.
    """
    if not isinstance(path, GaussianPath):
        raise ConfigError(f"the path {path.name} has no noise levels; a denoiser needs a Gaussian path")
    if time in TIMESTEPS:
        if path.timesteps is None:
            raise ConfigError(
                f"time = {time!r} counts the timesteps of a discrete path, and the path {path.name} has none",
                hint=f"Give betas, a path ddpm-..., or another time: {', '.join((*ENDS, *CLOCKS))}.",
            )
        return path
    if isinstance(time, str):
        if time not in TIMES:
            raise UnknownNameError("time", time, TIMES)
        if time in CLOCKS:
            return Retimed(path, time)
        time = ENDS[time]
    ends = Retimed(path, tuple(time)).clock  # type: ignore[arg-type]
    assert not isinstance(ends, str)
    return _linear(path, *ends)


def _linear(path: GaussianPath, at_data: float, at_noise: float) -> GaussianPath:
    """The path whose network's time changes linearly between two numbers."""
    if isinstance(path, RectifiedFlow):
        if at_data != 0 and at_noise != 0:
            raise ConfigError(f"the time of rectified-flow is 0 at one end, not {at_data:g} and {at_noise:g}")
        # its time is the shifted one
        return dataclasses.replace(path, time_scale=at_data or at_noise, data_at_one=at_data != 0)
    if isinstance(path, (LinearBeta, SubVP)):
        # networks count from no noise at all, which these paths leave out
        at_data += path.start * (at_noise - at_data)
    return Retimed(path, (at_data, at_noise))
