"""The one interface of all models: :class:`GenerativeModel`. This module needs torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo import noise, noise_torch, weights
from zoo.conditions import Condition
from zoo.errors import ConditionError, DataError, UsageError
from zoo.models.contexts import StandardizedContext, TensorCondition, checked_condition, needs_gradient
from zoo.overriding import override
from zoo.programs import Direct, Graph, Programs
from zoo.programs.ports import Port

__all__ = ["Condition", "DirectModel", "GenerativeModel"]


class GenerativeModel(nn.Module, ABC):
    """A distribution over events of one shape that can be sampled and scored.

    Whoever implements this class gets the command line, training, checking, exporting and running for free.
    The constructor's keyword arguments are the model's config: JSON values, stored in the card and passed back when the
    model is built again.

    Attributes:
        family: ``"flow"``, ``"diffusion"``, or what a plugin adds.
        event_shape: shape of one sample, without the batch.
        condition: what samples are conditioned on, or None.
        learns_noise: whether :meth:`elbo` is made with noise of the model's own.
        exact_density: whether :meth:`log_prob` is the density of what :meth:`sample` draws; False for a bound of it.
            An export proves the one or the other.
    """

    family: ClassVar[str]
    event_shape: tuple[int, ...]
    condition: Condition | None = None
    learns_noise: bool = False
    exact_density: bool = True

    @abstractmethod
    def sample(self, n: int, *, condition: TensorCondition = None, seed: int | None = None, **options: Any) -> Tensor:
        """Draw ``n`` samples.

        Args:
            n: how many, from 1 up.
            condition: one class (number or label) or vector for all, or ``n`` of them; None gives every class in turn.
            seed: key of the specified noise (:mod:`zoo.noise`); None draws one from the system.
            options: the family's own, such as a diffusion's sampler and steps.

        Returns:
            float tensor ``[n, *event_shape]`` in data units.
        """

    @abstractmethod
    def log_prob(self, x: Tensor, *, condition: TensorCondition = None, **options: Any) -> Tensor:
        """Log-density of ``x`` in nats, in the units of the data that is passed in.

        Args:
            x: float tensor ``[n, *event_shape]``.
            condition: as for :meth:`sample`.
            options: the family's own.

        Returns:
            float tensor ``[n]``: -∞ for data with an infinity, and NaN for data with a NaN.
        """

    @abstractmethod
    def programs(self) -> Programs:
        """The graphs and programs that an exporter writes. Must not change the model."""

    def loss(self, x: Tensor, *, condition: Tensor | None = None) -> Tensor:
        """The training objective, a scalar: the negative log-likelihood unless a family has a better one."""
        return -self.log_prob(x, condition=condition).mean()

    def elbo(self, x: Tensor, *, condition: TensorCondition = None) -> Tensor:
        """An estimate of the evidence lower bound: what the log-probability of data is at least.

        Of whole numbers with uniform noise it is the density of the numbers with their noise (Theis et al. 2016,
        eq. 6). Models that learn noise for whole numbers override this, and so do diffusions, by the variational bound
        of their chain.

        Args:
            x: data ``[n, *event_shape]``; whole numbers with uniform noise in [0, 1) added.
            condition: as for :meth:`sample`.

        Returns:
            float tensor ``[n]``, in nats.
        """
        return self.log_prob(x, condition=condition)

    def prepare(self, x: Tensor, condition: Tensor | None = None) -> None:
        """Fit constants, such as means and scales, to training data before the first step: here, those of contexts.

        Training calls this once, when a run starts, never when it resumes, nor for a model whose weights were loaded.
        What is fitted belongs in buffers, which are saved with the weights.

        Args:
            x: training data ``[n, *event_shape]``, a sample of it when there is a lot, dequantised.
            condition: theirs, classes ``[n]`` or vectors ``[n, d]``, or None.

        Raises:
            DataError: data, or contexts, that the model cannot be fitted to.
        """
        if self.standardized_context is not None and condition is not None:
            self.standardized_context.prepare(condition)

    def condition_on(self, condition: Condition | None) -> None:
        """Set :attr:`condition`, with a part ``contexts`` that standardises vectors; for constructors."""
        self.condition = condition
        if condition is not None and condition.kind == "vector":
            self.contexts = StandardizedContext(condition.size)

    @property
    def standardized_context(self) -> StandardizedContext | None:
        """What standardises context vectors, or None in a model that has no such part."""
        part = self._modules.get("contexts")
        return part if isinstance(part, StandardizedContext) else None

    def context(self, condition: Tensor | None) -> Tensor | None:
        """What networks see of a condition: vectors ``[..., d]`` standardised, classes as they are."""
        standardize = self.standardized_context
        if standardize is None or condition is None:
            return condition
        return standardize(condition).to(self.dtype)  # type: ignore[no-any-return]

    def density_error(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """How far :meth:`log_prob` may be from the density of samples by the model's own account, in nats ``[n]``.

        0 unless overridden: by models that integrate an equation in steps, say. An export tolerates as much.

        Args:
            x: samples ``[n, *event_shape]``.
            condition: as graphs take it, or None.
        """
        return torch.zeros_like(x.flatten(1)[:, 0])

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The parameters' floating-point type."""
        return next(self.parameters()).dtype

    def check_data(self, x: Tensor) -> Tensor:
        """Return ``x`` if it is a batch of events.

        Raises:
            DataError: wrong shape.
        """
        if x.ndim != 1 + len(self.event_shape) or tuple(x.shape[1:]) != self.event_shape:
            raise DataError(
                f"data of shape {tuple(x.shape)} given, [n, {', '.join(map(str, self.event_shape))}] expected"
            )
        return x

    def condition_array(self, condition: TensorCondition, n: int) -> NDArray[Any] | None:
        """The condition of ``n`` samples as the array that graphs take: int32 ``[n]`` or float32 ``[n, d]``.

        Raises:
            ConditionError: a condition that the model cannot take.
        """
        if self.condition is None:
            if condition is not None:
                raise ConditionError("this model takes no condition")
            return None
        if isinstance(condition, Tensor):
            condition = condition.detach().cpu().numpy()
        return self.condition.array(condition, n)

    def condition_tensor(self, condition: TensorCondition, n: int) -> Tensor | None:
        """The condition of ``n`` samples as a tensor on the model's device, or None for an unconditional model.

        What is a tensor already stays one, with its gradient. In training mode the values of a tensor on an
        accelerator are not looked at, since every step would wait for that: training looks at all of its data first.

        Raises:
            ConditionError: a condition that the model cannot take.
        """
        if isinstance(condition, Tensor) and self.condition is not None:
            look = condition.device.type == "cpu" or not self.training
            return self._placed(checked_condition(condition, self.condition, n, look=look))
        array = self.condition_array(condition, n)
        return None if array is None else self.as_condition(array)

    def as_condition(self, array: NDArray[Any]) -> Tensor:
        """A condition array as a tensor on the model's device; vectors in its dtype, or float32 if that is wider."""
        return self._placed(torch.from_numpy(np.ascontiguousarray(array)))

    def _placed(self, condition: Tensor) -> Tensor:
        if not condition.is_floating_point():
            return condition.to(self.device)
        # contexts as they come need not fit into float16: they are standardised first
        wide = self.standardized_context is not None
        return condition.to(self.device, torch.promote_types(self.dtype, torch.float32) if wide else self.dtype)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As every module's; a model that got all of its state counts as loaded (:func:`zoo.weights.is_loaded`)."""
        result = super().load_state_dict(state_dict, strict, assign)
        if not result.missing_keys:
            weights.mark_loaded(self)
        return result

    def noise(self, seed: int, n: int, shape: tuple[int, ...]) -> Tensor:
        """Specified standard normals (:func:`zoo.noise.normal`) in the model's dtype, on its device."""
        if self.device.type == "cpu":
            return torch.from_numpy(noise.normal(seed, n, shape)).to(self.dtype)
        return noise_torch.normal(seed, n, shape, device=self.device).to(self.dtype)


