"""The config of a scheduler of diffusers as path, prediction and sampler of ours, which do the same or are refused.

===============================  =================================================  ====================================
scheduler                        sampler                                            with
===============================  =================================================  ====================================
DDPMScheduler                    ddpm                                               any spacing, variance fixed or range
DDIMScheduler                    ddim                                               any spacing
EulerDiscreteScheduler           euler                                              spacing leading or trailing
EulerAncestralDiscreteScheduler  euler-ancestral                                    spacing leading or trailing
DPMSolverMultistepScheduler      dpm-solver-pp (or -sde), order 1 and 2             spacing trailing
FlowMatchEulerDiscreteScheduler  flow-euler                                         a fixed shift
PNDM, UniPC, DEIS, LMS, ...      only if another sampler is asked for               the noise schedule alone
===============================  =================================================  ====================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError
from zoo.paths import path_from

#: prediction_type -> ours
PREDICTIONS = {"epsilon": "epsilon", "sample": "x0", "v_prediction": "v"}
#: beta_schedule -> path, and whether it takes the two ends of the betas
_PATHS = {
    "linear": ("ddpm-linear", True),
    "scaled_linear": ("ddpm-scaled-linear", True),
    "squaredcos_cap_v2": ("ddpm-cosine", False),
}
#: variance_type -> variance of sampler ddpm. "log" says how diffusers computes it, not what it is.
_VARIANCES = {
    "fixed_small": "small",
    "fixed_small_log": "small",
    "fixed_large": "large",
    "fixed_large_log": "large",
    "learned_range": "learned",
}
_ANOTHER = (
    "With -I sampler=ddim only the noise schedule is taken from it, and the sampler is ours; so with any other name."
)


@dataclass(frozen=True)
class Schedule:
    """What a scheduler's config says.

    Attributes:
        path: description of the Gaussian path.
        prediction: what the network predicts.
        sampler: name of the sampler.
        options: its options.
        clip: bound on the denoised sample, or None.
    """

    path: dict[str, Any]
    prediction: str
    sampler: str
    options: dict[str, Any] = field(default_factory=dict)
    clip: float | None = None


class Given:
    """A scheduler's config, looked up with diffusers' defaults; what is wrong is told with its file."""

    def __init__(self, config: Mapping[str, Any], where: Path) -> None:
        self.config, self.where = config, where

    def __call__(self, name: str, default: Any) -> Any:
        """A value."""
        return self.config.get(name, default)

    def refuse(self, name: str, why: str, hint: str = _ANOTHER) -> ConfigError:
        """The error for a value that cannot be had here."""
        return ConfigError(f"{self.where} has {name} {self.config.get(name)!r}, {why}", hint=hint)

    def number(self, name: str, default: float) -> float:
        """A number."""
        value = self(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.refuse(name, "which is no number", hint="")
        return float(value)

    def one_of(self, name: str, default: str, known: Mapping[str, Any]) -> Any:
        """What a word stands for."""
        value = self(name, default)
        if not isinstance(value, str) or value not in known:
            raise ConfigError(
                f"{self.where} has {name} {value!r}; {', '.join(known)} can be imported",
                hint=_ANOTHER if name not in ("beta_schedule", "prediction_type") else None,
            )
        return known[value]

    def none_of(self, **defaults: Any) -> None:
        """Refuse values other than these, which are diffusers' defaults."""
        for name, default in defaults.items():
            if self(name, default) != default:
                raise self.refuse(name, "which the samplers here do not have")


def schedule(config: Mapping[str, Any], where: Path, *, learned_variance: bool, sampler: str | None) -> Schedule:
    """Translate a scheduler's config. A key that it lacks has diffusers' default, as old configs need.

    Args:
        config: content of ``scheduler_config.json``.
        where: that file.
        learned_variance: whether the network predicts the variance.
        sampler: a sampler to use instead, with its own options; None for the scheduler's.

    Raises:
        ConfigError: a scheduler that is not known, or a value that ours does not have.
    """
    given, name = Given(config, where), config.get("_class_name")
    # those with Parallel in their name compute the same
    kind = str(name).replace("ParallelScheduler", "Scheduler")
    if kind in _SIMILAR and sampler is None:
        raise ConfigError(
            f"{where} is of the scheduler {name}, whose steps are not those of a sampler here",
            hint=f"With -I sampler={_SIMILAR[kind]}, or any other, only its noise schedule is taken.",
        )
    if kind not in _SCHEDULERS and kind not in _SIMILAR:
        raise ConfigError(
            f"{where} is of the scheduler {name}, which is not known here",
            hint=f"Known are {', '.join(_SCHEDULERS)}.",
        )
    if kind == "FlowMatchEulerDiscreteScheduler":
        path, prediction = _flow_path(given), "velocity"
    else:
        path, prediction = _discrete_path(given), given.one_of("prediction_type", "epsilon", PREDICTIONS)
    path_from(path)  # refuses betas that are none
    clip = None
    if kind in _CLIPPING and given("clip_sample", True):
        clip = given.number("clip_sample_range", 1.0)
    if sampler is not None:
        return Schedule(path, prediction, sampler, {}, clip)
    chosen, options = _SCHEDULERS[kind](given, learned_variance, clip is not None)
    return Schedule(path, prediction, chosen, options, clip)


def _discrete_path(given: Given) -> dict[str, Any]:
    if given("use_flow_sigmas", False):
        raise given.refuse("use_flow_sigmas", "which only FlowMatchEulerDiscreteScheduler can have here", hint="")
    if given("trained_betas", None) is not None:
        raise ConfigError(f"{given.where} has trained_betas of its own; only schedules with a name can be imported")
    name, ends = given.one_of("beta_schedule", "linear", _PATHS)
    path: dict[str, Any] = {"name": name, "num_timesteps": given("num_train_timesteps", 1000)}
    if ends:
        path |= {"beta_start": given.number("beta_start", 1e-4), "beta_end": given.number("beta_end", 0.02)}
    if given("rescale_betas_zero_snr", False):
        path["zero_terminal_snr"] = True
    return path


