"""The base class of other people's models: :class:`Wrapped`. This module needs torch."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.errors import ConfigError, ExportError
from zoo.models.blaming import told
from zoo.models.contexts import ReceivedCondition
from zoo.models.interface import DirectModel
from zoo.overriding import override
from zoo.programs import Programs
from zoo.programs.ports import Port

#: what the embedding network of a wrapped flow gives
EMBEDDING = "embedding"


class Wrapped(DirectModel):
    """A model of another library, in its own code.

    An adapter subclasses this, and implements :meth:`inverse` and :meth:`log_density` by what the library calls them.
    One that lacks a direction sets ``density = "none"`` or ``samples = False`` instead. What the library draws from
    other noise than one standard normal is declared by :attr:`noises` and made of noise by :meth:`from_noise`; what of
    its code cannot be traced is mended by :meth:`mended`.

    Args:
        flow: the library's model. It is kept, not copied: weights that are trained or loaded later are exported too.
        event_shape: shape of one sample.
        context: what it is conditioned on: the length of a vector, a condition, or None.

    Attributes:
        flow: the library's model.
        support: the smallest and the largest number of data, outside which :meth:`log_density` means nothing, such as
            (-π, π) for angles; None for all numbers. An export does not look for mass outside.
    """

    family = "flow"
    support: tuple[float, float] | None = None
    #: a module of a library that is not imported here, whose attributes are unknown
    flow: Any
    _like: Tensor

    def __init__(
        self, flow: nn.Module, event_shape: Sequence[int] | None, context: int | Condition | None = None
    ) -> None:
        super().__init__()
        self.flow = flow
        self.event_shape = self._checked_shape(event_shape)
        # without the submodules that standardise contexts: the library's model takes them as they are
        self.condition = self._checked_context(context)
        # the device and the type of a model that may have no tensors
        first = next((each for each in (*flow.parameters(), *flow.buffers()) if each.is_floating_point()), None)
        like = torch.zeros(()) if first is None else torch.zeros((), dtype=first.dtype, device=first.device)
        self.register_buffer("_like", like, persistent=False)
        self.train(flow.training)

    def _checked_shape(self, stated: Sequence[int] | None) -> tuple[int, ...]:
        own = self.own_event_shape()
        shape = own if stated is None else tuple(int(size) for size in stated)
        if shape is None:
            raise ConfigError(
                f"the shape of what {self.named} samples is not known", hint="Say it: zoo.wrap(..., event_shape=(4,))."
            )
        if own is not None and shape != own:
            raise ConfigError(f"{self.named} has events of shape {own}, not {shape}")
        if not shape or not all(size > 0 for size in shape):
            raise ConfigError(f"an event shape is one or more positive numbers, not {shape}")
        return shape

    def _checked_context(self, context: int | Condition | None) -> Condition | None:
        own = self.own_context()
        if context is None:
            return own
        condition = context if isinstance(context, Condition) else Condition.vector(context)
        if own is not None and own != condition:
            raise ConfigError(f"{self.named} takes another context than {condition.describe()}: {own.describe()}")
        return condition

    # -- what an adapter may know of the library's model --------------------------------------------------------------

    def own_event_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample, where the library's model tells it."""
        return None

    def own_context(self) -> Condition | None:
        """What the library's model is conditioned on, where it tells that."""
        return None

    def embedding(self) -> tuple[nn.Module, int] | None:
        """The network that the library's model embeds contexts by, and the length of what it gives; or None.

        A bundle has it as a graph of its own, called once for each different context; :meth:`inverse` and
        :meth:`log_density` then get a mapping with the item ``"embedding"``.
        """
        return None

    def mended(self) -> AbstractContextManager[object]:
        """A block in which the library's code can be traced (:mod:`zoo.models.mending`)."""
        return contextlib.nullcontext()

    def settle(self) -> None:
        """Empty caches of the library's model; called before it is copied."""

    def doubt(self) -> tuple[str, str] | None:
        """What of the library's own functions is known to be wrong with these weights, and what to do; or None.

        It is asked for when a proof has refused the model. It names class, function and line.
        """
        return None

    def from_noise(self, noise: Mapping[str, Tensor], condition: ReceivedCondition = None) -> Tensor:
        """The base sample ``[n, *event]`` of noises: standard normals themselves, unless overridden."""
        return noise["z"]

    # -- as a model of genzoo -----------------------------------------------------------------------------------------

    @property
    def named(self) -> str:
        """The class of the library's model, as messages name it."""
        return type(self.flow).__name__

    @property
    @override
    def origin(self) -> Mapping[str, str]:
        cls = type(self.flow)
        library = cls.__module__.partition(".")[0]
        try:
            version = metadata.version(library)
        except metadata.PackageNotFoundError:
            version = ""
        return {"library": library, "version": version, "class": f"{cls.__module__}.{cls.__qualname__}"}

    @property
    def size(self) -> int:
        """How many numbers an event holds."""
        return math.prod(self.event_shape)

    @override
    def draw(self, noise: Mapping[str, Tensor], condition: ReceivedCondition = None) -> Tensor | tuple[Tensor, Tensor]:
        return self.inverse(self.from_noise(noise, condition), condition)  # type: ignore[arg-type]

    @override
    def encoded_ports(self) -> tuple[Port, ...]:
        embedding = self.embedding()
        return () if embedding is None else (Port(EMBEDDING, "float32", ("rows", embedding[1])),)

    @override
    def encode_condition(self, parts: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        embedding = self.embedding()
        if embedding is None:
            return parts
        (context,) = parts.values()
        return {EMBEDDING: embedding[0](context)}

    @property
    @override
    def encodes(self) -> bool:
        return self.condition is not None and bool(self.encoded_ports())

    def context_of_flow(self, condition: ReceivedCondition) -> Tensor | None:
        """The context as the library's model takes it, embedded if it embeds: ``[n, c]``, or None."""
        return condition[EMBEDDING] if isinstance(condition, Mapping) else condition

    @override
    def programs(self) -> Programs:
        programs = super().programs()
        graphs = (dataclasses.replace(graph, mended=self.mended) for graph in programs.graphs)
        return dataclasses.replace(programs, graphs=tuple(graphs))

    def __deepcopy__(self, memo: dict[int, Any]) -> Wrapped:
        """A copy whose caches are empty: a cached tensor cannot be copied, and would outlive a change of weights."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        self.settle()
        for name, value in vars(self).items():
            copied.__dict__[name] = copy.deepcopy(value, memo)
        return copied


def tried(wrapped: Wrapped) -> None:
    """Call a copy of a model once in each direction.

    Raises:
        ExportError: it cannot be copied, or fails; class, line and cause are told.
    """
    check_traceable(wrapped.named, wrapped)
    try:
        trial = copy.deepcopy(wrapped).to("cpu").float().eval()
    except (RuntimeError, TypeError) as error:
        raise uncopied(wrapped.named, error) from error
    condition_told = "" if wrapped.condition is None else f", given {wrapped.condition.describe()}"
    hint = (
        f"It is called once as it will be: to sample and to score two events of shape {wrapped.event_shape}"
        f"{condition_told}, in float32 on the CPU. Say event_shape and context if these are others."
    )
    with torch.no_grad(), told(f"{wrapped.named} cannot be called", hint=hint):
        condition = any_condition(trial, 2)
        if trial.samples:
            drawn = trial.draw(trial.drawn_noises(trial.noises, 0, 2), condition)
            x = drawn if isinstance(drawn, Tensor) else drawn[0]
            if x.shape != (2, *trial.event_shape):
                raise ConfigError(
                    f"{wrapped.named} samples events of shape {tuple(x.shape[1:])}, not {trial.event_shape}",
                    hint=f"Say the shape of one sample: zoo.wrap(..., event_shape={tuple(x.shape[1:])}).",
                )
        if trial.density != "none":
            scored = trial.log_density(torch.zeros(2, *trial.event_shape), condition)  # type: ignore[arg-type]
            if scored.shape != (2,):
                raise ConfigError(f"{wrapped.named} scores two events by a tensor of shape {tuple(scored.shape)}")


def check_traceable(named: str, model: nn.Module) -> None:
    """Refuse a model with a part in TorchScript, whose copies have no weights of their own.

    Raises:
        ExportError: the part is named.
    """
    for name, part in model.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise ExportError(
                f"{named} cannot be copied: its part {name} is TorchScript, of {part.original_name}",
                hint="Build it without torch.jit, and load the same weights.",
            )


def uncopied(named: str, error: Exception) -> ExportError:
    """The error of a model that cannot be copied."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ExportError(f"{named} cannot be copied: {said}", hint="Move what it keeps besides weights out of it.")


def any_condition(model: Wrapped, n: int, generator: torch.Generator | None = None) -> ReceivedCondition:
    """Zeros, or with a generator normals where a part has numbers, as the condition of ``n`` samples."""
    if model.condition is None:
        return None
    parts = {}
    for part in model.condition.parts:
        shape = (n, *(size if isinstance(size, int) else 1 for size in part.shape))
        numbers = part.dtype == "float32" and generator is not None
        drawn = torch.randn(shape, generator=generator) if numbers else torch.zeros(shape)
        parts[part.name] = drawn.to({"int32": torch.int32, "float32": torch.float32}[part.dtype])
    value = parts if model.takes_parts else next(iter(parts.values()))
    received: ReceivedCondition = model.received_condition(value, n)
    return received
