"""Diffusions over images and signals: whatever the network, it is built for the sizes of the data and the condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import nn

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.models.arguments import with_arguments_of
from zoo_diffusion.diffusion import Diffusion

#: what data and condition settle, so that no config says it of a network
_SETTLED = ("size", "in_channels", "out_channels", "classes", "vector")


class Embedded(NamedTuple):
    """What a network embeds of a condition.

    Attributes:
        classes: number of classes including the null class, which stands for none if classes are not required; or None.
        vector: length of the condition vector, or None.
    """

    classes: int | None = None
    vector: int | None = None

    @classmethod
    def of(cls, condition: Condition | None) -> Embedded:
        """That of a condition, or of none."""
        if condition is None:
            return cls()
        if condition.kind == "classes":
            return cls(classes=condition.size + (not condition.required))
        return cls(vector=condition.size)


def network_arguments(
    *networks: type, defaults: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let an architecture take a network's arguments, but those that its data settle: as a mapping, before its own.

    Args:
        networks: the network, and others to which it passes its arguments on.
        defaults: where they differ from the networks'.
    """
    return with_arguments_of(*networks, leaving=(*_SETTLED, "kernel"), defaults=defaults)


class SpatialDiffusion(Diffusion):
    """A Gaussian diffusion over events with channels, and one axis of positions or more.

    Args:
        network: makes the network of ``size`` (of an event, its channels apart), ``in_channels``, ``out_channels``,
            ``classes`` and ``vector``.
        event_shape: channels, then the size.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        variance: see :class:`~zoo_diffusion.diffusion.Diffusion`; one that is learned doubles the output's channels.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    #: what the events are, and their axes
    events: ClassVar[str]
    axes: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        network: Callable[..., nn.Module],
        *,
        event_shape: Sequence[int],
        condition: Mapping[str, Any] | None = None,
        variance: str = "fixed",
        **diffusion: Any,
    ) -> None:
        shape = tuple(event_shape)
        if len(shape) != len(self.axes) or min(shape) < 1:
            raise ConfigError(f"{self.events} have the shape ({', '.join(self.axes)}), not {shape}")
        described = None if condition is None else Condition.from_description(condition)
        built = network(
            size=shape[1:],
            in_channels=shape[0],
            out_channels=shape[0] * (2 if variance == "learned-range" else 1),
            **Embedded.of(described)._asdict(),
        )
        super().__init__(built, shape, condition=described, variance=variance, **diffusion)


class ImageDiffusion(SpatialDiffusion):
    """A :class:`SpatialDiffusion` over images, or latents of the same axes: (channels, height, width)."""

    events = "images"
    axes = ("channels", "height", "width")


class SignalDiffusion(SpatialDiffusion):
    """A :class:`SpatialDiffusion` over signals, such as recordings: (channels, length)."""

    events = "signals"
    axes = ("channels", "length")
