"""Conversion between data and latents of a diffusion: those of an autoencoder, or rescaled columns of a table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import UsageError
from zoo.programs import Integrate, Program

#: (name of a graph, its one input, that input's values [n, ...]) -> outputs by name, each [n, ...]
Run = Callable[[str, str, Array], dict[str, Array]]


class BundledCodec:
    """Converts data to latents and back; the identity if the data itself is diffused.

    Args:
        name: the model's name, for messages.
        program: the model's program ``sample``.
        run: runs a graph, batch by batch.
    """

    def __init__(self, name: str, program: Program, run: Run) -> None:
        self._name = name
        self._program = program
        self._run = run

    def to_latent(self, x: Array) -> Array:
        """Data ``[n, *event]`` to latents ``[n, *state_shape]``; the data itself if there is no encoder.

        Raises:
            UsageError: the model has a decoder but no encoder.
        """
        program = self._program
        if not program.coders:
            return x
        if program.encoder is None:
            raise UsageError(f"{self._name} has no encoder, so it cannot start from data or encode data")
        return self._run(program.encoder, "x", np.asarray(x, np.float32))["latent"]

    def to_data(self, latent: Array) -> Array:
        """Latents to data ``[n, *event]``; the latents themselves if there is no decoder."""
        program = self._program
        if program.decoder is None:
            return latent
        return self._run(program.decoder, "latent", latent)["x"]

    def to_latent_with_volume(self, program: Integrate, x: Array) -> tuple[Array, NDArray[np.float64]]:
        """Data to latents, and the log-determinant ``[n]`` of that map."""
        if program.encoder is None:
            return x, np.zeros(len(x))
        results = self._run(program.encoder, "x", x)
        return results["latent"], results["log_det"].astype(np.float64)
