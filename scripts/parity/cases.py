"""What is compared with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Case:
    """One comparison.

    Attributes:
        sampler: ours.
        options: its options.
        reference: theirs, by the name of its class or function.
        path: ours, described; theirs has the same numbers.
        peer: the library.
        kwargs: arguments of theirs.
        prediction: what the network predicts.
        grid: their timesteps to the times where our steps begin.
        final_order: theirs lowers the order of the last steps if there are fewer than 15.
        differs: why the two are not the same, where they are not: see docs/samplers.md.
    """

    sampler: str
    options: dict[str, Any]
    reference: str
    path: dict[str, Any]
    peer: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    prediction: str = "epsilon"
    grid: Callable[[np.ndarray], np.ndarray] = lambda t: t
    final_order: bool = False
    differs: str = ""

    @property
    def label(self) -> str:
        """Sampler and options, as the table shows them."""
        options = ", ".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.sampler} ({options})" if options else self.sampler


_LINEAR, _SCALED = {"name": "ddpm-linear"}, {"name": "ddpm-scaled-linear"}
_EDM, _FLOW = {"name": "edm"}, {"name": "rectified-flow"}
_DIFFUSERS, _K_DIFFUSION = "diffusers", "k-diffusion"


def cases() -> list[Case]:
    """Everything that is compared."""
    return [*_one_step(), *_multistep(), *_pseudo_linear(), *_flows(), *_k_diffusion()]


def _one_step() -> list[Case]:
    """Samplers of the variance-preserving paths that need no history, or little."""
    linear, d = _LINEAR, _DIFFUSERS
    plain = {"clip_sample": False, "timestep_spacing": "leading"}
    lead = {"timestep_spacing": "leading", "beta_start": 1e-4, "beta_end": 0.02}
    return [
        Case("ddim", {"eta": 0.0}, "DDIM", linear, d, plain),
        Case("ddim", {"eta": 1.0}, "DDIM", linear, d, plain),
        Case("ddim", {"eta": 0.0}, "DDIM", linear, d, {**plain, "prediction_type": "v_prediction"}, "v"),
        Case("ddim", {"eta": 0.0}, "DDIM", linear, d, {**plain, "prediction_type": "sample"}, "x0"),
        Case("ddpm", {"variance": "small"}, "DDPM", linear, d, {**plain, "variance_type": "fixed_small"}),
        Case("ddpm", {"variance": "large"}, "DDPM", linear, d, {**plain, "variance_type": "fixed_large"}),
        Case("euler", {}, "EulerDiscrete", linear, d, lead),
        Case("euler", {}, "EulerDiscrete", linear, d, {**lead, "prediction_type": "v_prediction"}, "v"),
        Case("euler-ancestral", {}, "EulerAncestralDiscrete", linear, d, lead),
        Case("heun", {}, "HeunDiscrete", linear, d, lead, grid=lambda t: np.append(t[0], t[1::2])),
        Case("lms", {"order": 4}, "LMSDiscrete", linear, d, lead),
        Case("dpm-solver-2", {}, "KDPM2Discrete", linear, d, lead, grid=lambda t: t[::2]),
    ]


def _multistep() -> list[Case]:
    """DPM-Solver++, UniPC and DEIS, of every order that both have."""
    linear, d = _LINEAR, _DIFFUSERS
    sde = {"algorithm_type": "sde-dpmsolver++"}
    out = []
    for prediction, name in (("epsilon", "epsilon"), ("v", "v_prediction")):
        base = {"prediction_type": name}
        out += [
            Case(
                "dpm-solver-pp",
                {"order": o},
                "DPMSolverMultistep",
                linear,
                d,
                {**base, "solver_order": o},
                prediction,
                final_order=True,
                differs="third-order term" if o == 3 else "",
            )
            for o in (1, 2, 3)
        ]
        out += [
            Case(
                "unipc",
                {"order": o, "variant": b},
                "UniPCMultistep",
                linear,
                d,
                {**base, "solver_order": o, "solver_type": b},
                prediction,
            )
            for o, b in ((2, "bh1"), (2, "bh2"), (3, "bh2"))
        ]
    out += [
        Case("dpm-solver-pp-sde", {"solver": s}, "DPMSolverMultistep", linear, d, {**sde, "solver_type": s})
        for s in ("midpoint", "heun")
    ]
    out += [
        Case(
            "deis",
            {"order": o, "variable": "log-noise"},
            "DEISMultistep",
            linear,
            d,
            {"solver_order": o},
            differs="last step" if o == 2 else "last steps",
        )
        for o in (2, 3)
    ]
    return out


def _pseudo_linear() -> list[Case]:
    """Pseudo linear multistep methods, on the path of latent diffusion."""
    scaled, d = _SCALED, _DIFFUSERS
    pndm = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "set_alpha_to_one": True}
    return [
        Case("plms", {}, "PNDM", scaled, d, {**pndm, "skip_prk_steps": True}, grid=lambda t: np.delete(t, 2)),
        Case("pndm", {}, "PNDM", scaled, d, pndm, grid=lambda t: np.concatenate([t[:12:4], t[12:]])),
    ]


def _flows() -> list[Case]:
    """Samplers of rectified flows."""
    flow, d = _FLOW, _DIFFUSERS
    flows = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    return [
        Case("flow-euler", {}, "FlowMatchEulerDiscrete", flow, d, {}, "flow"),
        Case("flow-heun", {}, "FlowMatchHeunDiscrete", flow, d, {}, "flow", grid=lambda t: np.append(t[0], t[1::2])),
        Case("dpm-solver-pp", {"order": 2}, "DPMSolverMultistep", flow, d, flows, "flow"),
        Case("unipc", {"order": 2}, "UniPCMultistep", flow, d, flows, "flow"),
    ]


def _k_diffusion() -> list[Case]:
    """The samplers of k-diffusion, by σ."""
    edm, k = _EDM, _K_DIFFUSION
    return [
        Case("euler", {}, "sample_euler", edm, k),
        Case("euler-ancestral", {"eta": 1.0}, "sample_euler_ancestral", edm, k, {"eta": 1.0}),
        Case("euler-ancestral", {"eta": 0.5}, "sample_euler_ancestral", edm, k, {"eta": 0.5}),
        Case("heun", {}, "sample_heun", edm, k),
        Case("edm", {"churn": 4.0, "churn_noise": 1.003}, "sample_heun", edm, k, {"s_churn": 4.0, "s_noise": 1.003}),
        Case("dpm-solver-2", {}, "sample_dpm_2", edm, k),
        Case("lms", {"order": 4}, "sample_lms", edm, k),
        Case("dpm-solver-pp", {"order": 2}, "sample_dpmpp_2m", edm, k),
        Case("dpm-solver-pp-2s", {"eta": 0.0}, "sample_dpmpp_2s_ancestral", edm, k, {"eta": 0.0}),
        Case("dpm-solver-pp-2s", {"eta": 1.0}, "sample_dpmpp_2s_ancestral", edm, k, {"eta": 1.0}),
        Case("dpm-solver-pp-sde", {"solver": "midpoint"}, "sample_dpmpp_2m_sde", edm, k, {"eta": 1.0}),
        Case(
            "dpm-solver-pp-sde", {"solver": "heun"}, "sample_dpmpp_2m_sde", edm, k, {"eta": 1.0, "solver_type": "heun"}
        ),
        Case(
            "dpm-solver-pp",
            {"order": 3, "lower_order_final": False},
            "sample_dpmpp_3m_sde",
            edm,
            k,
            {"eta": 0.0},
            differs="starting steps",
        ),
    ]
