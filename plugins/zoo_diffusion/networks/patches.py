"""Signals seen as fewer positions with more channels: neighbouring samples taken together."""

from __future__ import annotations

from torch import Tensor

from zoo.errors import ConfigError


def check_patch(patch: int, length: int) -> None:
    """Refuse patches into which a signal of this length does not divide."""
    if patch < 1 or length % patch:
        fits = [each for each in range(2, min(length, 4 * max(patch, 1)) + 1) if length % each == 0][-6:]
        near = f"patch = {' or '.join(map(str, fits))}, or " if fits else ""
        raise ConfigError(
            f"patch ({patch}) must divide the length {length}",
            hint=f"Take {near}a length such as {length - length % max(patch, 1) or patch}.",
        )


def patched(x: Tensor, patch: int) -> Tensor:
    """Neighbours as channels: ``[n, c, length]`` to ``[n, c·patch, length/patch]``."""
    c, length = x.shape[1:]
    taken = x.reshape(-1, c, length // patch, patch).transpose(2, 3)
    # the derivative of a group norm wants its input, and so what comes before it, in order
    return taken.contiguous().reshape(-1, c * patch, length // patch)


def unpatched(x: Tensor, patch: int) -> Tensor:
    """The inverse of :func:`patched`."""
    c, positions = x.shape[1] // patch, x.shape[2]
    return x.reshape(-1, c, patch, positions).transpose(2, 3).reshape(-1, c, positions * patch)
