"""Architecture ``mlp``: a diffusion over vectors with the network of :mod:`zoo_diffusion.networks.mlp`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.columns import Columns
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.mlp import ResidualMLP


class MLPDiffusion(Diffusion):
    """A Gaussian diffusion, or rectified flow, over vectors.

    Args:
        event_shape: shape of one sample, which the network sees flattened.
        hidden: width of the network's blocks.
        blocks: how many.
        dropout: inside blocks.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        marginals: for rows of tables: ``knots`` and ``categories`` of
            :class:`~zoo_flows.transforms.marginals.Marginals`, which brings the columns to one scale; or None.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        hidden: int = 128,
        blocks: int = 4,
        dropout: float = 0.0,
        condition: Mapping[str, Any] | None = None,
        marginals: Mapping[str, Any] | None = None,
        **diffusion: Any,
    ) -> None:
        if not event_shape or min(event_shape) < 1:
            raise ConfigError(f"a vector's event has one number or more, not the shape {tuple(event_shape)}")
        if hidden < 2 or hidden % 2 or blocks < 1:
            raise ConfigError(f"the network has one block or more, of even width, not {blocks} of width {hidden}")
        described = None if condition is None else Condition.from_description(condition)
        network = ResidualMLP(
            math.prod(event_shape),
            hidden=hidden,
            blocks=blocks,
            dropout=dropout,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            vector=described.size if described and described.kind == "vector" else None,
        )
        if marginals is not None and len(event_shape) != 1:
            raise ConfigError(f"marginals are of rows of a table, and {tuple(event_shape)} is not the shape of one")
        coding = None if marginals is None else Columns(event_shape[0], marginals)
        super().__init__(network, tuple(event_shape), condition=described, coding=coding, **diffusion)
