"""Checks that a plugin's path is a Gaussian path: that its functions agree with one another, in float64."""

from __future__ import annotations

import numpy as np

from zoo.errors import PluginError
from zoo.paths.base import GaussianPath

_TIMES = 33


def checked(path: GaussianPath, what: str) -> GaussianPath:
    """Return ``path`` if λ falls, is that of α and σ, and is inverted by ``time_at``.

    Args:
        path: the path.
        what: its name in messages.

    Raises:
        PluginError: with the property that does not hold, or a function that fails.
    """
    try:
        wrong = _wrong(path)
    except Exception as error:
        raise PluginError(f"{what} cannot be evaluated: {type(error).__name__}: {error}") from error
    if wrong is not None:
        raise PluginError(f"{what} is not a Gaussian path: {wrong}", hint="See zoo.paths.GaussianPath.")
    return path


def _wrong(path: GaussianPath) -> str | None:
    t = np.linspace(path.t_min, 0.999 if path.zero_terminal_snr else 1.0, _TIMES)
    (alpha, sigma), log_snr = path.alpha_sigma(t), np.asarray(path.log_snr(t))
    for name, values in (("alpha", alpha), ("sigma", sigma), ("log_snr", log_snr)):
        if np.shape(values) != t.shape or np.asarray(values).dtype != np.float64 or not np.isfinite(values).all():
            return f"{name} must give finite numbers in float64, one for each t"
    if not ((alpha > 0) & (sigma > 0)).all():
        return "alpha and sigma must be above 0 between the ends"
    if not (np.diff(log_snr) < 0).all():
        return "log_snr must decrease in t"
    if not np.allclose(2.0 * np.log(alpha / sigma), log_snr, rtol=1e-6, atol=1e-6):
        return "log_snr must be ln(alpha²/sigma²)"
    if not np.allclose(path.time_at(log_snr), t, rtol=0.0, atol=1e-6):
        return "time_at must be the inverse of log_snr"
    if not np.isfinite(path.network_time(t)).all():
        return "network_time must be finite"
    return None if np.shape(path.log_snr(0.5)) == () else "functions of one t must give one number"
