"""The built-in samplers, described through the same hook as everybody else's."""

from __future__ import annotations

from zoo.cards import Sampler
from zoo.hookspecs import hookimpl

_DDIM = "Song, Meng & Ermon 2021, Denoising diffusion implicit models, arXiv:2010.02502"
_DDPM = "Ho, Jain & Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239"
_EDM = "Karras et al. 2022, Elucidating the design space of diffusion-based generative models, arXiv:2206.00364"
_DPM = "Lu et al. 2022, DPM-Solver, arXiv:2206.00927"
_DPMPP = "Lu et al. 2022, DPM-Solver++, arXiv:2211.01095"
_UNIPC = "Zhao et al. 2023, UniPC, arXiv:2302.04867"
_PNDM = "Liu et al. 2022, Pseudo numerical methods for diffusion models on manifolds, arXiv:2202.09778"
_DEIS = "Zhang & Chen 2023, Fast sampling of diffusion models with exponential integrator, arXiv:2204.13902"
_FLOW = "Liu, Gong & Liu 2023, Flow straight and fast, arXiv:2209.03003"
_CONSISTENCY = "Song et al. 2023, Consistency models, arXiv:2303.01469"
_MASKED = "Sahoo et al. 2024, Simple and effective masked diffusion language models, arXiv:2406.07524"
_LCM = "Luo et al. 2023, Latent consistency models, arXiv:2310.04378"

#: (name, what it is, module:function under zoo.samplers, stochastic, paper)
_SAMPLERS = (
    ("ddim", "implicit model; deterministic at eta = 0", "ddim:ddim", False, _DDIM),
    ("ddpm", "ancestral sampling", "ddpm:ddpm", True, _DDPM),
    ("euler", "first order in the noise level; DDIM at eta = 0", "euler:euler", False, _EDM),
    ("euler-ancestral", "Euler with fresh noise; DDIM at eta = 1", "euler_ancestral:euler_ancestral", True, _EDM),
    ("heun", "second order in the noise level, two evaluations a step", "edm:heun", False, _EDM),
    ("edm", "Heun with churn", "edm:edm", True, _EDM),
    ("dpm-solver-2", "exponential midpoint, two evaluations a step", "dpm_solver_2:dpm_solver_2", False, _DPM),
    ("dpm-solver-pp", "multistep, order 1, 2 (2M) or 3 (3M)", "dpm_solver_pp:dpm_solver_pp", False, _DPMPP),
    ("dpm-solver-pp-2s", "single-step, second order", "dpm_solver_pp_2s:dpm_solver_pp_2s", False, _DPMPP),
    ("dpm-solver-pp-sde", "stochastic multistep (2M SDE)", "dpm_solver_pp_sde:dpm_solver_pp_sde", True, _DPMPP),
    ("unipc", "multistep predictor-corrector", "unipc:unipc", False, _UNIPC),
    ("lms", "linear multistep in the noise level", "lms:lms", False, _EDM),
    ("plms", "pseudo linear multistep, Heun start", "plms:plms", False, _PNDM),
    ("pndm", "pseudo linear multistep, Runge-Kutta start", "plms:pndm", False, _PNDM),
    ("ipndm", "pseudo linear multistep, lower-order start", "plms:ipndm", False, _DEIS),
    ("deis", "exponential integrator, polynomial in t (tAB)", "deis:deis", False, _DEIS),
    ("flow-euler", "Euler along the straight path", "flow:flow_euler", False, _FLOW),
    ("flow-midpoint", "midpoint method along the straight path", "flow:flow_midpoint", False, _FLOW),
    ("flow-heun", "Heun along the straight path", "flow:flow_heun", False, _FLOW),
    ("flow-rk4", "classical Runge-Kutta along the straight path", "flow:flow_rk4", False, _FLOW),
    ("consistency", "multistep consistency sampling", "consistency:consistency", True, _CONSISTENCY),
    ("unmasking", "reveals what a masked diffusion hides", "unmasking:unmasking", True, _MASKED),
    ("lcm", "multistep latent consistency sampling", "consistency:lcm", True, _LCM),
)


@hookimpl
def zoo_samplers() -> list[Sampler]:
    """Every sampler of this package."""
    return [
        Sampler(name=name, summary=summary, entry=f"zoo.samplers.{entry}", stochastic=stochastic, paper=paper)
        for name, summary, entry, stochastic, paper in _SAMPLERS
    ]
