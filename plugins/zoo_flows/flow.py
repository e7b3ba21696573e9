"""A normalizing flow: a known distribution mapped through invertible transforms."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from zoo.arrays import Array
from zoo.conditions import Condition
from zoo.errors import ConfigError, UsageError
from zoo.models.contexts import ReceivedCondition, TensorCondition
from zoo.models.encoders import ConditionEncoder
from zoo.models.interface import DirectModel
from zoo.overriding import override
from zoo.programs import Programs
from zoo.programs.graph_writing import Value, Writer
from zoo.programs.one_call import check_temperature
from zoo_flows import graph_writing
from zoo_flows.bases import Base, StandardNormal
from zoo_flows.dequantisation import VariationalDequantisation
from zoo_flows.transforms import Transform
from zoo_flows.transforms.base import Direction, prepare_in_turn
from zoo_flows.transforms.precision import lowered_conditioners

#: the one output of a flow's encoder of conditions
CONTEXT = "embedding"
#: base noise in the proof of an export: beyond the largest value of float32 Box-Muller (5.8)
_FAR_NOISE = 6.0
#: data in the proof of an export, in standard deviations
_FAR_DATA = 30.0
#: learned transforms are prepared on this many numbers, in at least this many samples
_PREPARED, _PREPARED_SAMPLES = 2**20, 256


class Flow(DirectModel):
    """p(x | c) = p(z | c)·|det ∂z/∂x| with z the composition of all transforms (Papamakarios et al. 2021, eq. 7).

    Public as ``zoo.Flow``; docs/flows.md shows one of transforms of your own.

    Args:
        event_shape: shape of one sample; transforms see it flattened to d numbers.
        preprocessing: from data to about unit scale, without parameters; fitted to the data by :meth:`prepare`.
        transforms: the learned ones, from data towards noise; each sees the context. Those that are initialised by
            data, such as activation normalisation, get it from :meth:`prepare`.
        base: the distribution of z; None takes N(0, I).
        condition: classes, whose context is one-hot, or a vector, which is the context when it is standardised; or
            named parts.
        encoder: encodes named parts as one vector, the context.
        dequantisation: noise that is learned for whole numbers, for training and for the bound that it maximises; None
            takes data with the noise that they come with. The density of x with noise is :meth:`log_prob` either way.
        landmarks: values between preprocessing and transforms at which the mathematics changes form, such as the knots
            of splines. Exported graphs are proven there too.
        temperature: see :class:`~zoo.models.interface.DirectModel`.

    Attributes:
        edges: of data, values of a component at which what later ones depend on changes at once, rising; empty without.
            Rounding there changes a sample, which the proof of an export lets through.
        turns: of the d components, the order in which they depend on one another; empty for theirs. Of ``edges``.
    """

    family = "flow"
    edges: tuple[float, ...] = ()
    turns: tuple[int, ...] = ()

    def __init__(
        self,
        event_shape: Sequence[int],
        preprocessing: Iterable[Transform],
        transforms: Iterable[Transform],
        *,
        base: Base | None = None,
        condition: Condition | None = None,
        encoder: ConditionEncoder | None = None,
        dequantisation: VariationalDequantisation | None = None,
        landmarks: Sequence[float] = (),
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        try:
            self.temperature = check_temperature(temperature)
        except UsageError as error:
            raise ConfigError(str(error)) from error
        self.event_shape = tuple(event_shape)
        self.condition_on(condition, encoder)
        if condition is not None and not condition.plain and [port.name for port in self.encoded_ports()] != [CONTEXT]:
            raise ConfigError(
                f"a flow conditioned on the parts {', '.join(condition.names)} needs an encoder that gives them as one "
                f"{CONTEXT}",
                hint=f"Pass encoder=, or override encode_condition and encoded_ports, whose only port is {CONTEXT!r}, "
                "[rows, size].",
            )
        self.preprocessing = nn.ModuleList(preprocessing)
        self.transforms = nn.ModuleList(transforms)
        self.base = StandardNormal(self.size) if base is None else base
        self.dequantisation, self.learns_noise = dequantisation, dequantisation is not None
        self.landmarks = tuple(landmarks)

    @property
    def size(self) -> int:
        """d: how many numbers an event holds."""
        return math.prod(self.event_shape)

    @property
    @override
    def noise_shape(self) -> tuple[int, ...]:
        """The shape of an event, unless the base takes more or fewer numbers."""
        return self.event_shape if self.base.noise_size == self.size else (self.base.noise_size,)

    @property
    def context_size(self) -> int:
        """Length of the context that transforms see; 0 for none."""
        if self.condition is None:
            return 0
        if self.condition.plain:
            return self.condition.size
        (port,) = self.encoded_ports()
        return int(port.shape[1])

    def to_noise(self, x: Tensor, condition: ReceivedCondition = None) -> tuple[Tensor, Tensor]:
        """Data ``[n, *event]`` to z, of the base, ``[n, *event]`` and log |det ∂z/∂x| ``[n]``."""
        z, context = x.flatten(1), self.context(condition)
        total = torch.zeros_like(z[:, 0])
        for transform in (*self.preprocessing, *self.transforms):
            z, log_det = transform(z, context)
            total = total + log_det
        return torch.unflatten(z, 1, self.event_shape), total

    def to_data(self, z: Tensor, condition: ReceivedCondition = None) -> tuple[Tensor, Tensor]:
        """z, of the base, ``[n, *event]`` to data ``[n, *event]`` and log |det ∂x/∂z| ``[n]``."""
        x, context = z.flatten(1), self.context(condition)
        total = torch.zeros_like(x[:, 0])
        for transform in reversed((*self.preprocessing, *self.transforms)):
            x, log_det = _transform(transform).inverse(x, context)
            total = total + log_det
        return torch.unflatten(x, 1, self.event_shape), total

    @override
    def inverse(self, z: Tensor, condition: ReceivedCondition = None) -> Tensor:
        context = self.context(condition)
        x = self.base.from_noise(z.flatten(1), context)
        for transform in reversed((*self.preprocessing, *self.transforms)):
            x = _transform(transform).data(x, context)
        return torch.unflatten(x, 1, self.event_shape)

    @override
    def log_density(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        z, log_det = self.to_noise(x, condition)
        return self.base.log_prob(z.flatten(1), self.context(condition)) + log_det

    @override
    def loss(self, x: Tensor, *, condition: TensorCondition = None) -> Tensor:
        """Under autocast, conditioners alone compute in fewer bits."""
        condition = self.dropped(condition, len(x))
        with lowered_conditioners(self.device):
            return -self.elbo(x, condition=condition).mean()

    def dropped(self, condition: TensorCondition, n: int) -> TensorCondition:
        """A condition of training, some of whose parts are replaced by their nulls, see :attr:`part_dropout`."""
        if not self.part_dropout or not self.training:
            return condition
        return self.hidden(self.condition_tensors(condition, n), 0.0)

    @override
    def elbo(self, x: Tensor, *, condition: TensorCondition = None) -> Tensor:
        if self.dequantisation is None:
            return super().elbo(x, condition=condition)
        # a number with noise may have been rounded up to the next
        whole = torch.floor(self.check_data(x)).clamp(0.0, self.dequantisation.levels - 1.0)
        noise, log_q = self.dequantisation(whole)
        bound: Tensor = self.log_prob(whole + noise, condition=condition) - log_q
        return bound

    def context(self, condition: ReceivedCondition) -> Tensor | None:
        """The context that transforms receive: ``[n, c]``, one-hot, standardised or encoded, or None without one."""
        if condition is None or self.condition is None:
            return None
        if isinstance(condition, Mapping):
            encoded: Tensor = condition[CONTEXT]
            return encoded
        if self.condition.kind == "vector":
            return super().context(condition)
        classes = torch.arange(self.condition.size, dtype=condition.dtype, device=condition.device)
        one_hot: Tensor = (condition.unsqueeze(1) == classes).to(self.dtype)
        return one_hot

    @torch.no_grad()
    @override
    def prepare(self, x: Tensor, condition: Tensor | None = None) -> None:
        super().prepare(x, condition)
        z = self.check_data(x).flatten(1)
        for transform in self.preprocessing:
            _transform(transform).prepare(z)
            z, _ = transform(z)
        z = z[: max(_PREPARED // self.size, _PREPARED_SAMPLES)]
        # conditioners start at 0, whatever their context is: 0 is that of a mean condition
        context = None if self.condition is None else z.new_zeros(z.shape[0], self.context_size)
        prepare_in_turn([_transform(t) for t in self.transforms], z, context)

    # -- export -----------------------------------------------------------------------------------------------------

    def frozen(self) -> Flow:
        """An equal flow with folded constants; this one is left unchanged.

        It shares all other modules, such as those of a subclass that encode conditions, and has no dequantisation,
        which no direction of the flow uses.
        """
        flow = copy.copy(self)
        own = {
            name: nn.ModuleList(_transform(t).frozen() for t in part)
            for name, part in (("preprocessing", self.preprocessing), ("transforms", self.transforms))
        }
        # a shallow copy of a module shares its dictionaries: give it its own before anything is put into them
        flow._modules = {**self._modules, **own, "base": self.base.frozen(), "dequantisation": None}
        for module in (*own.values(), flow.base):
            module.eval()
        flow.training = False
        return flow

    def programs(self) -> Programs:
        """The programs of a :class:`~zoo.DirectModel`, over a frozen copy, with the extremes to prove."""
        frozen = self.frozen()
        programs = DirectModel.programs(frozen)
        extremes = {"inverse": frozen._noise_extremes(), "log_prob": frozen._data_extremes()}
        written = {
            "inverse": frozen._writers("inverse", graph_writing.inverse),
            "log_prob": frozen._writers("forward", graph_writing.log_prob),
        }
        composed: dict[str, Writer | None] = {
            "inverse": partial(graph_writing.inverse, frozen._described(), None),
            "log_prob": partial(graph_writing.log_prob, frozen._described(), None),
        }
        if not frozen._repeats():
            composed = dict.fromkeys(composed)
        return replace(
            programs,
            graphs=tuple(
                # the encoder of conditions is shared, unchanged
                replace(g, extremes=extremes[g.name], written=written[g.name], composed=composed[g.name])
                if g.name in extremes
                else g
                for g in programs.graphs
            ),
        )

    def _writers(self, direction: Direction, write: Callable[..., Sequence[Value]]) -> dict[str, Writer]:
        """The ways to write a graph, if some transform takes many steps in its direction; else it is traced."""
        described = self._described()
        for transform in described.transforms:
            if direction in transform.sequential:
                return {way: partial(write, described, way) for way in transform.ways}
        return {}

    def _described(self) -> graph_writing.WrittenFlow:
        """What its graphs are written from."""
        return graph_writing.WrittenFlow(
            tuple(_transform(t) for t in (*self.preprocessing, *self.transforms)),
            self.base,
            self.event_shape,
            self.noise_shape,
            self.condition,
            self.standardized_context,
            self.context_size,
        )

    def _repeats(self) -> bool:
        """Whether there are transforms enough of one class that tracing one for several may save time."""
        classes = [type(transform) for transform in self.transforms]
        return len(classes) - len(set(classes)) >= _REPEATED

    def _noise_extremes(self) -> tuple[_Maker, ...]:
        """Base noise at its ends, at the landmarks, and at 0."""
        return tuple(
            self._maker("z", values) for values in ((_FAR_NOISE, -_FAR_NOISE), self.landmarks, (0.0,)) if values
        )

    def _data_extremes(self) -> tuple[_Maker, ...]:
        """Data far outside the training data, at the landmarks, and not finite."""
        makers = [self._maker("x", values) for values in ((_FAR_DATA, -_FAR_DATA), self.landmarks) if values]
        return *makers, self.not_finite

    def _maker(self, port: str, values: Sequence[float]) -> _Maker:
        """A maker of inputs that take ``values`` in turn, shifted by one from sample to sample."""

        @torch.no_grad()
        def make(n: int) -> dict[str, Array]:
            shape = self.event_shape if port == "x" else self.noise_shape
            turn = np.add.outer(np.arange(n), np.arange(math.prod(shape))) % len(values)
            event = torch.from_numpy(np.asarray(values)[turn]).to(self.device, self.dtype)
            if port == "x":
                for transform in reversed(self.preprocessing):
                    event, _ = _transform(transform).inverse(event)
            inputs = {port: torch.unflatten(event, 1, shape).cpu().numpy().astype(np.float32)}
            if self.condition is not None and not self.takes_parts:
                mean = None if self.standardized_context is None else self.standardized_context.raw(np.zeros(1))
                inputs["condition"] = self.condition.array(mean, n)
            return inputs

        return make


#: transforms beyond the first of each class from which on a graph is composed
_REPEATED = 4
_Maker = Callable[[int], Mapping[str, object]]


def _transform(module: nn.Module) -> Transform:
    assert isinstance(module, Transform)
    return module
