"""The likelihood of a diffusion in PyTorch: the probability-flow ODE, and the variational bound."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.conditions import Condition
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
from zoo.models.contexts import ReceivedCondition, TensorCondition, needs_gradient
from zoo.models.derivatives import differentiable
from zoo.models.interface import finite_part
from zoo.paths import GaussianPath
from zoo_diffusion.codec import LatentCodec
from zoo_diffusion.graphs import Denoises, DivergenceModule
from zoo_diffusion.stepped import check_precision, tensor_of


class Scorable(Denoises, Protocol):
    """What scoring needs of a diffusion.

    Attributes:
        path: the Gaussian path.
        shift: data units of state 0.
        scale: data units of one unit of state.
        likelihood: whether it scores.
        consistency: whether D is a consistency function, not the expected clean state.
        codec: from data to what is diffused, or None.
        state_shape: shape of one state.
        condition: what data is conditioned on, or None.
    """

    path: GaussianPath
    shift: float
    scale: float
    likelihood: bool
    consistency: bool
    codec: LatentCodec | None
    state_shape: tuple[int, ...]
    condition: Condition | None

    @property
    def null_class(self) -> int | None:
        """The null class."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        ...

    def check_data(self, x: Tensor) -> Tensor:
        """Refuse values that are not data of the model."""
        ...

    def condition_tensor(self, condition: TensorCondition, n: int) -> Tensor | None:
        """A condition as the network takes it."""
        ...

    @property
    def takes_parts(self) -> bool:
        """Whether it is conditioned on named parts."""
        ...

    def received_condition(self, condition: TensorCondition, n: int) -> ReceivedCondition:
        """What it gets of a condition."""
        ...

    def encoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data as what is diffused, and log |det| of the Jacobian."""
        ...


class OdeScorer:
    """Scores data with a diffusion; :class:`~zoo_diffusion.diffusion.Diffusion` explains arguments and results.

    Args:
        model: the diffusion.
    """

    def __init__(self, model: Scorable) -> None:
        check_precision(model.dtype, "score")
        self._model = model

    def log_prob(self, x: Tensor, condition: TensorCondition, steps: int, probes: int | None, seed: int) -> Tensor:
        """Log-densities ``[n]``, with a gradient where ``x`` or the condition wants one."""
        model = self._model
        if needs_gradient(x, condition):
            return self._differentiable(x, condition, steps, probes, seed)
        evaluate, states, volume = self._ode(x, condition)
        count = default_probes(states[0].size) if probes is None else probes
        density = log_density(evaluate, states, model.path, seed=seed, steps=steps, probes=count) - volume
        return torch.from_numpy(density).to(model.device, model.dtype)

    def log_prob_with_errors(
        self, x: Tensor, condition: TensorCondition, steps: int, probes: int | None, seed: int
    ) -> LogDensity:
        """The same and how far it can be trusted."""
        model = self._model
        evaluate, states, volume = self._ode(x, condition)
        count = default_probes(states[0].size) if probes is None else probes
        density = log_density_with_errors(evaluate, states, model.path, seed=seed, steps=steps, probes=count)
        return density._replace(value=density.value - volume)

    def bound(self, x: Tensor, condition: TensorCondition, steps: int, terms: int, seed: int) -> Tensor:
        """Lower bounds ``[n]`` of log-densities."""
        model = self._model
        self.check_ode("score")
        received = self.condition(condition, len(model.check_data(x)))

        def denoise(state: Any, *levels: float) -> Any:
            time, alpha, sigma = (torch.tensor(v, device=model.device, dtype=model.dtype) for v in levels)
            with torch.no_grad():
                d = model.denoise(tensor_of(state).to(model.device, model.dtype), time, alpha, sigma, received)
            return d.cpu().numpy()

        states, volume = self._states(x)
        bound = variational_bound(denoise, states, model.path, steps=steps, terms=terms, seed=seed) - volume
        return torch.from_numpy(bound).to(model.device, model.dtype)

    def check_ode(self, purpose: str) -> None:
        """Refuse a purpose that needs the probability-flow ODE, with a model that has none.

        Raises:
            UsageError: a consistency model, or one that was built without its likelihood.
        """
        if purpose == "score" and not self._model.likelihood:
            raise UsageError(
                "this model was built with likelihood = False and cannot score data",
                hint="Build it with likelihood = True, if its network takes forward-mode derivatives.",
            )
        if self._model.consistency:
            raise UsageError(
                f"a consistency model cannot {purpose} data: it has no probability-flow ODE",
                hint=f"Let its teacher {purpose} the data.",
            )

    def condition(self, condition: TensorCondition, n: int) -> Any:
        """The condition to score under: the given one, or the null class, or the nulls of the parts."""
        model = self._model
        if model.condition is not None and model.takes_parts:
            if condition is None and model.condition.required:
                raise ConditionError(f"scoring needs {model.condition.told} that the data is conditioned on")
            with torch.set_grad_enabled(needs_gradient(condition)):
                return model.received_condition({} if condition is None else condition, n)
        if model.condition is not None and condition is None:
            if model.null_class is None:
                raise ConditionError(f"scoring needs the {model.condition.kind} that the data is conditioned on")
            return torch.full((n,), model.null_class, dtype=torch.int32, device=model.device)
        return model.condition_tensor(condition, n)

    def _differentiable(
        self, x: Tensor, condition: TensorCondition, steps: int, probes: int | None, seed: int
    ) -> Tensor:
        model = self._model
        self.check_ode("score")
        received = self.condition(condition, len(model.check_data(x)))
        divergence = DivergenceModule(model)

        def evaluate(state: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
            levels = (torch.tensor(v, device=model.device, dtype=model.dtype) for v in others[:3])
            probe = tensor_of(others[3]).to(model.device, model.dtype)
            with differentiable():
                d, trace = divergence(state.to(model.dtype), *levels, probe, *([] if received is None else [received]))
            return d.double(), trace.double()

        states, volume = self._state_tensors(x)
        probes = default_probes(math.prod(model.state_shape)) if probes is None else probes
        density = differentiable_log_density(evaluate, states, model.path, seed=seed, steps=steps, probes=probes)
        result: Tensor = (density - volume).to(model.dtype)
        return result

    def _states(self, x: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The states of data, and by how much ``[n]`` their log-density is larger: ∞ for data that are not finite."""
        with torch.no_grad():
            states, volume = (value.cpu().numpy() for value in self._state_tensors(x))
        return states, volume

    def _state_tensors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`_states`, float64, with the gradient of ``x``."""
        model = self._model
        if model.codec is not None and not model.codec.reversible:
            raise UsageError("this model's latents are not the data, so it has no likelihood of the data")
        x, beyond = finite_part(x)
        latents, log_det = (value.double() for value in model.encoded(x))
        log_det = log_det + beyond.double()
        states = (latents - model.shift) / model.scale
        return states, math.prod(model.state_shape) * math.log(model.scale) - log_det

    def _ode(self, x: Tensor, condition: TensorCondition) -> tuple[Evaluator, NDArray[np.float64], NDArray[np.float64]]:
        """What the likelihood evaluates, the states of the data, and by how much their log-density is larger."""
        model = self._model
        self.check_ode("score")
        conditions = self.condition(condition, len(model.check_data(x)))
        divergence = DivergenceModule(model)

        def evaluate(state: Any, time: float, alpha: float, sigma: float, probe: Any) -> tuple[Any, Any]:
            tensors = [torch.from_numpy(np.ascontiguousarray(state)).to(model.device, model.dtype)]
            tensors += [torch.tensor(v, device=model.device, dtype=model.dtype) for v in (time, alpha, sigma)]
            tensors.append(tensor_of(probe).to(model.device, model.dtype))
            with torch.no_grad():
                d, trace = divergence(*tensors, *([] if conditions is None else [conditions]))
            return d.cpu().numpy(), trace.cpu().numpy()

        return evaluate, *self._states(x)
