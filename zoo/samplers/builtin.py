"""The list of built-in samplers, from which names, registration and tests are derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zoo.samplers.consistency import consistency, lcm
from zoo.samplers.ddim import ddim
from zoo.samplers.ddpm import ddpm
from zoo.samplers.deis import deis
from zoo.samplers.dpm_solver_2 import dpm_solver_2
from zoo.samplers.dpm_solver_pp import dpm_solver_pp
from zoo.samplers.dpm_solver_pp_2s import dpm_solver_pp_2s
from zoo.samplers.dpm_solver_pp_sde import dpm_solver_pp_sde
from zoo.samplers.edm import edm, heun
from zoo.samplers.euler import euler
from zoo.samplers.euler_ancestral import euler_ancestral
from zoo.samplers.flow import flow_euler, flow_heun, flow_midpoint, flow_rk4
from zoo.samplers.lms import lms
from zoo.samplers.plms import ipndm, plms, pndm
from zoo.samplers.table import StepTable
from zoo.samplers.unipc import unipc
from zoo.samplers.unmasking import unmasking

SamplerFunction = Callable[..., StepTable]

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


@dataclass(frozen=True)
class Builtin:
    """A sampler of this package, named like its function, with hyphens.

    Attributes:
        function: ``(path, steps, **options) -> StepTable``.
        summary: one line.
        paper: where it was published.
        stochastic: whether it adds fresh noise.
        gaussian: whether it needs a Gaussian path.
        denoises: False if it takes D for a sample, as of a network that was distilled to give one.
    """

    function: SamplerFunction
    summary: str
    paper: str
    stochastic: bool = False
    gaussian: bool = True
    denoises: bool = True

    @property
    def name(self) -> str:
        """The registered name."""
        return self.function.__name__.replace("_", "-")

    @property
    def entry(self) -> str:
        """``"module:function"``, as in :class:`zoo.registry.cards.Sampler`."""
        return f"{self.function.__module__}:{self.function.__name__}"


SAMPLERS = (
    Builtin(ddim, "implicit model; deterministic at eta = 0", _DDIM),
    Builtin(ddpm, "ancestral sampling", _DDPM, stochastic=True),
    Builtin(euler, "first order in the noise level; DDIM at eta = 0", _EDM),
    Builtin(euler_ancestral, "Euler with fresh noise; DDIM at eta = 1", _EDM, stochastic=True),
    Builtin(heun, "second order in the noise level, two evaluations per step", _EDM),
    Builtin(edm, "Heun with churn", _EDM, stochastic=True),
    Builtin(dpm_solver_2, "exponential midpoint, two evaluations per step", _DPM),
    Builtin(dpm_solver_pp, "multistep, order 1, 2 (2M) or 3 (3M)", _DPMPP),
    Builtin(dpm_solver_pp_2s, "single-step, second order", _DPMPP),
    Builtin(dpm_solver_pp_sde, "stochastic multistep (2M SDE)", _DPMPP, stochastic=True),
    Builtin(unipc, "multistep predictor-corrector", _UNIPC),
    Builtin(lms, "linear multistep in the noise level", _EDM),
    Builtin(plms, "pseudo linear multistep, Heun start", _PNDM),
    Builtin(pndm, "pseudo linear multistep, Runge-Kutta start", _PNDM),
    Builtin(ipndm, "pseudo linear multistep, lower-order start", _DEIS),
    Builtin(deis, "exponential integrator, polynomial in t (tAB)", _DEIS),
    Builtin(flow_euler, "Euler along the straight path", _FLOW),
    Builtin(flow_midpoint, "midpoint method along the straight path", _FLOW),
    Builtin(flow_heun, "Heun along the straight path", _FLOW),
    Builtin(flow_rk4, "classical Runge-Kutta along the straight path", _FLOW),
    Builtin(consistency, "multistep consistency sampling", _CONSISTENCY, stochastic=True, denoises=False),
    Builtin(lcm, "multistep latent consistency sampling", _LCM, stochastic=True, denoises=False),
    Builtin(unmasking, "reveals the masked symbols of a masked diffusion", _MASKED, stochastic=True, gaussian=False),
)

#: the built-in samplers by name
BUILTIN: dict[str, SamplerFunction] = {sampler.name: sampler.function for sampler in SAMPLERS}

#: samplers for Gaussian paths
GAUSSIAN: dict[str, SamplerFunction] = {sampler.name: sampler.function for sampler in SAMPLERS if sampler.gaussian}