def _flow_path(given: Given) -> dict[str, Any]:
    shift, timesteps = given.number("shift", 1.0), given.number("num_train_timesteps", 1000)
    least = 1.0 / timesteps
    # diffusers walks evenly between shifted ends, and shifts what it finds there
    return {"name": "rectified-flow", "shift": shift, "t_min": shift * least / (1.0 + (shift - 1.0) * least)}


#: a sampler's name and its options, from (config, whether the network predicts the variance, whether D is clipped)
_Sampler = tuple[str, dict[str, Any]]
#: diffusers lowers no order because of a step's gain; a number that a manifest can hold
_ANY_GAIN = 1e9


def _spacing(given: Given, default: str, known: tuple[str, ...]) -> str:
    spacing: str = given.one_of("timestep_spacing", default, {name: name for name in known})
    if spacing == "leading" and given("steps_offset", 0):
        raise given.refuse("steps_offset", "which the spacing leading does not have here")
    return spacing


def _ddpm(given: Given, learned_variance: bool, clipped: bool) -> _Sampler:
    given.none_of(thresholding=False)
    variance = given.one_of("variance_type", "fixed_small", _VARIANCES)
    if variance == "learned" and not learned_variance:
        raise given.refuse("variance_type", "but the network predicts no variance")
    spacing = _spacing(given, "leading", ("leading", "trailing", "linspace"))
    return "ddpm", {"variance": variance, "spacing": spacing, "initial_scale": 1.0}


def _ddim(given: Given, learned_variance: bool, clipped: bool) -> _Sampler:
    given.none_of(thresholding=False, set_alpha_to_one=True)
    options: dict[str, Any] = {"spacing": _spacing(given, "leading", ("leading", "trailing", "linspace"))}
    if clipped:
        options["epsilon"] = "unclipped"
    return "ddim", {**options, "initial_scale": 1.0}


def _euler(given: Given, learned_variance: bool, clipped: bool) -> _Sampler:
    given.none_of(
        use_karras_sigmas=False,
        use_exponential_sigmas=False,
        use_beta_sigmas=False,
        sigma_min=None,
        sigma_max=None,
        timestep_type="discrete",
        final_sigmas_type="zero",
    )
    spacing = _spacing(given, "linspace", ("leading", "trailing"))
    # as their initial noise: of scale 1 for leading, of the scale of the first noise level for trailing
    start = {"initial_scale": 1.0} if spacing == "leading" else {}
    return "euler", {"spacing": spacing, **start}


def _euler_ancestral(given: Given, learned_variance: bool, clipped: bool) -> _Sampler:
    return "euler-ancestral", _euler(given, learned_variance, clipped)[1]


def _dpm_solver(given: Given, learned_variance: bool, clipped: bool) -> _Sampler:
    given.none_of(
        thresholding=False,
        use_karras_sigmas=False,
        use_exponential_sigmas=False,
        use_beta_sigmas=False,
        use_lu_lambdas=False,
        use_flow_sigmas=False,
        euler_at_final=False,
        final_sigmas_type="zero",
        variance_type=None,
        lambda_min_clipped=-math.inf,
    )
    algorithms = {"dpmsolver++": "dpm-solver-pp", "sde-dpmsolver++": "dpm-solver-pp-sde"}
    sampler = given.one_of("algorithm_type", "dpmsolver++", algorithms)
    order = given("solver_order", 2)
    if order not in ((1, 2) if sampler == "dpm-solver-pp" else (2,)):
        raise given.refuse("solver_order", "which the sampler here does otherwise")
    options: dict[str, Any] = {
        "spacing": _spacing(given, "linspace", ("trailing",)),
        "initial_scale": 1.0,
        "max_gain": _ANY_GAIN,
    }
    if sampler == "dpm-solver-pp":
        given.none_of(**({"solver_type": "midpoint"} if order == 2 else {}))
        return sampler, {"order": order, **options}
    return sampler, {
        "solver": given.one_of("solver_type", "midpoint", {"midpoint": "midpoint", "heun": "heun"}),
        **options,
    }


def _flow_euler(given: Given, learned_variance: bool, clipped: bool) -> _Sampler:
    given.none_of(
        use_dynamic_shifting=False,
        use_karras_sigmas=False,
        use_exponential_sigmas=False,
        use_beta_sigmas=False,
        invert_sigmas=False,
        shift_terminal=None,
        stochastic_sampling=False,
    )
    return "flow-euler", {"spacing": "linspace"}


_SCHEDULERS: dict[str, Callable[[Given, bool, bool], _Sampler]] = {
    "DDPMScheduler": _ddpm,
    "DDIMScheduler": _ddim,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": _euler_ancestral,
    "DPMSolverMultistepScheduler": _dpm_solver,
    "FlowMatchEulerDiscreteScheduler": _flow_euler,
}
#: those with the same keys for betas, and the same defaults, and the sampler here that is most like them
_SIMILAR = {
    "DEISMultistepScheduler": "deis",
    "DPMSolverSinglestepScheduler": "dpm-solver-pp-2s",
    "LMSDiscreteScheduler": "lms",
    "PNDMScheduler": "plms",
    "UniPCMultistepScheduler": "unipc",
}
#: those that clip the denoised sample unless told otherwise
_CLIPPING = ("DDPMScheduler", "DDIMScheduler")
