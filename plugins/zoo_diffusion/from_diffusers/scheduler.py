"""The config of a scheduler of diffusers as path, prediction and sampler of ours that do the same, or refused.

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
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.errors import ConfigError
from zoo.paths import path_from
from zoo_diffusion.from_diffusers.config_reader import ConfigReader
from zoo_diffusion.from_diffusers.keys import KEYS, carried_along

#: prediction_type -> ours
PREDICTIONS = {"epsilon": "epsilon", "sample": "x0", "v_prediction": "v"}
#: beta_schedule -> path, and whether it takes the two ends of the betas
_PATHS = {
    "linear": ("ddpm-linear", True),
    "scaled_linear": ("ddpm-scaled-linear", True),
    "squaredcos_cap_v2": ("ddpm-cosine", False),
}
#: variance_type -> variance of sampler ddpm. "log" says how diffusers computes it, not what it is; of fixed_large_log
#: it takes the root of a negative logarithm
_VARIANCES = {
    "fixed_small": "small",
    "fixed_small_log": "small",
    "fixed_large": "large",
    "learned_range": "learned",
}
#: algorithm_type and solver_type -> sampler and solver; solvers of other schedulers are replaced by diffusers, too
_ALGORITHMS = {"dpmsolver++": "dpm-solver-pp", "sde-dpmsolver++": "dpm-solver-pp-sde"}
_SOLVERS = {"midpoint": "midpoint", "heun": "heun", "logrho": "midpoint", "bh1": "midpoint", "bh2": "midpoint"}


@dataclass(frozen=True)
class Schedule:
    """The content of a scheduler's config.

    Attributes:
        path: description of the Gaussian path.
        prediction: what the network predicts.
        sampler: name of the sampler.
        options: its options.
        clip: bound on the denoised sample, or None.
    """

    path: dict[str, object]
    prediction: str
    sampler: str
    options: dict[str, object] = field(default_factory=dict)
    clip: float | None = None


def schedule(
    config: Mapping[str, object],
    where: Path,
    *,
    learned_variance: bool,
    sampler: str | None,
    loaded_as: str | None = None,
) -> Schedule:
    """Translate a scheduler's config. A key that it lacks has diffusers' default, as old configs need.

    Args:
        config: content of ``scheduler_config.json``.
        where: that file.
        learned_variance: whether the network predicts the variance.
        sampler: a sampler to use instead, with its own options; None for the scheduler's.
        loaded_as: the class that a pipeline loads it as, which need not be the one that wrote it; None if not stated.

    Raises:
        ConfigError: an unknown scheduler or key, or a value that is not supported.
    """
    reader, saved_as = ConfigReader(config, where), str(config.get("_class_name"))
    name = loaded_as or saved_as
    # those with Parallel in their name compute the same
    kind, saved_as = (each.replace("ParallelScheduler", "Scheduler") for each in (name, saved_as))
    if kind in _SIMILAR and sampler is None:
        raise ConfigError(
            f"{where} describes the scheduler {name}, whose steps are not those of any sampler of genzoo",
            hint=f"With -I sampler={_SIMILAR[kind]}, or any other, only its noise schedule is taken.",
        )
    if kind not in _SCHEDULERS and kind not in _SIMILAR:
        raise ConfigError(
            f"{where} describes the scheduler {name}, which genzoo does not know",
            hint=f"Known schedulers: {', '.join(_SCHEDULERS)}.",
        )
    if kind == "FlowMatchEulerDiscreteScheduler":
        path, prediction = _flow_path(reader), "velocity"
    else:
        path, prediction = _discrete_path(reader, KEYS[kind]), _prediction(reader, kind)
    path_from(path)  # refuses invalid betas
    clip = None
    if kind in _CLIPPING:
        bound = reader.number("clip_sample_range", 1.0)
        clip = bound if reader("clip_sample", True) else None
    chosen, options = (
        (sampler, {}) if sampler is not None else _SCHEDULERS[kind](reader, learned_variance, clip is not None)
    )
    own = KEYS[kind] if sampler is not None else ()
    reader.finish(known=own, without_effect=carried_along(kind, saved_as))
    return Schedule(path, prediction, chosen, options, clip)


def _prediction(reader: ConfigReader, kind: str) -> str:
    # which diffusers' ancestral Euler does not implement
    unable = ("sample",) if kind == "EulerAncestralDiscreteScheduler" else ()
    known = {theirs: ours for theirs, ours in PREDICTIONS.items() if theirs not in unable}
    prediction: str = reader.one_of("prediction_type", "epsilon", known)
    return prediction


def _discrete_path(reader: ConfigReader, keys: Collection[str]) -> dict[str, object]:
    if "use_flow_sigmas" in keys and reader("use_flow_sigmas", False):
        raise reader.refuse(
            "use_flow_sigmas", "which can be imported only from FlowMatchEulerDiscreteScheduler", hint=""
        )
    if reader("trained_betas", None) is not None:
        raise ConfigError(f"{reader.where} has trained_betas; only named schedules can be imported")
    name, ends = reader.one_of("beta_schedule", "linear", _PATHS)
    path: dict[str, object] = {"name": name, "num_timesteps": reader.whole("num_train_timesteps", 1000, 2)}
    if ends:
        path |= {"beta_start": reader.number("beta_start", 1e-4), "beta_end": reader.number("beta_end", 0.02)}
    reader.unused("beta_start", "beta_end")
    if "rescale_betas_zero_snr" in keys and reader("rescale_betas_zero_snr", False):
        path["zero_terminal_snr"] = True
    return path


def _flow_path(reader: ConfigReader) -> dict[str, object]:
    shift, timesteps = reader.number("shift", 1.0), reader.whole("num_train_timesteps", 1000, 2)
    least = 1.0 / timesteps
    # diffusers walks evenly between shifted ends, and shifts the points between; the network counts in its timesteps
    t_min = shift * least / (1.0 + (shift - 1.0) * least)
    return {"name": "rectified-flow", "shift": shift, "t_min": t_min, "time_scale": float(timesteps)}


#: a sampler's name and its options, from (config, whether the network predicts the variance, whether D is clipped)
_Sampler = tuple[str, dict[str, object]]
#: diffusers lowers no order because of a step's gain; a number that a manifest can hold
_ANY_GAIN = 1e9


def _spacing(reader: ConfigReader, default: str, known: tuple[str, ...]) -> str:
    spacing: str = reader.one_of("timestep_spacing", default, {name: name for name in known})
    if reader("steps_offset", 0) and spacing == "leading":
        raise reader.refuse("steps_offset", "which the spacing leading does not support")
    return spacing


def _no_thresholding(reader: ConfigReader) -> None:
    reader.none_of(thresholding=False)
    reader.unused("dynamic_thresholding_ratio", "sample_max_value")


def _ddpm(reader: ConfigReader, learned_variance: bool, clipped: bool) -> _Sampler:
    _no_thresholding(reader)
    variance = reader.one_of("variance_type", "fixed_small", _VARIANCES)
    if variance == "learned" and not learned_variance:
        raise reader.refuse("variance_type", "but the network predicts no variance")
    spacing = _spacing(reader, "leading", ("leading", "trailing", "linspace"))
    if spacing == "trailing" and variance != "small":
        raise reader.refuse("variance_type", "which with trailing spacing leaves noise in the samples of diffusers")
    return "ddpm", {"variance": variance, "spacing": spacing, "initial_scale": 1.0}


def _ddim(reader: ConfigReader, learned_variance: bool, clipped: bool) -> _Sampler:
    _no_thresholding(reader)
    reader.none_of(set_alpha_to_one=True)
    options: dict[str, object] = {"spacing": _spacing(reader, "leading", ("leading", "trailing", "linspace"))}
    if options["spacing"] != "leading":
        options["stride"] = "even"
    if clipped:
        options["epsilon"] = "unclipped"
    return "ddim", {**options, "initial_scale": 1.0}


def _euler(reader: ConfigReader, learned_variance: bool, clipped: bool) -> _Sampler:
    reader.none_of(
        use_karras_sigmas=False,
        use_exponential_sigmas=False,
        use_beta_sigmas=False,
        sigma_min=None,
        sigma_max=None,
        interpolation_type="linear",
        timestep_type="discrete",
        final_sigmas_type="zero",
    )
    return "euler", _noise_levels(reader)


def _euler_ancestral(reader: ConfigReader, learned_variance: bool, clipped: bool) -> _Sampler:
    return "euler-ancestral", _noise_levels(reader)


def _noise_levels(reader: ConfigReader) -> dict[str, object]:
    spacing = _spacing(reader, "linspace", ("leading", "trailing"))
    # as their initial noise: of scale 1 for leading, of the scale of the first noise level for trailing
    return {"spacing": spacing, **({"initial_scale": 1.0} if spacing == "leading" else {})}


def _dpm_solver(reader: ConfigReader, learned_variance: bool, clipped: bool) -> _Sampler:
    _no_thresholding(reader)
    reader.none_of(
        use_karras_sigmas=False,
        use_exponential_sigmas=False,
        use_beta_sigmas=False,
        use_lu_lambdas=False,
        use_dynamic_shifting=False,
        final_sigmas_type="zero",
        variance_type=None,
        lambda_min_clipped=-math.inf,
    )
    # the shift is that of flow sigmas; a last step to no noise at all is of order 1 whatever these say, up to order 2
    reader.unused("flow_shift", "time_shift_type", "euler_at_final", "lower_order_final")
    sampler = reader.one_of("algorithm_type", "dpmsolver++", _ALGORITHMS)
    solver = reader.one_of("solver_type", "midpoint", _SOLVERS)
    order = reader("solver_order", 2)
    if isinstance(order, bool) or order not in ((1, 2) if sampler == "dpm-solver-pp" else (2,)):
        raise reader.refuse("solver_order", "which genzoo's sampler implements differently")
    options: dict[str, object] = {"spacing": _spacing(reader, "linspace", ("trailing",)), "initial_scale": 1.0}
    options["max_gain"] = _ANY_GAIN
    if sampler == "dpm-solver-pp-sde":
        return sampler, {"solver": solver, **options}
    if order == 2 and solver != "midpoint":
        raise reader.refuse("solver_type", "which no sampler of genzoo has")
    return sampler, {"order": order, **options}


def _flow_euler(reader: ConfigReader, learned_variance: bool, clipped: bool) -> _Sampler:
    reader.none_of(
        use_dynamic_shifting=False,
        use_karras_sigmas=False,
        use_exponential_sigmas=False,
        use_beta_sigmas=False,
        invert_sigmas=False,
        shift_terminal=None,
        stochastic_sampling=False,
    )
    # what dynamic shifting would need
    reader.unused("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "time_shift_type")
    return "flow-euler", {"spacing": "linspace"}


_SCHEDULERS: dict[str, Callable[[ConfigReader, bool, bool], _Sampler]] = {
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
