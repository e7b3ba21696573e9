"""The bounds of a prior, as its support states them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from zoo.errors import ExportError


def bounds_of(prior: Any, size: int) -> tuple[Tensor, Tensor]:
    """The smallest and the largest of each number that a prior admits, ``[size]`` each; infinite where there is none.

    Raises:
        ExportError: its support is not a box.
    """
    try:
        low, high = _box(prior.support)
    except (AttributeError, NotImplementedError) as error:
        raise ExportError(
            f"the prior {type(prior).__name__} does not say its support, within which samples are to stay",
            hint="Wrap the estimator instead: zoo.wrap(posterior.posterior_estimator), whose samples may leave it.",
        ) from error
    return low.reshape(-1).expand(size).clone(), high.reshape(-1).expand(size).clone()


def _box(support: Any) -> tuple[Tensor, Tensor]:
    """Bounds of a constraint of torch."""
    low, high = torch.tensor([-math.inf]), torch.tensor([math.inf])
    if isinstance(support, constraints.independent):
        return _box(support.base_constraint)
    if isinstance(support, constraints.cat):
        each = [_box(part) for part in support.cseq]
        lengths = support.lengths
        return (
            torch.cat([side.reshape(-1).expand(n) for (side, _), n in zip(each, lengths, strict=True)]),
            torch.cat([side.reshape(-1).expand(n) for (_, side), n in zip(each, lengths, strict=True)]),
        )
    kind = type(support).__name__.strip("_").lower()
    if kind in ("real", "realvector", "independentconstraint"):
        return low, high
    lower, upper = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if (lower is None and upper is None) or kind.startswith("integer"):
        raise ExportError(
            f"the support {support!r} of the prior is not a box, which is what samples can be kept within",
            hint="Wrap the estimator instead: zoo.wrap(posterior.posterior_estimator), whose samples may leave it.",
        )
    low = low if lower is None else torch.as_tensor(lower, dtype=torch.float32).detach().cpu()
    high = high if upper is None else torch.as_tensor(upper, dtype=torch.float32).detach().cpu()
    return low, high
