"""The keys that the config of a scheduler of diffusers can have, class by class.

diffusers loads a config by the signature of a class. Keys that belong to other classes of the same kind are carried
along without effect, since schedulers can be exchanged for each other; unknown ones are warned of and ignored. Here,
keys of the class have to be understood (:class:`zoo_diffusion.from_diffusers.config_reader.ConfigReader`), those of
other classes are passed over just as well, and unknown ones are refused.
"""

from __future__ import annotations

_BETAS = {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type"}
_SPACING = {"timestep_spacing", "steps_offset"}
_THRESHOLD = {"thresholding", "dynamic_thresholding_ratio", "sample_max_value"}
_CLIP = {"clip_sample", "clip_sample_range"}
_SIGMAS = {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"}
_FLOW = {"use_flow_sigmas", "flow_shift", "use_dynamic_shifting", "time_shift_type"}
_SOLVER = {"solver_order", "algorithm_type", "solver_type", "lower_order_final"}

#: class -> the keys of its constructor
KEYS: dict[str, frozenset[str]] = {
    name: frozenset(keys)
    for name, keys in {
        "DDPMScheduler": _BETAS | _SPACING | _THRESHOLD | _CLIP | {"variance_type", "rescale_betas_zero_snr"},
        "DDIMScheduler": _BETAS | _SPACING | _THRESHOLD | _CLIP | {"set_alpha_to_one", "rescale_betas_zero_snr"},
        "EulerDiscreteScheduler": _BETAS
        | _SPACING
        | _SIGMAS
        | {"interpolation_type", "sigma_min", "sigma_max", "timestep_type", "rescale_betas_zero_snr"}
        | {"final_sigmas_type"},
        "EulerAncestralDiscreteScheduler": _BETAS | _SPACING | {"rescale_betas_zero_snr"},
        "DPMSolverMultistepScheduler": _BETAS
        | _SPACING
        | _THRESHOLD
        | _SIGMAS
        | _FLOW
        | _SOLVER
        | {"euler_at_final", "use_lu_lambdas", "final_sigmas_type", "lambda_min_clipped", "variance_type"}
        | {"rescale_betas_zero_snr"},
        "FlowMatchEulerDiscreteScheduler": _SIGMAS
        | {"num_train_timesteps", "shift", "use_dynamic_shifting", "base_shift", "max_shift", "base_image_seq_len"}
        | {"max_image_seq_len", "invert_sigmas", "shift_terminal", "time_shift_type", "stochastic_sampling"},
        "DEISMultistepScheduler": _BETAS | _SPACING | _THRESHOLD | _SIGMAS | _FLOW | _SOLVER,
        "DPMSolverSinglestepScheduler": _BETAS
        | _THRESHOLD
        | _SIGMAS
        | _FLOW
        | _SOLVER
        | {"final_sigmas_type", "lambda_min_clipped", "variance_type"},
        "LMSDiscreteScheduler": _BETAS | _SPACING | _SIGMAS,
        "PNDMScheduler": _BETAS | _SPACING | {"skip_prk_steps", "set_alpha_to_one"},
        "UniPCMultistepScheduler": _BETAS
        | _SPACING
        | _THRESHOLD
        | _SIGMAS
        | _FLOW
        | (_SOLVER - {"algorithm_type"})
        | {"predict_x0", "disable_corrector", "solver_p", "final_sigmas_type", "rescale_betas_zero_snr"}
        | {"sigma_min", "sigma_max", "shift_terminal"},
    }.items()
}
#: those of any class that can be exchanged for another; FlowMatchEulerDiscreteScheduler cannot
EXCHANGED: frozenset[str] = frozenset(
    set().union(*(keys for name, keys in KEYS.items() if name != "FlowMatchEulerDiscreteScheduler"))
    | {"noise_sampler_seed", "rho", "sigma_data", "sigma_schedule"}
)


def carried_along(kind: str, saved_as: str) -> frozenset[str]:
    """Keys without effect in a config that class ``kind`` loads and ``saved_as`` wrote."""
    exchanged = frozenset() if kind == "FlowMatchEulerDiscreteScheduler" else EXCHANGED
    return (exchanged | KEYS.get(saved_as, frozenset())) - KEYS[kind]
