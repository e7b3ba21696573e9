"""What a diffusion's config may say: checks of its numbers, and defaults of sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import ConfigError

VARIANCES = ("fixed", "learned-range")


def check_settings(
    *,
    scale: float,
    data_min: float | None,
    data_max: float | None,
    clip_denoised: bool | float,
    data_std: float,
    variance: str,
) -> None:
    """Refuse what no diffusion can be built with; arguments are those of :class:`~zoo_diffusion.diffusion.Diffusion`.

    Raises:
        ConfigError: unknown, or out of range.
    """
    if variance not in VARIANCES:
        raise ConfigError(f"variance is one of {', '.join(VARIANCES)}, not {variance!r}")
    if not scale > 0:
        raise ConfigError(f"scale must be above 0, not {scale}")
    if not data_std > 0:
        raise ConfigError(f"data_std must be above 0, not {data_std}")
    if (data_min is None) != (data_max is None):
        raise ConfigError("data_min and data_max come together")
    if clip_denoised is not False and not clip_denoised > 0:
        raise ConfigError(f"clip_denoised is true, false or a bound above 0, not {clip_denoised}")


def sampling_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Checked defaults of ``sampler``, ``steps``, ``guidance`` and the sampler's ``options``.

    Raises:
        ConfigError: anything else.
    """
    if unknown := settings.keys() - {"sampler", "steps", "guidance", "options"}:
        raise ConfigError(f"sampling takes sampler, steps, guidance and options, not {', '.join(sorted(unknown))}")
    defaults = {"sampler": "ddim", "steps": 50, "guidance": 1.0, **settings}
    return {**defaults, "guidance": float(defaults["guidance"])}
