"""sbi's posteriors and estimators as models of genzoo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sbi.inference.posteriors import DirectPosterior, VectorFieldPosterior
from sbi.neural_nets.estimators import NFlowsFlow, ZukoFlow
from sbi.neural_nets.estimators.base import ConditionalVectorFieldEstimator
from sbi.neural_nets.net_builders import vector_field_nets
from sbi.neural_nets.ratio_estimators import RatioEstimator
from sbi.utils.sbiutils import Standardize
from torch import Tensor, nn

from zoo import Condition, ConfigError, ExportError, Part, Wrapped
from zoo.arrays import Array
from zoo.models.contexts import ReceivedCondition
from zoo.models.derivatives import jvp
from zoo.models.loops import loop
from zoo.models.mending import plain, replaced
from zoo.models.wrapped import EMBEDDING
from zoo.overriding import override
from zoo_nflows.wrapped import NflowsFlow
from zoo_sbi.bounds import bounds_of
from zoo_sbi.posterior import SbiPosterior
from zoo_zuko.wrapped import ZukoFlow as ZukoModel

#: steps of an ODE: the first number by which twice as many change samples by less than the tolerance, or the last
STEPS, STEP_TOLERANCE = (8, 12, 16, 24, 32, 48, 64, 96, 128), 1e-4
_PROBES = 64
#: equal steps by whose errors the others are spaced, and the least density of these, relative to the mean: what 64
#: draws do not see
_PILOTS, _LEAST_DENSITY = 32, 0.1
#: Runge and Kutta's classical method of order 4: where each evaluation is, how far the next point goes along it, and
#: its weight, as shares of a step
_NODES, _REACHES, _WEIGHTS = np.array([0, 0.5, 0.5, 1]), np.array([0.5, 0.5, 1, 0]), np.array([1, 2, 2, 1]) / 6
#: velocities of parameters ``[n, d]`` and contexts ``[n, c]``
_Velocity = Callable[[Tensor, Tensor], Tensor]


def wrapped(model: Any, event_shape: Sequence[int] | None, context: int | Condition | None) -> Wrapped:
    """The adapter's entry.

    Raises:
        ExportError: a posterior that is sampled by MCMC or by other models, or an estimator of another kind.
        ConfigError: another event shape or context than the estimator has.
    """
    estimator = _estimator_of(model)
    if event_shape is not None and tuple(event_shape) != tuple(estimator.input_shape):
        raise ConfigError(
            f"{type(model).__name__} of sbi has events of shape {tuple(estimator.input_shape)}, not "
            f"{tuple(event_shape)}"
        )
    condition = _condition(estimator.condition_shape)
    if context is not None and (Condition.vector(context) if isinstance(context, int) else context) != condition:
        raise ConfigError(f"{type(model).__name__} of sbi takes {condition.describe()}: leave out context")
    inner = _of_estimator(estimator, condition)
    if estimator is model:
        return inner
    low, high = bounds_of(model.prior, inner.size)
    inner.of = type(model)
    return SbiPosterior(inner, low, high) if bool(low.isfinite().any() | high.isfinite().any()) else inner


def _estimator_of(model: Any) -> Any:
    """What a posterior samples by, or an estimator itself."""
    if isinstance(model, DirectPosterior):
        return model.posterior_estimator
    if isinstance(model, VectorFieldPosterior):
        return model.vector_field_estimator
    if not isinstance(model, nn.Module):
        raise ExportError(
            f"{type(model).__name__} of sbi draws by a search over its potential, such as MCMC, or by several "
            "posteriors, which is not exported",
            hint="Wrap the estimator that inference.train() returned: an NLE's likelihood is sampled and scored, an "
            "NRE's log-ratio is scored.",
        )
    return model


def _of_estimator(estimator: Any, condition: Condition) -> _OfSbi:
    if isinstance(estimator, NFlowsFlow):
        return SbiNflows(estimator, condition)
    if isinstance(estimator, ZukoFlow):
        return SbiZuko(estimator, condition)
    if isinstance(estimator, ConditionalVectorFieldEstimator):
        return SbiField(estimator, condition)
    if isinstance(estimator, RatioEstimator):
        return SbiRatio(estimator, condition)
    raise ExportError(
        f"{type(estimator).__name__} of sbi is none of NFlowsFlow, ZukoFlow, RatioEstimator and a vector field, which "
        "are what can be wrapped",
        hint="Train an NPE, NLE, NRE, FMPE or NPSE by another density estimator, or wrap its network by a subclass of "
        "zoo.Wrapped.",
    )


def _condition(shape: Sequence[int]) -> Condition:
    sizes = tuple(int(size) for size in shape)
    if len(sizes) == 1:
        return Condition.vector(sizes[0])
    if len(sizes) == 3:
        return Condition((Part("x_o", "image", sizes),))
    raise ExportError(
        f"observations of shape {sizes} are neither vectors nor images",
        hint="Flatten them, and unflatten them in the embedding network.",
    )


class _OfSbi(Wrapped):
    """What all estimators share: where they come from, and how large their contexts are."""

    #: the class that was wrapped
    of: type

    @property
    @override
    def origin(self) -> Mapping[str, str]:
        return {
            "library": "sbi",
            "version": metadata.version("sbi"),
            "class": f"{self.of.__module__}.{self.of.__qualname__}",
        }

    @override
    def typical_context(self, part: Part, standard: Array) -> NDArray[np.float32]:
        # the z-scoring of observations, if the estimator has it
        return np.asarray(_raw(torch.from_numpy(standard), self._observed()).numpy(), np.float32)

    def _observed(self) -> nn.Module:
        """What observations pass first."""
        return self


class SbiNflows(NflowsFlow, _OfSbi):
    """An estimator around a flow of nflows, which has the embedding network itself."""

    def __init__(self, estimator: NFlowsFlow, condition: Condition) -> None:
        super().__init__(estimator.net, tuple(estimator.input_shape), condition)
        self.of = type(estimator)


class SbiZuko(ZukoModel, _OfSbi):
    """An estimator around a flow of zuko, with an embedding network beside it."""

    def __init__(self, estimator: ZukoFlow, condition: Condition) -> None:
        self._network: tuple[nn.Module, int] | None = None
        super().__init__(estimator.net, tuple(estimator.input_shape), condition)
        self.of = type(estimator)
        self.embedding_net = estimator.embedding_net
        self._width = _width(estimator.embedding_net, estimator.condition_shape, self._like)

    @override
    def embedding(self) -> tuple[nn.Module, int] | None:
        return (self.embedding_net, self._width) if hasattr(self, "_width") else None


class SbiRatio(_OfSbi):
    """A classifier of NRE: log r(θ, x), which is log p(θ|x) - log p(θ) up to a constant for each x. It only scores."""

    density = "ratio"
    samples = False

    def __init__(self, estimator: RatioEstimator, condition: Condition) -> None:
        super().__init__(estimator, tuple(estimator.input_shape), condition)
        self.of = type(estimator)
        self._width = _width(estimator.embedding_net_x, estimator.condition_shape, self._like)

    @override
    def embedding(self) -> tuple[nn.Module, int] | None:
        return self.flow.embedding_net_x, self._width

    @override
    def _observed(self) -> nn.Module:
        network: nn.Module = self.flow.embedding_net_x
        return network

    @override
    def examples(self, n: int) -> Tensor:
        return _raw(super().examples(n), self.flow.embedding_net_theta)

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        context = self.context_of_flow(condition)
        assert context is not None
        ratio: Tensor = self.flow.net(torch.cat([self.flow.embedding_net_theta(x), context], -1)).squeeze(-1)
        return ratio


class SbiField(_OfSbi):
    """A vector field, of flow matching or of scores: samples and densities by its ODE, in a fixed number of steps.

    Attributes:
        steps: of Runge and Kutta's classical method, each of four evaluations.
        step_error: by how much samples change with twice as many, relative to their deviation.
    """

    def __init__(self, estimator: ConditionalVectorFieldEstimator, condition: Condition) -> None:
        super().__init__(estimator, tuple(estimator.input_shape), condition)
        self.of = type(estimator)
        self._composed = bool(estimator.compose_enabled)
        self._width = _width(estimator.embedding_net, estimator.condition_shape, self._like)
        #: times from t_min to t_max, and the share of all steps up to each
        self._known = np.linspace(float(estimator.t_min), float(estimator.t_max), _PILOTS + 1)
        self._shares = np.linspace(0, 1, _PILOTS + 1)
        self.steps, self.step_error = self._measured()

    @torch.no_grad()
    def _measured(self) -> tuple[int, float]:
        """The number of steps, and the error that is left, after spacing them by the errors of equal ones."""
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(_PROBES, *self.event_shape, generator=generator).to(self._like)
        shape = [int(size) for size in self.flow.condition_shape]
        standard = torch.randn(_PROBES, *shape, generator=generator)
        assert self.condition is not None
        raw = torch.from_numpy(self.typical_context(self.condition.parts[0], standard.numpy())).to(self._like)
        was_training = self.flow.training
        self.flow.eval()
        context: dict[str, Tensor] = {EMBEDDING: self.flow.embedding_net(raw)}
        self._shares = self._spaced(z, context)
        drawn: dict[int, Tensor] = {}
        tried = []
        for steps in STEPS:
            for each in {steps, 2 * steps} - drawn.keys():
                drawn[each] = self.inverse(z, context, steps=each)
            fine = drawn[2 * steps]
            tried.append((float(((drawn[steps] - fine).abs() / fine.std(0)).max()), steps))
            if tried[-1][0] < STEP_TOLERANCE:
                break
        self.flow.train(was_training)
        error, steps = min(tried)
        return steps, error

    def _spaced(self, z: Tensor, context: Mapping[str, Tensor]) -> Array:
        """The share of all steps up to each time, so that each step makes an equal error: that of a step of length h is
        as h⁵, and is what two steps of half the length change."""
        x, errors = self._base(z), []
        for later, earlier in zip(self._known[:0:-1], self._known[-2::-1], strict=True):
            once, x = (self._run(x, context, np.linspace(later, earlier, count + 1)) for count in (1, 2))
            errors.append(float(((once - x).abs() / x.std(0)).max()))
        density = np.nan_to_num(np.array(errors[::-1])) ** 0.2
        density = np.maximum(density, _LEAST_DENSITY * density.mean()) + np.finfo(np.float64).tiny
        return np.concatenate([[0.0], np.cumsum(density / density.sum())])

    def _times(self, steps: int) -> Array:
        """Where steps begin and end, from t_min to t_max."""
        return np.interp(np.linspace(0, 1, steps + 1), self._shares, self._known)

    @property
    @override
    def origin(self) -> Mapping[str, str]:
        return {
            **super().origin,
            "how": f"{self.steps} steps of Runge-Kutta's fourth order, spaced by their errors, within "
            f"{self.step_error:.0e} of twice as many",
        }

    @override
    def embedding(self) -> tuple[nn.Module, int] | None:
        return self.flow.embedding_net, self._width

    @contextmanager
    def _embedded(self) -> Iterator[None]:
        """A block in which the estimator takes contexts that its embedding network has seen."""
        estimator = self.flow
        network, shape = estimator._embedding_net, estimator._condition_shape
        estimator._embedding_net, estimator._condition_shape = nn.Identity(), torch.Size([self._width])
        try:
            # sbi's is of float32 whatever the model's type is
            with replaced((vector_field_nets.SinusoidalTimeEmbedding, "forward", _sinusoids)):
                yield
        finally:
            estimator._embedding_net, estimator._condition_shape = network, shape

    @override
    def inverse(self, z: Tensor, condition: ReceivedCondition = None, *, steps: int | None = None) -> Tensor:
        x = self._run(self._base(z), condition, self._times(steps or self.steps)[::-1])
        return self.flow.from_z(x) if self._composed else x

    def _base(self, z: Tensor) -> Tensor:
        """Samples at t_max."""
        start: Tensor = self.flow.mean_base.to(z) + self.flow.std_base.to(z) * z
        return start

    def _run(self, x: Tensor, condition: ReceivedCondition, times: Array) -> Tensor:
        """Samples at the last of these times of those at the first."""
        context = self.context_of_flow(condition)
        with self._embedded():
            return _integrated(lambda t, state: self.flow.ode_fn(state, context, t), times, x)

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        estimator, context = self.flow, self.context_of_flow(condition)
        at = estimator.to_z(x) if self._composed else x
        assert context is not None

        def field(t: Tensor, state: Tensor) -> Tensor:
            theta = state[..., : self.size]
            change, trace = self._divergence(lambda value, c: estimator.ode_fn(value, c, t), theta, context)
            return torch.cat([change, trace.unsqueeze(-1)], -1)

        with self._embedded():
            end = _integrated(field, self._times(self.steps), torch.cat([at, torch.zeros_like(at[..., :1])], -1))
        z = (end[..., : self.size] - estimator.mean_base.to(x)) / estimator.std_base.to(x)
        scale = torch.log(estimator.std_base.to(x)).expand_as(z).sum(-1)
        base = -0.5 * z.square().sum(-1) - 0.5 * self.size * math.log(2 * math.pi) - scale
        density: Tensor = base + end[..., self.size]
        return density - estimator.log_abs_det() if self._composed else density

    @staticmethod
    def _divergence(velocity: _Velocity, theta: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Velocities ``[n, d]`` and the traces of their Jacobians ``[n]``: all rows of these in one batch."""
        axes, each, contexts = _along_axes(theta, context)
        with torch.enable_grad():
            points = each.flatten(0, 1).detach().requires_grad_()
            change = velocity(points, contexts).reshape(each.shape)
            (rows,) = torch.autograd.grad((change * axes).sum(), points)
        return change[0].detach(), (rows.reshape(each.shape) * axes).sum((0, 2))

    @override
    def mended(self) -> AbstractContextManager[object]:
        network = vector_field_nets.VectorFieldMLP
        return replaced(
            (SbiField, "_divergence", staticmethod(_traced_divergence)),
            (network, "forward", plain(network.forward)),
        )


