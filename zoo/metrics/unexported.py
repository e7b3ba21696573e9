"""A model in PyTorch as an evaluation sees a bundle, so that nothing needs to be exported to be measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from zoo.arrays import Array
from zoo.bundle import Manifest
from zoo.conditions import ConditionLike
from zoo.counts import Progress, ticker
from zoo.errors import UsageError
from zoo.likelihood import LogDensity
from zoo.modality import modality_from
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.registry.cards import ModelCard
from zoo.runtime.data import events

#: data in one call of a model
_BATCH = 1000


class TorchModel:
    """What metrics call of a :class:`zoo.runtime.BundledModel`, computed by the PyTorch model itself.

    Noise and dequantisation are those of the bundle that an export would write, so the figures are too, up to rounding.

    Args:
        model: in evaluation mode.
        card: its card.

    Attributes:
        manifest: what a bundle's manifest would state, without graphs and files.
    """

    def __init__(self, model: GenerativeModel, card: ModelCard) -> None:
        programs, levels = model.programs(), card.data.get("levels")
        self.model, self.name = model, card.name
        self.event_shape, self.condition = tuple(model.event_shape), model.condition
        self.levels = levels if isinstance(levels, int) else None
        self.modality = modality_from(card.data.get("kind"))
        self.manifest = Manifest(
            model={"name": card.name, "architecture": card.architecture, "data": dict(card.data)},
            event_shape=self.event_shape,
            condition=self.condition,
            levels=self.levels,
            licenses={},
            graphs={},
            sample=programs.sample,
            log_prob=programs.log_prob,
            modality=self.modality,
            length=model.length,
        )

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        condition: ConditionLike = None,
        seed: int | None = None,
        steps: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """As :meth:`zoo.runtime.BundledModel.sample`, with the model's default sampler."""
        options: dict[str, Any] = {} if isinstance(self.model, DirectModel) else {"progress": progress}
        options |= {} if steps is None else {"steps": steps}
        drawn = self.model.sample(n, condition=condition, seed=seed, **options)
        return np.asarray(drawn.cpu().numpy(), np.float32)

    @torch.no_grad()
    def log_prob(
        self,
        x: ArrayLike,
        *,
        condition: ConditionLike = None,
        seed: int = 0,
        steps: int | None = None,
        probes: int | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """As :meth:`zoo.runtime.BundledModel.log_prob`."""
        if self.manifest.log_prob is None:
            raise UsageError(f"{self.name} has no density")
        values = events(x, self.event_shape, self.levels, seed=seed)
        if self.manifest.log_prob.estimates:
            options: dict[str, Any] = {"probes": probes, **({} if steps is None else {"steps": steps})}
            estimate = self.model.log_prob(self._tensor(values), condition=condition, seed=seed, **options)
            return np.asarray(estimate.double().cpu().numpy())
        parts = list(_batches(len(values), condition))
        tick, scores = ticker(progress, len(parts)), np.empty(len(values))
        for rows, part in parts:
            density = self.model.log_prob(self._tensor(values[rows]), condition=part)
            scores[rows] = density.double().cpu().numpy()
            tick()
        return scores

    def log_prob_with_errors(
        self,
        x: ArrayLike,
        *,
        condition: ConditionLike = None,
        seed: int = 0,
        steps: int | None = None,
        probes: int | None = None,
        progress: Progress | None = None,
    ) -> LogDensity:
        """As :meth:`zoo.runtime.BundledModel.log_prob_with_errors`."""
        values = self._tensor(events(x, self.event_shape, self.levels, seed=seed))
        options: dict[str, Any] = {} if steps is None else {"steps": steps}
        density: LogDensity = self._method("log_prob_with_errors")(
            values, condition=condition, probes=probes, seed=seed, **options
        )
        return density

    @torch.no_grad()
    def elbo(
        self,
        x: ArrayLike,
        *,
        condition: ConditionLike = None,
        seed: int = 0,
        steps: int = 1000,
        terms: int = 100,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """As :meth:`zoo.runtime.BundledModel.elbo`."""
        values = self._tensor(events(x, self.event_shape, self.levels, seed=seed))
        bound = self._method("elbo")(values, condition=condition, seed=seed, steps=steps, terms=terms)
        return np.asarray(bound.double().cpu().numpy())

    def _method(self, name: str) -> Any:
        """A method that diffusions have beyond the interface of all models."""
        method = getattr(self.model, name, None)
        if method is None:
            raise UsageError(f"{self.name} has no {name}", hint="Export it, and measure the bundle.")
        return method

    def _tensor(self, values: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.model.device, self.model.dtype)


def _batches(n: int, condition: ConditionLike) -> Iterator[tuple[slice, Any]]:
    for start in range(0, n, _BATCH):
        rows = slice(start, min(start + _BATCH, n))
        yield rows, _part(condition, rows, n)


def _part(condition: ConditionLike, rows: slice, n: int) -> Any:
    """The conditions of some rows; one condition for all stays as it is."""
    if isinstance(condition, Mapping):
        return {name: _part(part, rows, n) for name, part in condition.items()}
    each: Array | list[Any] | Any = condition
    return each[rows] if isinstance(each, (np.ndarray, list)) and len(each) == n else each
