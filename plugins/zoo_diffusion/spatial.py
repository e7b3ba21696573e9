"""Diffusions over images and signals: whatever the network, it is built for the sizes of the data and the condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.models.arguments import with_arguments_of
from zoo.models.encoding import CONCATENATION, CROSS_ATTENTION, EMBEDDING
from zoo_diffusion.conditioning import ChannelsLast, conditioned_network
from zoo_diffusion.diffusion import Diffusion

#: arguments of networks that data and condition determine, so that no config states them
_SETTLED = ("size", "in_channels", "out_channels", "classes", "vector", "beside", "cross_attention")
#: ways in which parts of a condition go into networks with cross-attention
ATTENDING = (EMBEDDING, CONCATENATION, CROSS_ATTENTION)


def network_arguments(
    *networks: type, defaults: Mapping[str, object] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let an architecture take a network's arguments, except those that data determine: as a mapping, before its own.

    Args:
        networks: the network, and others to which it passes its arguments on.
        defaults: where they differ from the networks'.
    """
    return with_arguments_of(*networks, leaving=(*_SETTLED, "kernel"), defaults=defaults)


class SpatialDiffusion(Diffusion):
    """A Gaussian diffusion over events with channels, and one axis of positions or more.

    Args:
        network: makes the network of ``size`` (of an event, its channels apart), ``in_channels``, ``out_channels``,
            ``classes`` and ``vector``, and of ``cross_attention``, where its condition needs it.
        event_shape: channels, then the size.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        conditioning: how each named part of it goes in, see :mod:`zoo.models.encoding`; or None.
        channels_last: whether the channels of a signal are its last axis: of actions, [horizon, dimensions].
        variance: see :class:`~zoo_diffusion.diffusion.Diffusion`; one that is learned doubles the output's channels.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    #: what the events are, and their axes
    events: ClassVar[str]
    axes: ClassVar[tuple[str, ...]]
    #: how named parts of a condition go in
    ways: ClassVar[tuple[str, ...]] = (EMBEDDING, CONCATENATION)

    def __init__(
        self,
        network: Callable[..., nn.Module],
        *,
        event_shape: Sequence[int],
        condition: Mapping[str, object] | None = None,
        conditioning: Mapping[str, object] | None = None,
        channels_last: bool = False,
        variance: str = "fixed",
        **diffusion: Any,
    ) -> None:
        shape = tuple(event_shape)
        if len(shape) != len(self.axes) or min(shape) < 1:
            raise ConfigError(f"{self.events} must have the shape ({', '.join(self.axes)}), not {shape}")
        if channels_last and (len(shape) != 2 or variance != "fixed"):
            raise ConfigError("channels_last applies only to signals with a fixed variance")
        channels, size = (shape[-1], shape[:-1]) if channels_last else (shape[0], shape[1:])

        def sized(*, beside: int, **settled: Any) -> nn.Module:
            outputs = channels * (2 if variance == "learned-range" else 1)
            built = network(size=size, in_channels=channels + beside, out_channels=outputs, **settled)
            return ChannelsLast(built) if channels_last else built

        described = None if condition is None else Condition.from_description(condition)
        built, encoder = conditioned_network(
            sized, described, conditioning, self.ways, size=size, channels_last=channels_last
        )
        super().__init__(built, shape, condition=described, encoder=encoder, variance=variance, **diffusion)


class ImageDiffusion(SpatialDiffusion):
    """A :class:`SpatialDiffusion` over images, or latents of the same axes: (channels, height, width)."""

    events = "images"
    axes = ("channels", "height", "width")


class SignalDiffusion(SpatialDiffusion):
    """A :class:`SpatialDiffusion` over signals, such as recordings: (channels, length)."""

    events = "signals"
    axes = ("channels", "length")
