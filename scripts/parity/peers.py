"""The other side: the samplers of diffusers and k-diffusion, each in its own loop, on the same network and noise."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import torch
from cases import Case
from ours import NOISE, START, mixture

from zoo.paths import path_from

VE_STATE = {"EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "LMSDiscrete", "KDPM2Discrete"}
Trajectory = tuple[np.ndarray, list[np.ndarray]]


def versions() -> str:
    """What was compared with."""
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name).split('+')[0]}" for name in ("torch", "diffusers", "k-diffusion"))


def network(prediction: str, x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """What a perfect network says."""
    d = mixture(x, alpha, sigma)
    epsilon = (x - alpha * d) / sigma
    return {"epsilon": epsilon, "x0": d, "v": alpha * epsilon - sigma * d, "flow": epsilon - d}[prediction]


class Doubled:
    """A module whose float32 is float64."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.float32 = module.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def precision(module: Any, double: bool) -> Iterator[None]:
    """Run a module of diffusers as it is, or with float64 wherever it says float32."""
    if not double:
        yield
        return
    with mock.patch.object(module, "torch", Doubled(torch)), mock.patch.object(module, "np", Doubled(np)):
        yield


def diffusers(case: Case, steps: int, double: bool) -> Trajectory:
    """A scheduler of diffusers, in its own loop."""
    schedulers = importlib.import_module("diffusers.schedulers")
    cls = getattr(schedulers, case.reference + "Scheduler")
    module = sys.modules[cls.__module__]
    path = path_from(case.path)
    flow = path.name == "rectified-flow"
    index = 0
    states: list[np.ndarray] = []
    with precision(module, double):
        scheduler = cls(**case.kwargs)
        if flow and case.reference == "FlowMatchEulerDiscrete":
            scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps).tolist())
        else:
            scheduler.set_timesteps(steps)
        # with flow sigmas the timesteps are rounded, and only their network would see that
        rounded = case.kwargs.get("use_flow_sigmas", False)
        timesteps = 1000.0 * scheduler.sigmas.double().numpy()[:-1] if rounded else scheduler.timesteps.double().numpy()
        # rectified flow's network time is 1000·t; a discrete path's last timestep is T - 1
        times = timesteps / (1000.0 if flow else path.timesteps - 1)
        if case.reference == "FlowMatchEulerDiscrete":
            times = np.linspace(1.0, 1.0 / steps, steps)
        x = torch.from_numpy(float(path.alpha_sigma(times[0])[1]) * START)
        if case.reference in VE_STATE:
            x = x * (scheduler.sigmas[0].double() ** 2 + 1).sqrt()
        scale = getattr(scheduler, "scale_model_input", lambda x, t: x)
        drawn = mock.Mock(side_effect=lambda *_, **__: torch.from_numpy(NOISE[index]))
        with mock.patch.object(module, "randn_tensor", drawn) if hasattr(module, "randn_tensor") else nullcontext():
            for index, t in enumerate(scheduler.timesteps):
                shown = scale(x, t).double().numpy()
                states.append(shown)
                out = network(case.prediction, shown, *(float(a) for a in path.alpha_sigma(times[index])))
                extra = {"eta": case.options["eta"]} if case.reference == "DDIM" else {}
                x = scheduler.step(torch.from_numpy(out), t, x, **extra).prev_sample
    return case.grid(times), [*states, x.double().numpy()]


def k_sampling() -> Any:
    """``k_diffusion.sampling`` alone: the package's own import wants clip, wandb and more."""
    if "k_diffusion" not in sys.modules:
        spec = importlib.util.find_spec("k_diffusion")
        package = types.ModuleType("k_diffusion")
        package.__path__ = list(spec.submodule_search_locations)
        package.utils = types.ModuleType("k_diffusion.utils")
        package.utils.append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
        sys.modules["k_diffusion"] = package
    return importlib.import_module("k_diffusion.sampling")


def k_diffusion(case: Case, steps: int, double: bool) -> Trajectory:
    """A sampler of k-diffusion on Karras noise levels in float64."""
    sampling, path = k_sampling(), path_from(case.path)
    times = np.linspace(1.0, 0.0, steps)
    sigmas = torch.from_numpy(np.append(path.alpha_sigma(times)[1], 0.0))
    states: list[np.ndarray] = []
    calls = 0

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        states.append(x.numpy().copy())
        return torch.from_numpy(mixture(x.numpy(), 1.0, float(sigma[0])))

    def drawn(*_: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        # churn is drawn once a step; ancestral noise after the step's last evaluation
        return torch.from_numpy(NOISE[calls - 1 if case.sampler == "edm" else len(states) - 1])

    kwargs = dict(case.kwargs)
    if "eta" in kwargs:
        kwargs["noise_sampler"] = drawn
    x = sigmas[0] * torch.from_numpy(START)
    with mock.patch.object(torch, "randn_like", drawn):
        result = getattr(sampling, case.reference)(model, x, sigmas, disable=True, **kwargs)
    return times, [*states, result.numpy()]


PEERS = {"diffusers": diffusers, "k-diffusion": k_diffusion}
