"""The likelihood of a diffusion in PyTorch: the probability-flow ODE, and the variational bound."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ConditionError, UsageError
from zoo.likelihood import (
    Evaluator,
    LogDensity,
    default_probes,
    differentiable_log_density,
    log_density,
    log_density_with_errors,
)
from zoo.likelihood.bound import variational_bound
from zoo.models.contexts import needs_gradient
from zoo.models.derivatives import differentiable
from zoo.models.interface import GenerativeModel, finite_part
from zoo.paths import GaussianPath
from zoo_diffusion.codec import LatentCodec
from zoo_diffusion.graphs import DivergenceModule
from zoo_diffusion.iterated import tensor_of


class Scored(GenerativeModel):
    """What of a diffusion scores data, around its denoiser.

    Attributes:
        path: the Gaussian path.
        shift: data units of state 0.
        scale: data units of one unit of state.
        consistency: whether D is a consistency function, and no expected clean state.
        coding: from data to what is diffused, or None.
        state_shape: shape of one state.
    """

    path: GaussianPath
    shift: float
    scale: float
    consistency: bool
    coding: LatentCodec | None
    state_shape: tuple[int, ...]

    @abstractmethod
    def denoise(self, x: Tensor, time: Tensor, alpha: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        """D(x, t), the expected clean state: ``[n, *event]`` and scalars to ``[n, *event]``."""

    @property
    def null_class(self) -> int | None:
        """The number of the class that stands for none, or None when there is no such class."""
        c = self.condition
        return c.size if c is not None and c.kind == "classes" and not c.required else None

    def log_prob(
        self,
        x: Tensor,
        *,
        condition: Any = None,
        steps: int = 32,
        probes: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Tensor:
        """Log-density by the probability-flow ODE; see :mod:`zoo.likelihood`.

        Args:
            x: data ``[n, *event]``.
            condition: classes or vectors; None scores under the null class, if there is one.
            steps: Runge-Kutta steps of four evaluations each.
            probes: Rademacher probes averaged for each sample's trace, or 0 for the exact trace, which costs as many
                evaluations as dimensions; None is exact for few dimensions.
            seed: key of the probes.
            options: none.

        Returns:
            ``[n]``, nats, in data units: unbiased over probes up to the error of the steps. Where ``x`` or a condition
            that is a tensor wants a gradient, it comes with one, through every step.
        """
        if options:
            raise UsageError(f"this model has no option {', '.join(sorted(options))}")
        if needs_gradient(x, condition):
            return self._differentiable_log_prob(x, condition, steps, probes, seed)
        evaluate, states, volume = self._ode(x, condition)
        given = default_probes(states[0].size) if probes is None else probes
        density = log_density(evaluate, states, self.path, seed=seed, steps=steps, probes=given) - volume
        return torch.from_numpy(density).to(self.device, self.dtype)

    def _differentiable_log_prob(self, x: Tensor, condition: Any, steps: int, probes: int | None, seed: int) -> Tensor:
        self.check_ode("score")
        given = self.scoring_condition(condition, len(self.check_data(x)))
        divergence = DivergenceModule(self)

        def evaluate(state: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
            levels = (torch.tensor(v, device=self.device, dtype=self.dtype) for v in others[:3])
            probe = tensor_of(others[3]).to(self.device, self.dtype)
            with differentiable():
                d, trace = divergence(state.to(self.dtype), *levels, probe, *([] if given is None else [given]))
            return d.double(), trace.double()

        states, volume = self._state_tensors(x)
        probes = default_probes(math.prod(self.state_shape)) if probes is None else probes
        density = differentiable_log_density(evaluate, states, self.path, seed=seed, steps=steps, probes=probes)
        result: Tensor = (density - volume).to(self.dtype)
        return result

    def log_prob_with_errors(
        self, x: Tensor, *, condition: Any = None, steps: int = 32, probes: int | None = None, seed: int = 0
    ) -> LogDensity:
        """The log-density and how far it can be trusted; arguments as for :meth:`log_prob`."""
        evaluate, states, volume = self._ode(x, condition)
        given = default_probes(states[0].size) if probes is None else probes
        found = log_density_with_errors(evaluate, states, self.path, seed=seed, steps=steps, probes=given)
        return found._replace(value=found.value - volume)

    def elbo(self, x: Tensor, *, condition: Any = None, steps: int = 1000, terms: int = 100, seed: int = 0) -> Tensor:
        """What the log-density under ancestral sampling is at least, see :mod:`zoo.likelihood.bound`.

        Args:
            x: data ``[n, *event]``.
            condition: as for :meth:`log_prob`.
            steps: of the chain.
            terms: how many of the steps are evaluated; the others are estimated from them.
            seed: key of the noise.

        Returns:
            ``[n]``, nats, in data units.
        """
        self.check_ode("score")
        given = self.scoring_condition(condition, len(self.check_data(x)))

        def denoise(state: Any, *levels: float) -> Any:
            time, alpha, sigma = (torch.tensor(v, device=self.device, dtype=self.dtype) for v in levels)
            with torch.no_grad():
                d = self.denoise(tensor_of(state).to(self.device, self.dtype), time, alpha, sigma, given)
            return d.cpu().numpy()

        states, volume = self._states(x)
        bound = variational_bound(denoise, states, self.path, steps=steps, terms=terms, seed=seed) - volume
        return torch.from_numpy(bound).to(self.device, self.dtype)

    def encoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data ``[n, *event]`` as what is diffused ``[n, *state_shape]``, and log |det| ``[n]`` of the Jacobian."""
        if self.coding is None:
            return x, torch.zeros_like(x.flatten(1)[:, 0])
        with torch.set_grad_enabled(needs_gradient(x)):
            return self.coding.encode(x)

    def check_ode(self, purpose: str) -> None:
        """Refuse what takes the probability-flow ODE of a model whose denoiser defines none.

        Raises:
            UsageError: a consistency model.
        """
        if self.consistency:
            raise UsageError(
                f"a consistency model cannot {purpose} data: it has no probability-flow ODE",
                hint=f"Let its teacher {purpose} the data.",
            )

    def _states(self, x: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The states of data, and by how much ``[n]`` their log-density is larger: ∞ for data that are not finite."""
        with torch.no_grad():
            states, volume = (value.cpu().numpy() for value in self._state_tensors(x))
        return states, volume

    def _state_tensors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`_states`, float64, with the gradient of ``x``."""
        if self.coding is not None and not self.coding.reversible:
            raise UsageError("this model's latents are not the data, so it has no likelihood of the data")
        x, beyond = finite_part(x)
        latents, log_det = (value.double() for value in self.encoded(x))
        log_det = log_det + beyond.double()
        states = (latents - self.shift) / self.scale
        return states, math.prod(self.state_shape) * math.log(self.scale) - log_det

    def _ode(self, x: Tensor, condition: Any) -> tuple[Evaluator, NDArray[np.float64], NDArray[np.float64]]:
        """What the likelihood evaluates, the states of the data, and by how much their log-density is larger."""
        self.check_ode("score")
        conditions = self.scoring_condition(condition, len(self.check_data(x)))
        divergence = DivergenceModule(self)

        def evaluate(state: Any, time: float, alpha: float, sigma: float, probe: Any) -> tuple[Any, Any]:
            tensors = [torch.from_numpy(np.ascontiguousarray(state)).to(self.device, self.dtype)]
            tensors += [torch.tensor(v, device=self.device, dtype=self.dtype) for v in (time, alpha, sigma)]
            tensors.append(tensor_of(probe).to(self.device, self.dtype))
            with torch.no_grad():
                d, trace = divergence(*tensors, *([] if conditions is None else [conditions]))
            return d.cpu().numpy(), trace.cpu().numpy()

        return evaluate, *self._states(x)

    def scoring_condition(self, condition: Any, n: int) -> Tensor | None:
        """The condition to score under: what is given, or the null class."""
        if self.condition is not None and condition is None:
            if self.null_class is None:
                raise ConditionError(f"scoring needs the {self.condition.kind} that the data is conditioned on")
            return torch.full((n,), self.null_class, dtype=torch.int32, device=self.device)
        return self.condition_tensor(condition, n)
