"""The common interface of networks of images and signals: arguments set by data and condition, and the call."""

from __future__ import annotations

from torch import Tensor, nn


class Network(nn.Module):
    """Predicts from a noisy state, its time and its condition.

    Subclasses take, besides their own arguments:

    Args:
        size: of an image, (height, width), or of a signal, (length,).
        in_channels: of the input.
        out_channels: of the output.
        classes: number of classes including a null class, or None.
        vector: length of the condition vector, or None.

    Networks that attend to parts of a condition also take ``cross_attention``, the common settings of those attentions,
    or None; and ``attended`` when they are called, see :class:`~zoo.models.encoders.CrossAttention`.
    """

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """Predict.

        Args:
            x: ``[n, in_channels, *size]``.
            time: ``[n]``, the network's time.
            condition: int ``[n]`` or float ``[n, vector]``, as built.

        Returns:
            ``[n, out_channels, *size]``.
        """
        raise NotImplementedError