def check_count(n: int) -> int:
    """Return ``n`` if it is a number of samples that can be drawn, else raise UsageError."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise UsageError(f"the number of samples is a whole number from 1 up, not {n!r}")
    return n


def check_seed(seed: int | None) -> int:
    """Return ``seed``, or a fresh 63-bit one from the system when it is None."""
    if seed is None:
        return int(torch.randint(2**63 - 1, (), generator=_system_generator()).item())
    return noise.check_seed(seed)


def _system_generator() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


class DirectModel(GenerativeModel):
    """A model that samples and scores in one call each: implement :meth:`inverse` and :meth:`log_density`.

    Flows are such models: ``inverse`` maps base noise to data. Everything else follows.
    """

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one base sample."""
        return self.event_shape

    @abstractmethod
    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Base noise ``[n, *noise_shape]`` to data ``[n, *event_shape]``."""

    @abstractmethod
    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Data ``[n, *event_shape]``, finite, to log-density ``[n]`` in nats."""

    @override
    def sample(self, n: int, *, condition: TensorCondition = None, seed: int | None = None, **options: Any) -> Tensor:
        """With a gradient if the condition is a tensor that wants one."""
        _no_options(options)
        with torch.set_grad_enabled(needs_gradient(condition)):
            z = self.noise(check_seed(seed), check_count(n), self.noise_shape)
            return self.inverse(z, self.condition_tensor(condition, n))

    @override
    def log_prob(self, x: Tensor, *, condition: TensorCondition = None, **options: Any) -> Tensor:
        _no_options(options)
        self.check_data(x)
        if self.condition is not None and condition is None:
            raise ConditionError(f"scoring needs the {self.condition.kind} that the data is conditioned on")
        given = self.condition_tensor(condition, len(x))
        density: Tensor = _Density(self)(x, *([] if given is None else [given]))
        return density

    def programs(self) -> Programs:
        """Graphs ``inverse`` and ``log_prob``, one call each."""
        event = Port("x", "float32", ("batch", *self.event_shape), "data")
        base = Port("z", "float32", ("batch", *self.noise_shape), "standard normal noise")
        condition = condition_ports(self.condition)
        density = Port("log_prob", "float32", ("batch",), "log-density of x in nats")
        return Programs(
            graphs=(
                Graph("inverse", _Inverse(self), (base, *condition), (event,)),
                Graph("log_prob", _Density(self), (event, *condition), (density,), extremes=(self.not_finite,)),
            ),
            sample=Direct("inverse", noise="z"),
            log_prob=Direct("log_prob"),
        )

    def not_finite(self, n: int) -> Mapping[str, Any]:
        """``n`` data for the proof of an export, each with one number that is not finite: ∞, -∞ and NaN in turn."""
        data = np.zeros((n, *self.event_shape), np.float32)
        data.reshape(n, -1)[:, -1] = np.resize([np.inf, -np.inf, np.nan], n)
        if self.condition is None:
            return {"x": data}
        vectors = np.zeros((n, self.condition.size)) if self.condition.kind == "vector" else None
        return {"x": data, "condition": self.condition.array(vectors, n)}


