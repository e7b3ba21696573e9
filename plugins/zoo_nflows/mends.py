"""What of nflows' code is mended while it is traced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from nflows.transforms import autoregressive, coupling, nonlinearities, splines
from nflows.transforms.linear import Linear
from nflows.transforms.splines import cubic, linear, quadratic, rational_quadratic
from nflows.utils import torchutils
from torch import Tensor, nn

from zoo.models.mending import Change, plain, replaced
from zoo_nflows import shared

_SPLINES = {
    "linear_spline": linear,
    "quadratic_spline": quadratic,
    "cubic_spline": cubic,
    "rational_quadratic_spline": rational_quadratic,
}


def uncached(module: nn.Module) -> AbstractContextManager[object]:
    """A block without the caches of a module's layers, which would outlive its weights and are of float32 alone."""
    return replaced(*((part, "using_cache", False) for part in module.modules() if isinstance(part, Linear)))


def mended() -> AbstractContextManager[object]:
    """A block in which nflows' transforms can be traced."""
    changes: list[Change] = [
        (torch, "sigmoid", shared.sigmoid),
        (autoregressive.AutoregressiveTransform, "inverse", shared.in_passes),
        (coupling.CouplingTransform, "forward", shared.coupling_forward),
        (coupling.CouplingTransform, "inverse", shared.coupling_inverse),
    ]
    changes.append((torchutils, "searchsorted", plain(torchutils.searchsorted)))
    # these divide in place
    for cls in vars(autoregressive).values():
        if isinstance(cls, type) and cls.__name__.startswith("MaskedPiecewise") and "_elementwise" in vars(cls):
            changes.append((cls, "_elementwise", plain(vars(cls)["_elementwise"])))
    for cls in vars(coupling).values():
        if isinstance(cls, type) and cls.__name__.startswith("Piecewise") and "_piecewise_cdf" in vars(cls):
            changes.append((cls, "_piecewise_cdf", plain(vars(cls)["_piecewise_cdf"])))
    for name, module in _SPLINES.items():
        spline = plain(getattr(module, name))
        whole = _with_tails(name, spline)
        for place in (module, splines, autoregressive, coupling, nonlinearities):
            # where the library imports them by name
            for of, value in ((name, spline), (f"unconstrained_{name}", whole)):
                if of in vars(place):
                    changes.append((place, of, value))
    return replaced(*changes)


def _with_tails(name: str, spline: Callable[..., Any]) -> Callable[..., Any]:
    """``unconstrained_…``: the spline of inputs clamped to its interval, chosen where they lie in it."""

    def unconstrained(inputs: Tensor, *, tails: str = "linear", tail_bound: float = 1.0, **others: Any) -> Any:
        if tails != "linear":
            raise RuntimeError(f"{tails} tails are not implemented.")
        if name == "rational_quadratic_spline":
            return shared.rational_quadratic(inputs, others, tail_bound)
        return shared.on_interval(spline, inputs, tail_bound, others)

    return unconstrained
