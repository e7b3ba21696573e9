"""What a model's log-densities are worth: :data:`Density`, in models, programs, cards and metrics."""

from __future__ import annotations

from typing import Literal

#: ``exact``: the log-density of what is sampled. ``bound``: never more than it, but for the noise of an estimate.
#: ``estimate``: it with errors, which are told, as of an ODE. ``none``: the model only samples.
Density = Literal["exact", "bound", "estimate", "none"]

#: in a few words, for people
MEANINGS: dict[str, str] = {
    "exact": "exact",
    "bound": "a lower bound",
    "estimate": "an estimate, with its errors",
    "none": "none: it only samples",
}
