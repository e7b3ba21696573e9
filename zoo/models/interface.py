"""The one interface of all models: :class:`GenerativeModel`. This module needs torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from zoo import noise, noise_torch, weights
from zoo.conditions import Condition
from zoo.density import Density, cannot_sample, cannot_score, is_likelihood
from zoo.errors import ConditionError, DataError, UsageError
from zoo.lengths import Length
from zoo.models.conditioned import Conditioned
from zoo.models.contexts import TensorCondition, needs_gradient
from zoo.noise import Noise
from zoo.overriding import override
from zoo.programs import MARGIN, Direct, Graph, NoiseInput, Programs
from zoo.programs.conditioning import part_ports
from zoo.programs.one_call import OneCallDensity, check_temperature
from zoo.programs.ports import Port

__all__ = ["Condition", "DirectModel", "GenerativeModel", "Noise", "Objective", "largest"]


@dataclass(frozen=True, eq=False)
class Objective:
    """One of the losses that a training step minimises, each over different parameters.

    Attributes:
        name: in a word, for messages.
        loss: ``(x, *, condition) -> Tensor``, a scalar with a gradient, like :meth:`GenerativeModel.loss`.
        parameters: those that it changes; the gradient with respect to others is not computed.
    """

    name: str
    loss: Callable[..., Tensor]
    parameters: tuple[nn.Parameter, ...]


class GenerativeModel(Conditioned, ABC):
    """A distribution over events of one shape that can be sampled and scored.

    Implementing this class provides the command line, training, checking, exporting and running for free.
    The constructor's keyword arguments are the model's config: JSON values, stored in the card and passed again when
    the model is rebuilt.

    Attributes:
        family: ``"flow"``, ``"diffusion"``, or what a plugin adds.
        event_shape: shape of one sample, without the batch.
        condition: what samples are conditioned on, or None.
        learns_noise: whether :meth:`elbo` uses learned dequantisation noise.
        density: what :meth:`log_prob` is: ``"exact"``, the log-density of what :meth:`sample` draws; ``"bound"``, a
            lower bound of it; ``"estimate"``, an estimate with errors, as of an ODE; ``"ratio"``, a log-ratio to
            another density, up to a constant for each condition; ``"none"`` for a model that only samples and does not
            implement it. An export proves the first three claims; cards and ``zoo show`` state it.
        samples: whether it samples; a model that only scores says False, and does not implement :meth:`sample`.
        resolution: how near to its exact result a sampler comes that searches for it, as by bisection to 1e-6; 0 for
            one that computes it. The proof of its density takes differences of samples over wider steps then.
        length: how events of variable length say where they end (:mod:`zoo.lengths`); None for a fixed length.
        drops_conditions: whether its training also learns samples without a condition, as guidance needs, so that
            classes of data may be left out.
        maps_columns: whether columns of numbers are mapped to about normal ones too, not columns of categories alone.
    """

    family: ClassVar[str]
    drops_conditions: ClassVar[bool] = False
    maps_columns: ClassVar[bool] = False
    event_shape: tuple[int, ...]
    learns_noise: bool = False
    density: Density = "exact"
    samples: bool = True
    resolution: float = 0.0
    length: Length | None = None

    def sample(self, n: int, *, condition: TensorCondition = None, seed: int | None = None, **options: Any) -> Tensor:
        """Draw ``n`` samples, with a model that samples.

        Args:
            n: number of samples, 1 or more.
            condition: one class (number or label) or vector for all, or ``n`` of them; None gives every class in turn.
            seed: key of the specified noise (:mod:`zoo.noise`); None draws one from the system.
            options: options of the family, such as a diffusion's sampler and steps.

        Returns:
            float tensor ``[n, *event_shape]`` in data units.

        Raises:
            UsageError: a model that only scores.
        """
        raise cannot_sample(type(self).__name__)

    def examples(self, n: int) -> Tensor:
        """``n`` data ``[n, *event_shape]`` with which an export proves a model that only scores: standard normals,
        unless overridden by typical data."""
        return self.noise(0, n, self.event_shape)

    def log_prob(self, x: Tensor, *, condition: TensorCondition = None, **options: Any) -> Tensor:
        """Log-density of ``x`` in nats, in the units of the data, for models that have one.

        Args:
            x: float tensor ``[n, *event_shape]``.
            condition: as for :meth:`sample`.
            options: options of the family.

        Returns:
            float tensor ``[n]``: -∞ for data with an infinity, and NaN for data with a NaN.

        Raises:
            UsageError: a model that only samples.
        """
        raise cannot_score(type(self).__name__)

    @property
    def origin(self) -> Mapping[str, str] | None:
        """Of another library's model: ``library``, ``version`` and ``class``, which a bundle remembers; else None."""
        return None

    @abstractmethod
    def programs(self) -> Programs:
        """The graphs and programs to export. Must not change the model."""

    def loss(self, x: Tensor, *, condition: Tensor | None = None) -> Tensor:
        """The training objective, a scalar: the negative log-likelihood unless a family has a better one.

        Raises:
            UsageError: a model that has no likelihood, and does not override this method.
        """
        if not is_likelihood(self.density):
            raise UsageError(
                f"{type(self).__name__} has no density, so it cannot be trained by its negative log-likelihood",
                hint="Give the model a method loss(x, *, condition=None).",
            )
        return -self.log_prob(x, condition=condition).mean()

    def objectives(self) -> Sequence[Objective]:
        """What a training step minimises, one after another: :meth:`loss` over all parameters, unless overridden.

        A model with adversaries, say, gives two with disjoint parameters. Each is followed by a step of the recipe's
        optimizer on its parameters, with the same batch; gradients are clipped, and checked to be finite, one objective
        at a time. A run reports the first, and measures :meth:`loss` on the validation and test splits.
        """
        return (Objective("loss", self.loss, tuple(self.parameters())),)

    def blocks(self) -> Sequence[nn.Module]:
        """Submodules of which only the parameters of one at a time need to be whole, where a model is trained in parts
        (``training.shard``): those that are only ever called, ``block(...)``. None unless overridden."""
        return ()

    def elbo(self, x: Tensor, *, condition: TensorCondition = None) -> Tensor:
        """An estimate of the evidence lower bound of the log-probability of data.

        For whole numbers with uniform noise it is the log-density of the noisy numbers (Theis et al. 2016, eq.
        6). Models that learn the noise override this, and so do diffusions, with the variational bound of their
        chain.

        Args:
            x: data ``[n, *event_shape]``; whole numbers with uniform noise in [0, 1) added.
            condition: as for :meth:`sample`.

        Returns:
            float tensor ``[n]``, in nats.
        """
        return self.log_prob(x, condition=condition)

    def prepare(self, x: Tensor, condition: Tensor | None = None) -> None:
        """Fit constants, such as means and scales, to training data before the first step; by default, those of
        contexts.

        Training calls this once, when a run starts, but not when it resumes, nor for a model with loaded weights.
        Fitted constants belong in buffers, which are saved with the weights.

        Args:
            x: dequantised training data ``[n, *event_shape]``, or a subset if there is a lot.
            condition: of the data, classes ``[n]`` or vectors ``[n, d]``, or None.

        Raises:
            DataError: data, or contexts, that the model cannot be fitted to.
        """
        if condition is not None:
            self.prepare_contexts(condition)

    def density_error(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The model's own estimate of the error of :meth:`log_prob`, in nats ``[n]``.

        0 unless overridden, for example by models that integrate an equation numerically. An export tolerates this
        error.

        Args:
            x: samples ``[n, *event_shape]``.
            condition: as graphs take it, or None.
        """
        return torch.zeros_like(x.flatten(1)[:, 0])

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

    def load_state_dict(self, state_dict: Mapping[str, object], strict: bool = True, assign: bool = False) -> Any:
        """As for any module; a model that received its full state counts as loaded (:func:`zoo.weights.is_loaded`)."""
        result = super().load_state_dict(state_dict, strict, assign)
        if not result.missing_keys:
            weights.mark_loaded(self)
        return result

    def noise(self, seed: int, n: int, shape: tuple[int, ...]) -> Tensor:
        """Specified standard normals (:func:`zoo.noise.normal`) in the model's dtype, on its device."""
        return self.drawn_noises((Noise("z", shape),), seed, n)["z"]

    def drawn_noises(self, noises: Sequence[Noise], seed: int, n: int) -> dict[str, Tensor]:
        """Specified noises (:func:`zoo.noise.drawn`) by name, in the model's dtype, on its device."""
        if self.device.type == "cpu":
            return {k: torch.from_numpy(a).to(self.dtype) for k, a in noise.drawn(noises, seed, n).items()}
        return {k: a.to(self.dtype) for k, a in noise_torch.drawn(noises, seed, n, device=self.device).items()}


def check_count(n: int) -> int:
    """Return ``n`` if it is a valid number of samples, else raise UsageError."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise UsageError(f"the number of samples is a whole number, 1 or more, not {n!r}")
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

    Flows are such models: ``inverse`` maps base noise to data. Everything else follows. A model that only samples, such
    as the generator of a GAN, says ``density = "none"``, and implements :meth:`inverse` and :meth:`loss`. A model that
    draws several noises, or noise that is not normal, lists them in :attr:`noises` and implements :meth:`draw` instead
    of :meth:`inverse`. A model that only scores, such as a kernel density, says ``samples = False``, and implements
    :meth:`log_density` alone.

    Attributes:
        draws_symbols: whether samples are symbols drawn by the largest of some scores, so that rounding can turn one
            into another. :meth:`draw` then gives the margins of the symbols too, and a proof accepts different ones
            where the margin is below rounding; :func:`largest` gives both.
        temperature: what the normals of a seed are multiplied by in :meth:`sample`, unless it is asked for another; at
            1 alone samples follow the density.
    """

    draws_symbols: ClassVar[bool] = False
    temperature: float = 1.0

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one base sample."""
        return self.event_shape

    @property
    def noises(self) -> tuple[Noise, ...]:
        """The noises that samples are drawn from, in the order of their streams (:func:`zoo.noise.drawn`)."""
        return (Noise("z", self.noise_shape),)

    def draw(self, noise: Mapping[str, Tensor], condition: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Noises by name, each ``[n, *shape]``, to data ``[n, *event_shape]``: by :meth:`inverse` unless overridden.

        Returns:
            the data; if the model :attr:`draws_symbols`, with their margins ``[n, *event_shape]``: by how much the
            score of each symbol was ahead of the second best.
        """
        return self.inverse(noise["z"], condition)

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Base noise ``[n, *noise_shape]`` to data ``[n, *event_shape]``."""
        raise UsageError(f"{type(self).__name__} has neither a method inverse nor a method draw")

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Data ``[n, *event_shape]``, finite, to log-density ``[n]`` in nats, or what :attr:`density` says.

        Raises:
            UsageError: a model that does not implement it.
        """
        raise cannot_score(type(self).__name__)

    @override
    def sample(self, n: int, *, condition: TensorCondition = None, seed: int | None = None, **options: Any) -> Tensor:
        """Differentiable if the condition is a tensor that requires a gradient.

        Its one option is ``temperature``.
        """
        temperature = options.pop("temperature", None)
        _no_options(options)
        if not self.samples:
            raise cannot_sample(type(self).__name__)
        return self.drawn_samples(n, condition=condition, seed=seed, temperature=temperature)[0]

    def drawn_samples(
        self, n: int, *, condition: TensorCondition = None, seed: int | None = None, temperature: float | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What :meth:`sample` draws, and the margins of its symbols, or None; see :meth:`draw`."""
        if temperature is not None and any(each.distribution != "normal" for each in self.noises):
            raise UsageError("this model draws other noise than normals, so its samples have no temperature")
        scale = self.temperature if temperature is None else check_temperature(temperature)
        with torch.set_grad_enabled(needs_gradient(condition)):
            noise = self.drawn_noises(self.noises, check_seed(seed), check_count(n))
            if scale != 1:  # in float32, as in every runtime
                noise = {name: z * float(np.float32(scale)) for name, z in noise.items()}
            drawn = self.draw(noise, self.received_condition(condition, n))
            return (drawn, None) if isinstance(drawn, Tensor) else drawn

    @override
    def log_prob(self, x: Tensor, *, condition: TensorCondition = None, **options: Any) -> Tensor:
        _no_options(options)
        self.check_data(x)
        if self.condition is not None and condition is None and (self.condition.plain or self.condition.required):
            raise ConditionError(f"scoring needs {self.condition.told} that the data is conditioned on")
        if condition is None and self.takes_parts:
            condition = {}  # the null of each part, instead of every class in turn
        x, beyond = finite_part(x)
        return self.log_density(x, self.received_condition(condition, len(x))) + beyond

    def programs(self) -> Programs:
        """Graphs ``inverse`` and, of a model with a density, ``log_prob``, one call each."""
        event = Port("x", "float32", ("batch", *self.event_shape), "data")
        condition, encoder = self.condition_inputs("batch"), self.condition_graph()
        graphs, encodes = (() if encoder is None else (encoder,)), (None if encoder is None else encoder.name)
        if not self.samples:
            return Programs(graphs=(*graphs, self._score_graph(event, condition)), log_prob=self._scoring(encodes))
        drawn = tuple(Port(e.name, "float32", ("batch", *e.shape), _NOISES[e.distribution]) for e in self.noises)
        margin = Port(MARGIN, "float32", event.shape, "by how much each symbol of x was ahead of the second best")
        outputs = (event, margin) if self.draws_symbols else (event,)
        inverse = Graph("inverse", _Inverse(self), (*drawn, *condition), outputs)
        noise = tuple(NoiseInput(each.name, each.distribution) for each in self.noises)
        sample = Direct("inverse", noise=noise, condition_encoder=encodes, temperature=self.temperature)
        if self.density == "none":
            return Programs(graphs=(*graphs, inverse), sample=sample)
        score = self._score_graph(event, condition)
        return Programs(graphs=(*graphs, inverse, score), sample=sample, log_prob=self._scoring(encodes))

    def _score_graph(self, event: Port, condition: tuple[Port, ...]) -> Graph:
        what = _SCORES[self._one_call_density]
        density = Port("log_prob", "float32", ("batch",), what)
        return Graph("log_prob", _Density(self), (event, *condition), (density,), extremes=(self.not_finite,))

    def _scoring(self, encodes: str | None) -> Direct:
        return Direct("log_prob", density=self._one_call_density, condition_encoder=encodes)

    @property
    def _one_call_density(self) -> OneCallDensity:
        return self.density if self.density in ("exact", "ratio") else "bound"

    def not_finite(self, n: int) -> Mapping[str, object]:
        """``n`` data for the proof of an export, each with one number that is not finite: ∞, -∞ and NaN in turn."""
        data = np.zeros((n, *self.event_shape), np.float32)
        data.reshape(n, -1)[:, -1] = np.resize([np.inf, -np.inf, np.nan], n)
        if self.condition is None or self.takes_parts:
            return {"x": data}
        vectors = np.zeros((n, self.condition.size)) if self.condition.kind == "vector" else None
        return {"x": data, "condition": self.condition.array(vectors, n)}


#: what the output of a graph that scores is
_SCORES: Mapping[OneCallDensity, str] = {
    "exact": "log-density of x in nats",
    "bound": "a lower bound of it in nats",
    "ratio": "log-ratio of the density of x to another, in nats, up to a constant for each condition",
}
#: what a graph's input is, by the distribution of its noise
_NOISES = {"normal": "standard normal noise", "uniform": "uniform noise in (0, 1)", "gumbel": "standard Gumbel noise"}


def largest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The number of the largest score, and by how much it is ahead of the second best.

    Of scores log p + g with Gumbel noise g it is a draw from p (Maddison et al. 2014, arXiv:1411.0030, section 2).

    Args:
        scores: ``[..., symbols]``, two symbols or more.

    Returns:
        symbols ``[...]`` in the type of the scores, and margins ``[...]``.
    """
    best = scores.topk(2, dim=-1)
    return best.indices[..., 0].to(scores.dtype), best.values[..., 0] - best.values[..., 1]


def condition_ports(condition: Condition | None) -> tuple[Port, ...]:
    """The graph inputs that carry ``condition``: none, or one for each part and mask."""
    return () if condition is None else part_ports(condition, "batch")


def _no_options(options: dict[str, object]) -> None:
    if options:
        raise UsageError(f"this model has no option {', '.join(sorted(options))}")


def finite_part(x: Tensor) -> tuple[Tensor, Tensor]:
    """Data with non-finite numbers replaced, and the correction of their log-density.

    Computing with infinities sooner or later gives ∞ - ∞, however a model scores.

    Args:
        x: ``[n, *event]``.

    Returns:
        x with zeros in place of numbers that are not finite; and ``[n]``: 0, or -∞ for an infinity, or NaN for a NaN.
    """
    finite = x.isfinite()
    return torch.where(finite, x, 0.0), torch.where(finite, 0.0, -x.abs()).flatten(1).sum(1)


class _Inverse(nn.Module):
    """A model's map from noise to data as a module, for exporters to trace."""

    def __init__(self, model: DirectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        names = [each.name for each in self.model.noises]
        noise, condition = dict(zip(names, inputs, strict=False)), inputs[len(names) :]
        return self.model.draw(noise, *self.model.received_by_graph(condition))


class _Density(nn.Module):
    """A model's log-density of any data, likewise."""

    def __init__(self, model: DirectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        x, beyond = finite_part(x)
        return self.model.log_density(x, *self.model.received_by_graph(condition)) + beyond
