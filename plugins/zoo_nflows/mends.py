"""What of nflows' code is mended while it is traced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from nflows.transforms import autoregressive, coupling, nonlinearities, splines
from nflows.transforms.splines import cubic, linear, quadratic, rational_quadratic
from torch import Tensor
from torch.nn import functional as F

from zoo.models import nflows_code
from zoo.models.mending import Change, replaced, without_checks

_SPLINES = {
    "linear_spline": linear,
    "quadratic_spline": quadratic,
    "cubic_spline": cubic,
    "rational_quadratic_spline": rational_quadratic,
}


def mended() -> AbstractContextManager[object]:
    """A block in which nflows' transforms can be traced."""
    changes: list[Change] = [
        (autoregressive.AutoregressiveTransform, "inverse", nflows_code.in_passes),
        (coupling.CouplingTransform, "forward", nflows_code.coupling_forward),
        (coupling.CouplingTransform, "inverse", nflows_code.coupling_inverse),
    ]
    for name, module in _SPLINES.items():
        plain = without_checks(getattr(module, name))
        whole = _with_tails(name, plain)
        for place in (module, splines, autoregressive, coupling, nonlinearities):
            # where the library imports them by name
            for of, value in ((name, plain), (f"unconstrained_{name}", whole)):
                if of in vars(place):
                    changes.append((place, of, value))
    return replaced(*changes)


def _with_tails(name: str, spline: Callable[..., Any]) -> Callable[..., Any]:
    """``unconstrained_…``: the spline of inputs clamped to its interval, chosen where they lie in it."""

    def unconstrained(inputs: Tensor, *, tails: str = "linear", tail_bound: float = 1.0, **others: Any) -> Any:
        if tails != "linear":
            raise RuntimeError(f"{tails} tails are not implemented.")
        if name == "rational_quadratic_spline":
            least = others.get("min_derivative", rational_quadratic.DEFAULT_MIN_DERIVATIVE)
            edge = float(np.log(np.exp(1 - least) - 1))
            others["unnormalized_derivatives"] = F.pad(others["unnormalized_derivatives"], (1, 1), value=edge)
        return nflows_code.on_interval(spline, inputs, tail_bound, others)

    return unconstrained
