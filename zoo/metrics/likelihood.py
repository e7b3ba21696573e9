"""Held-out likelihood of a bundle, and for a diffusion its variational bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset
from zoo.density import is_likelihood
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.runtime import BundledModel

if TYPE_CHECKING:
    from zoo.metrics.unexported import TorchModel


def likelihood(evaluation: Evaluation) -> Metrics:
    """``test_nll``, and ``test_bits_per_dim`` of discrete data, with the errors of a diffusion's ODE.

    ``test_gap`` too, if the entropy of the data is known and the model is unconditional. For models whose densities are
    bounds, ``test_bound_nll`` and ``test_bound_bits_per_dim``. Empty for models without a likelihood.
    """
    model, data = evaluation.model, evaluation.data
    if not is_likelihood(model.manifest.density):
        return {}
    density = evaluation.density
    if not evaluation.integrates:
        name = "test" if model.manifest.density == "exact" else "test_bound"
        return _in_units(model, data, -density.value, name, {})
    said: dict[str, object] = {"numerical_error": float(density.numerical_error.mean())}
    if not np.isnan(density.standard_error).any():
        said["probes_standard_error"] = float(np.sqrt((density.standard_error**2).sum()) / len(density.value))
    return _in_units(model, data, -density.value, "test", {"by": "the probability-flow ODE", **said})


def variational_bound(evaluation: Evaluation) -> Metrics:
    """``test_bound_nll``, also in bits/dim: an upper bound of a diffusion's negative log-likelihood.

    See :mod:`zoo.likelihood.bound`.
    Empty for models that do not score by an ODE, which have no chain.
    """
    if not evaluation.integrates:
        return {}
    x, condition = evaluation.tested()
    steps, terms = evaluation.chain, min(evaluation.terms, evaluation.chain)
    loss = -evaluation.model.elbo(
        x, condition=condition, seed=evaluation.seed, steps=steps, terms=terms, progress=evaluation.progress
    )
    said = {"by": f"the variational bound of {steps} steps, {terms} terms"}
    return _in_units(evaluation.model, evaluation.data, loss, "test_bound", said)


def _in_units(
    model: BundledModel | TorchModel, data: Dataset, loss: NDArray[np.float64], name: str, said: Mapping[str, object]
) -> Metrics:
    """Metrics from negative log-likelihoods of samples."""
    details = {} if model.condition is None else {"of": f"the density given {model.condition.told} of each sample"}

    def metric(scale: float, unit: str) -> dict[str, object]:
        told = {key: round(value * scale, 4) if isinstance(value, float) else value for key, value in said.items()}
        error = float(loss.std()) * scale / math.sqrt(len(loss))
        return {
            "value": round(float(loss.mean()) * scale, 4),
            "standard_error": round(error, 4),
            "unit": unit,
            "samples": len(loss),
            **told,
            **details,
        }

    metrics = {f"{name}_nll": metric(1.0, "nats")}
    length = model.manifest.length
    if data.levels and length is None:
        metrics[f"{name}_bits_per_dim"] = metric(1.0 / (math.prod(model.event_shape) * math.log(2)), "bits/dim")
    elif data.levels and length is not None:
        # texts of variable length, including their ends
        each = float(length.counted(data.test.x[: len(loss)]).mean())
        metrics[f"{name}_bits_per_symbol"] = metric(1.0 / (each * math.log(2)), "bits/symbol")
    if data.entropy is not None and model.condition is None and name == "test":
        metrics["test_gap"] = {
            "value": round(float(loss.mean()) - data.entropy, 4),
            "unit": "nats",
            "of": f"test_nll minus the entropy of the data, {data.entropy:.4f}",
        }
    return metrics
