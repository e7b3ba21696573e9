"""Held-out log-likelihood of models that score in one call."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from zoo.data import Dataset, fitted
from zoo.models.interface import GenerativeModel

_BATCH = 1000
_DEQUANTISATIONS = 5


@torch.no_grad()
def held_out_density(model: GenerativeModel, data: Dataset, *, seed: int = 0) -> dict[str, Any]:
    """Negative log-likelihood of the test split, in nats, and for discrete data in bits per dimension.

    Discrete and rounded data are dequantised five times with uniform noise and averaged, which gives an upper bound
    of the negative log-likelihood of the numbers themselves (Theis et al. 2016, eq. 6). If a model learned its
    dequantisation noise, that noise is used instead, and the metric says so.

    Of a model whose density is a bound, the names begin with ``test_bound``, and what they hold bounds the negative
    log-likelihood from above.

    Returns:
        metrics by name, as stored in a card: ``test_nll`` (nats per sample, with its standard error), for discrete
        data ``test_bits_per_dim``, and for an unconditional model of data with known entropy ``test_gap``, the NLL
        minus the entropy.
    """
    from zoo.training.loop import batch, step_seed

    model.eval()
    data = fitted(data, model.event_shape, model.length)
    split = data.test
    repeats = 1 if data.widths is None else _DEQUANTISATIONS
    score = model.elbo if data.levels and model.learns_noise else model.log_prob
    values = np.zeros((repeats, len(split)))
    for r in range(repeats):
        with step_seed(seed, r):
            for start in range(0, len(split), _BATCH):
                indices = np.arange(start, min(start + _BATCH, len(split)))
                x, condition = batch(data, split, indices, model)
                values[r, indices] = -score(x, condition=condition).double().cpu().numpy()
    per_sample = values.mean(0)
    nll, error = float(per_sample.mean()), float(per_sample.std() / math.sqrt(len(split)))
    prefix = "test" if model.density == "exact" else "test_bound"
    measured = {"value": round(nll, 4), "standard_error": round(error, 4), "unit": "nats", "samples": len(split)}
    metrics: dict[str, Any] = {f"{prefix}_nll": measured}
    if data.levels:
        dims, unit = float(math.prod(model.event_shape)), "dim"
        if model.length is not None:
            dims, unit = float(model.length.counted(split.x).mean()), "symbol"
        scale = 1.0 / (dims * math.log(2))
        metrics[f"{prefix}_bits_per_{unit}"] = {
            "value": round(nll * scale, 4),
            "standard_error": round(error * scale, 4),
            "unit": f"bits/{unit}",
            "dequantisations": repeats,
            "samples": len(split),
        }
        if model.learns_noise:
            metrics[f"{prefix}_bits_per_{unit}"]["noise"] = "learned"
    if data.entropy is not None and model.condition is None and model.density == "exact":
        metrics["test_gap"] = {
            "value": round(nll - data.entropy, 4),
            "unit": "nats",
            "of": f"test_nll minus the entropy of the data, {data.entropy:.4f}",
        }
    if model.condition is not None:
        for metric in metrics.values():
            metric["of"] = f"the density given {model.condition.told} of each sample"
    return metrics
