"""Between data and what a diffusion is of: latents of an autoencoder, columns of a table brought to one scale."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import RuntimeFailure, UsageError
from zoo.programs import Integrate
from zoo.runtime.graph_checks import latent_shape
from zoo.runtime.opened import OpenBundle


class Coding(OpenBundle):
    """What of a bundle's model turns data into latents and back; nothing where the data itself is diffused."""

    @cached_property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one state of a model that samples in steps."""
        return latent_shape(self.manifest)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one sample is made from, as ``sample(noise=...)`` takes it."""
        return self.manifest.sample.noise_shape(self.manifest.graphs)

    def to_latent(self, x: NDArray[Any]) -> NDArray[Any]:
        """Data ``[n, *event]`` to latents ``[n, *state_shape]``; the data itself where there is no encoder.

        Raises:
            UsageError: the model decodes and cannot encode.
        """
        program = self.manifest.sample
        if not program.coders:
            return x
        if program.encoder is None:
            raise UsageError(f"{self.name} has no encoder, so it cannot start from data or go back from it")
        return self._coded(program.encoder, "x", np.asarray(x, np.float32))["latent"]

    def to_data(self, latent: NDArray[Any]) -> NDArray[Any]:
        """Latents to data ``[n, *event]``; what is given where there is no decoder."""
        program = self.manifest.sample
        if program.decoder is None:
            return latent
        return self._coded(program.decoder, "latent", latent)["x"]

    def to_latent_with_volume(self, program: Integrate, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Data to latents and the logarithm ``[n]`` of how much their density is larger."""
        if program.encoder is None:
            return x, np.zeros(len(x))
        found = self._coded(program.encoder, "x", x)
        return found["latent"], found["log_det"].astype(np.float64)

    def _coded(self, graph: str, port: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        session = self.session(graph)
        parts = []
        for part in self._batches(len(values), None, session):
            given = np.ascontiguousarray(self.filled(values[part]), np.float32)
            results = session.run({port: given})
            parts.append({name: array[: part.stop - part.start] for name, array in results.items()})
        found = {name: np.concatenate([results[name] for results in parts]) for name in parts[0]}
        if not all(np.isfinite(array).all() for array in found.values()):
            raise RuntimeFailure(f"graph {graph} gives values that are not finite")
        return found