def _sinusoids(self: Any, t: Tensor) -> Tensor:
    """``SinusoidalTimeEmbedding.forward`` of times ``[n]`` or ``[n, 1]``, in their type, and nothing in place."""
    angles = (t if t.ndim > 1 else t.unsqueeze(-1)) * self.div_term
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


def _along_axes(theta: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors ``[d, 1, d]``, and as many copies of parameters ``[d, n, d]`` and contexts ``[d·n, c]``."""
    size = theta.shape[-1]
    axes = torch.eye(size, dtype=theta.dtype, device=theta.device).unsqueeze(1)
    contexts = context.unsqueeze(0).expand(size, *context.shape)
    return axes, theta.unsqueeze(0).expand(size, *theta.shape), contexts.flatten(0, 1)


def _traced_divergence(velocity: _Velocity, theta: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """The same by directional derivatives, which can be traced, along all axes: so in one network."""
    axes, each, contexts = _along_axes(theta, context)
    along_all = axes.expand_as(each)
    change, along = jvp(lambda value: velocity(value, contexts), each.flatten(0, 1), along_all.flatten(0, 1))
    return change.reshape(each.shape)[0], (along.reshape(each.shape) * along_all).sum((0, 2))


def _integrated(field: Callable[[Tensor, Tensor], Tensor], times: Array, x: Tensor) -> Tensor:
    """The state at the last of some times, of the state ``x`` at the first.

    A turn of the loop is one evaluation of the field, not a step of four, so that a trace has the network once.
    """
    lengths = np.diff(times)[:, None]
    at = x.new_tensor((times[:-1, None] + _NODES * lengths).reshape(-1).tolist())
    reach, weight = (x.new_tensor((each * lengths).reshape(-1).tolist()) for each in (_REACHES, _WEIGHTS))

    def turn(i: Tensor, start: Tensor, end: Tensor, point: Tensor) -> tuple[Tensor, ...]:
        change = field(at.index_select(0, i), point)
        end = end + weight.index_select(0, i) * change
        ends = i % len(_NODES) == len(_NODES) - 1
        start = torch.where(ends, end, start)
        # the last evaluation of a step reaches no further
        return i + 1, start, end, start + reach.index_select(0, i) * change

    first = torch.zeros(1, dtype=torch.int64, device=x.device)
    return loop(at.shape[0], (first, x, x, x), turn)[1]


def _raw(standard: Tensor, network: nn.Module) -> Tensor:
    """Typical inputs of a network, of standard normals: those that its z-scoring makes standard, if it has one."""
    for module in network.modules():
        if isinstance(module, Standardize):
            raw: Tensor = (standard.double() * module._std.double() + module._mean.double()).to(standard)
            return raw
    return standard


def _width(network: nn.Module, shape: Sequence[int], like: Tensor) -> int:
    """The length of what an embedding network gives."""
    was_training = network.training
    with torch.no_grad():
        embedded = network.eval()(like.new_zeros(1, *(int(size) for size in shape)))
    network.train(was_training)
    if embedded.ndim != 2:
        raise ExportError(
            f"the embedding network {type(network).__name__} gives a tensor of shape {list(embedded.shape)} for one "
            "observation, where a vector is taken",
            hint="Flatten what it gives.",
        )
    return int(embedded.shape[1])
