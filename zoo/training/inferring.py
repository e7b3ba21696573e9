"""The part of a model's config that its data determine: event shape, condition, levels, scales, domains of columns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.conditions import Condition
from zoo.data import Dataset
from zoo.errors import ConfigError
from zoo.modality import Audio, Table
from zoo.models.building import keywords
from zoo.registry import Registry

#: samples that means and deviations are estimated from
_LOOKED_AT = 10_000


def inferred(
    architecture: str, data: Dataset, config: Mapping[str, object], registry: Registry
) -> tuple[dict[str, object], list[str]]:
    """Complete a config with what the data determine and it does not state.

    Args:
        architecture: its name.
        data: the data.
        config: the stated settings, which take precedence.
        registry: where the architecture is looked up.

    Returns:
        the complete config, and the names of the inferred settings.

    Raises:
        ConfigError: the architecture does not support the bounded or circular columns, or the conditions, of the data.
    """
    described = registry.architecture(architecture)
    cls = registry.load_entry(described)
    accepted = keywords(cls) if inspect.isclass(cls) else None
    if accepted is None:
        accepted = {"event_shape": None, "condition": None}
    _check_domains(architecture, data, accepted, config)
    determined: dict[str, Any] = {"event_shape": list(data.event_shape)}
    if (condition := _condition(data, optional=getattr(cls, "drops_conditions", False))) is not None:
        if "condition" not in accepted:
            raise ConfigError(f"the architecture {architecture!r} takes no condition, and the data have one")
        determined["condition"] = condition.describe()
    determined |= {name: data.extra[name] for name in ("bounds", "circular") if name in data.extra}
    if data.levels is not None:
        determined["levels"] = data.levels
    determined |= _marginals(data, always=getattr(cls, "maps_columns", False))
    if "marginals" not in accepted or "marginals" not in determined:
        determined |= _units(data)
    chosen = {name: value for name, value in determined.items() if name in accepted and name not in config}
    return {**chosen, **config}, list(chosen)


def _condition(data: Dataset, *, optional: bool) -> Condition | None:
    """What the samples are conditioned on; classes may be left out where training drops them, as guidance needs."""
    described = data.extra.get("condition")
    if isinstance(described, Mapping):
        condition = Condition.from_description(described)
    elif data.labels and isinstance(data.train.condition, np.ndarray) and data.train.condition.ndim == 1:
        condition = Condition.classes(len(data.labels), data.labels)
    else:
        return None
    if condition.kind == "classes" and optional:
        return Condition.classes(condition.size, condition.labels, required=False)
    return condition


def _marginals(data: Dataset, *, always: bool) -> dict[str, Any]:
    """Maps of columns to approximately normal ones: categories need them, and some models take them for all columns."""
    if data.levels is not None or len(data.event_shape) != 1 or isinstance(data.modality, Audio):
        return {}
    counts = [0] * data.event_shape[0]
    if isinstance(data.modality, Table):
        counts = [len(column.values) for column in data.modality.columns]
    if not any(counts):
        return {"marginals": {"knots": 16}} if always else {}
    return {"marginals": {"knots": 16, "categories": counts}}


def _units(data: Dataset) -> dict[str, Any]:
    """The units that a diffusion's network sees: discrete data scaled by their range, all else by its deviation."""
    if data.levels is not None:
        half = data.levels / 2
        return {"shift": half, "scale": half, "data_min": 0.0, "data_max": float(data.levels)}
    places = np.random.default_rng(0).permutation(len(data.train))[:_LOOKED_AT]
    x = np.asarray(data.train.x[np.sort(places)], np.float64)
    scale = float(np.float32(x.std())) or 1.0
    if isinstance(data.modality, Audio):
        return {"scale": scale, "data_min": -1.0, "data_max": 1.0}
    return {"shift": float(np.float32(x.mean())), "scale": scale}


def _check_domains(
    architecture: str, data: Dataset, accepted: Mapping[str, object], config: Mapping[str, object]
) -> None:
    """Refuse bounded or circular columns without a transform, and a circular architecture without such columns."""
    for what in ("bounds", "circular"):
        if what in data.extra and what not in accepted:
            others = "nsf-circular" if what == "circular" else "flows over vectors, such as nsf-coupling, and mlp"
            kind = "circular" if what == "circular" else "bounded"
            raise ConfigError(
                f"the architecture {architecture!r} has no transforms of {kind} columns", hint=f"Use {others}."
            )
    if "circular" in accepted and "circular" not in data.extra and not config.keys() & {"circular", "low", "period"}:
        raise ConfigError(
            f"the architecture {architecture!r} is for circular columns, and no column is stated to be circular",
            hint="Name them, such as --circular phi, or phi=0:360 for another period than 2π.",
        )
