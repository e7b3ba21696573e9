"""What a diffusion's config may say: checks of its numbers, and defaults of sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

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
    likelihood: bool,
) -> None:
    """Refuse settings that no diffusion can have; arguments are those of :class:`~zoo_diffusion.diffusion.Diffusion`.

    Raises:
        ConfigError: unknown, or out of range.
    """
    if variance not in VARIANCES:
        raise ConfigError(f"variance must be one of {', '.join(VARIANCES)}, not {variance!r}")
    if not isinstance(likelihood, bool):
        raise ConfigError(f"likelihood must be true or false, not {likelihood!r}")
    if not scale > 0:
        raise ConfigError(f"scale must be above 0, not {scale}")
    if not data_std > 0:
        raise ConfigError(f"data_std must be above 0, not {data_std}")
    if (data_min is None) != (data_max is None):
        raise ConfigError("data_min and data_max must be given together")
    if clip_denoised is not False and not clip_denoised > 0:
        raise ConfigError(f"clip_denoised must be true, false or a bound above 0, not {clip_denoised}")


def checked_parts(network: object, event_shape: Sequence[int]) -> tuple[int, ...]:
    """The event's shape as a tuple, if a diffusion can be made of the two.

    Raises:
        ConfigError: the network is not a module, or the shape is invalid.
    """
    if not isinstance(network, nn.Module):
        raise ConfigError(f"the network must be a torch.nn.Module, not {type(network).__name__}")
    shape = tuple(event_shape)
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape):
        raise ConfigError(f"an event's shape must consist of whole numbers above 0, not {shape}")
    return shape


def output_shape(state_shape: tuple[int, ...], learned_variance: bool) -> tuple[int, ...]:
    """The shape of a network's output for one sample: a learned variance takes twice the channels."""
    return (state_shape[0] * 2, *state_shape[1:]) if learned_variance else state_shape


def check_output(output: object, state_shape: tuple[int, ...], *, learned_variance: bool) -> None:
    """Refuse an output that a network may not return: anything but a tensor with one prediction for each number of
    a state.

    Raises:
        ConfigError: with both shapes.
    """
    if not isinstance(output, Tensor):
        raise ConfigError(f"the network returned {type(output).__name__}, not a tensor")
    wanted = output_shape(state_shape, learned_variance)
    if tuple(output.shape[1:]) != wanted or output.ndim != len(wanted) + 1:
        shown = ", ".join(map(str, output.shape[1:]))
        raise ConfigError(
            f"the network returned a tensor [n, {shown}], expected [n, {', '.join(map(str, wanted))}]",
            hint="A learned variance takes twice the channels." if learned_variance else None,
        )


def sampling_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Checked defaults of ``sampler``, ``steps``, ``guidance`` and the sampler's ``options``.

    Raises:
        ConfigError: anything else.
    """
    if unknown := settings.keys() - {"sampler", "steps", "guidance", "options"}:
        raise ConfigError(f"sampling takes sampler, steps, guidance and options, not {', '.join(sorted(unknown))}")
    defaults = {"sampler": "ddim", "steps": 50, "guidance": 1.0, **settings}
    return {**defaults, "guidance": float(defaults["guidance"])}
