"""The two graphs of a diffusion as modules: one row of a step table, and one evaluation of the likelihood's ODE."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.derivatives import jvp


class Denoiser(Protocol):
    """What the graphs need of a diffusion model, which is a torch module."""

    event_shape: tuple[int, ...]

    def denoise(self, x: Tensor, time: Tensor, alpha: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        """D(x, t), see :meth:`zoo_diffusion.diffusion.Diffusion.denoise`."""
        ...


class StepModule(nn.Module):
    """One row of a step table, for every sampler: see :mod:`zoo.samplers.table` for the equations."""

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        state: Tensor,
        time: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        clip: Tensor,
        noise_scale: Tensor,
        matrix: Tensor,
        noise: Tensor,
        weights: Tensor,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """State ``[slots, n, *event]`` to the next state and D; the evaluations of guidance run as one batch."""
        event = self.model.event_shape
        x = state[0]
        repeated = x[None].expand(weights.shape[0], *x.shape).reshape(-1, *event)
        d = self.model.denoise(repeated, time, alpha, sigma, None if condition is None else condition.flatten(0, 1))
        d = (d.reshape(-1, *x.shape) * weights.reshape(-1, *[1] * x.ndim)).sum(0)
        d = torch.minimum(torch.maximum(d, -clip), clip)
        columns = torch.cat([state, d[None]]).flatten(1)
        # the first slot is x: only it takes the fresh noise
        moved = (matrix @ columns).reshape(-1, *x.shape)
        return torch.cat([moved[:1] + noise_scale * noise, moved[1:]]), d


class DivergenceModule(nn.Module):
    """The denoised sample and probe·J·probe of its Jacobian, by one forward-mode derivative."""

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        probe: Tensor,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``[n, *event]`` to D ``[n, *event]`` and the estimate ``[n]`` of the trace of ∂D/∂x."""

        def denoise(y: Tensor) -> Tensor:
            return self.model.denoise(y, time, alpha, sigma, condition)

        d, tangent = jvp(denoise, x, probe)
        return d, (tangent * probe).flatten(1).sum(1)