def condition_ports(condition: Condition | None) -> tuple[Port, ...]:
    """The graph input that carries ``condition``: none, or one."""
    if condition is None:
        return ()
    if condition.kind == "classes":
        return (Port("condition", "int32", ("batch",), f"class, 0 to {condition.size - 1}"),)
    return (Port("condition", "float32", ("batch", condition.size), "condition vector"),)


def _no_options(options: dict[str, Any]) -> None:
    if options:
        raise UsageError(f"this model has no option {', '.join(sorted(options))}")


def finite_part(x: Tensor) -> tuple[Tensor, Tensor]:
    """Data that can be scored, and what their log-density is to change by for what was not finite in them.

    Computing with infinities ends in ∞ - ∞ sooner or later, in whatever way a model scores.

    Args:
        x: ``[n, *event]``.

    Returns:
        x with zeros in place of what is not finite; and ``[n]``: 0, or -∞ for an infinity, or NaN for a NaN.
    """
    finite = x.isfinite()
    return torch.where(finite, x, 0.0), torch.where(finite, 0.0, -x.abs()).flatten(1).sum(1)


class _Inverse(nn.Module):
    """A model's way from noise to data as a module of its own, which is what an exporter traces."""

    def __init__(self, model: DirectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, *condition: Tensor) -> Tensor:
        return self.model.inverse(z, *condition)


class _Density(nn.Module):
    """A model's log-density of any data, likewise."""

    def __init__(self, model: DirectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        x, beyond = finite_part(x)
        return self.model.log_density(x, *condition) + beyond
