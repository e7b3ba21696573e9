"""Codecs for diffusions of something other than the data itself: latents of an autoencoder, rescaled columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from zoo.programs import Graph
from zoo.programs.ports import Port


class LatentCodec(nn.Module, ABC):
    """Maps data to latents and back.

    Attributes:
        latent_shape: shape of one latent.
        reversible: whether it is a bijection, so that densities of latents are densities of data.
    """

    latent_shape: tuple[int, ...]
    reversible: ClassVar[bool] = False

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data ``[n, *event]`` to latents ``[n, *latent_shape]`` and log |det ∂latent/∂x| ``[n]``.

        The determinant is that of a bijection; other codecs give 0.
        """

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Latents to data ``[n, *event]``."""

    def prepare(self, x: Tensor) -> None:
        """Fit constants to training data, see :meth:`zoo.GenerativeModel.prepare`; does nothing unless overridden."""

    def graphs(self, event_shape: tuple[int, ...]) -> tuple[Graph, Graph]:
        """The graphs ``encoder`` and ``decoder``."""
        data = Port("x", "float32", ("batch", *event_shape), "data")
        latent = Port("latent", "float32", ("batch", *self.latent_shape), "what is diffused")
        volume = Port("log_det", "float32", ("batch",), "log |det ∂latent/∂x|")
        return (
            Graph("encoder", _Encode(self), (data,), (latent, *((volume,) if self.reversible else ()))),
            Graph("decoder", _Decode(self), (latent,), (data,)),
        )


class _Encode(nn.Module):
    def __init__(self, codec: LatentCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, x: Tensor) -> object:
        latent, log_det = self.codec.encode(x)
        return (latent, log_det) if self.codec.reversible else latent


class _Decode(nn.Module):
    def __init__(self, codec: LatentCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, latent: Tensor) -> Tensor:
        return self.codec.decode(latent)
