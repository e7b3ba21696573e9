"""Standardisation: a fixed shift and scale of each component, fitted to the data once."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo_flows.transforms.base import Direction, Transform, constant_log_det


class Standardize(Transform):
    """z = (x - shift) / scale, where :meth:`prepare` sets shift and scale to the data's mean and standard deviation.

    Both are buffers: saved with the weights, never trained. Unprepared it is the identity.

    Args:
        size: length d of the vector.
        channels: into which the vector divides, each of which has one mean and deviation; None for one each component.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, size: int, channels: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    @torch.no_grad()
    @override
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        """Fit mean and deviation.

        Raises:
            DataError: a component that is constant, which has no density, or not finite.
        """
        # summed in float64: a float32 mean of many samples loses digits
        channels = x.shape[1] if self.channels is None else self.channels
        grouped = torch.unflatten(x.double(), 1, (channels, -1))
        std, mean = (each.repeat_interleave(x.shape[1] // channels) for each in torch.std_mean(grouped, dim=(0, 2)))
        bad = torch.nonzero(~(torch.isfinite(std) & (std > 0))).flatten().tolist()
        if bad:
            raise DataError(
                f"component {bad[0]} of the data is constant or not finite, so it has no density",
                hint="Remove it, or say how many levels discrete data have, so that they are dequantised.",
            )
        self.shift.copy_(mean)
        self.scale.copy_(std)

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.shift) / self.scale, constant_log_det(-self.scale.log().sum(), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * self.scale + self.shift, constant_log_det(self.scale.log().sum(), z)

    def frozen(self) -> Transform:
        """With the log-determinant as a constant."""
        return FrozenAffine(self.shift, self.scale.double()).eval()


class FrozenAffine(Transform):
    """z = (x - shift) / scale with constants.

    Args:
        shift: ``[d]``, or ``[c, 1, 1]`` of an image; its dtype is kept.
        scale: above 0, float64, of the same shape.
        positions: of an image, which share them.
    """

    written = frozenset({"forward", "inverse"})
    shift: Tensor
    scale: Tensor
    log_det: Tensor

    def __init__(self, shift: Tensor, scale: Tensor, positions: int = 1) -> None:
        super().__init__()
        self.register_buffer("shift", shift.detach().clone())
        self.register_buffer("scale", scale.detach().to(shift.dtype, copy=True))
        self.register_buffer("log_det", (-positions * scale.detach().log().sum()).to(shift.dtype))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.shift) / self.scale, constant_log_det(self.log_det, x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * self.scale + self.shift, constant_log_det(-self.log_det, z)

    @override
    def write(
        self,
        builder: GraphBuilder,
        direction: Direction,
        way: str,
        value: Value,
        context: Value | None,
        *,
        log_det: bool,
    ) -> tuple[Value, Value | None]:
        shift, scale, constant = (builder.constant(t.numpy()) for t in (self.shift, self.scale, self.log_det))
        if direction == "forward":
            return builder("Div", builder("Sub", value, shift), scale), constant
        return builder("Add", builder("Mul", value, scale), shift), builder("Neg", constant)
