"""What a model's log-densities are worth: :data:`Density`, in models, programs, cards and metrics."""

from __future__ import annotations

from typing import Literal

from zoo.errors import UsageError

#: ``exact``: the log-density of what is sampled. ``bound``: at most that, up to the noise of an estimate.
#: ``estimate``: an estimate of it, with its errors, as by an ODE. ``ratio``: the logarithm of its ratio to another
#: density, such as a prior, up to a constant for each condition: no likelihood. ``none``: the model only samples.
Density = Literal["exact", "bound", "estimate", "ratio", "none"]

#: in a few words, for people
MEANINGS: dict[str, str] = {
    "exact": "exact",
    "bound": "a lower bound",
    "estimate": "an estimate, with its errors",
    "ratio": "a log-ratio to another density, up to a constant",
    "none": "none: it only samples",
}


def is_likelihood(density: Density) -> bool:
    """Whether the mean of log-densities says how well a model fits data: not of ratios, nor of none."""
    return density not in ("ratio", "none")


def cannot_sample(name: str) -> UsageError:
    """The error of sampling from a model that only scores."""
    return UsageError(f"{name} only scores data: it cannot sample", hint="Score data with it: zoo run --log-prob FILE.")


def cannot_score(name: str) -> UsageError:
    """The error of scoring with a model that has no density."""
    return UsageError(f"{name} only samples: it has no log-density, and cannot score data")
