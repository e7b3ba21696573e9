"""Architecture ``mlp``: a diffusion over vectors with the network of :mod:`zoo_diffusion.networks.mlp`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.models.encoding import CONCATENATION, EMBEDDING
from zoo_diffusion.columns import Columns
from zoo_diffusion.conditioning import conditioned_network
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.mlp import ResidualMLP
from zoo_diffusion.spatial import network_arguments


class MLPDiffusion(Diffusion):
    """A Gaussian diffusion, or rectified flow, over vectors.

    Its arguments are those of the network, those here, and those of :class:`~zoo_diffusion.diffusion.Diffusion`. The
    network has no outputs for a variance that is learned.

    Args:
        network: arguments of :class:`~zoo_diffusion.networks.mlp.ResidualMLP`.
        event_shape: shape of one sample, which the network sees flattened.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        conditioning: how each named part of it goes in, see :mod:`zoo.models.encoding`; or None.
        marginals: for rows of tables: ``knots`` and ``categories`` of
            :class:`~zoo_flows.transforms.marginals.Marginals`, which brings the columns to one scale; or None.
        bounds: lowest and highest value by the place of a column, ``{"1": [0.0, 3.0]}``: no sample lies outside, see
            :class:`~zoo_flows.transforms.bounded.Bounded`; all columns then pass ``marginals``. None for none.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    @network_arguments(ResidualMLP)
    def __init__(
        self,
        network: Mapping[str, Any],
        *,
        event_shape: Sequence[int],
        condition: Mapping[str, object] | None = None,
        conditioning: Mapping[str, object] | None = None,
        marginals: Mapping[str, Any] | None = None,
        bounds: Mapping[str, Sequence[float]] | None = None,
        **diffusion: Any,
    ) -> None:
        if not event_shape or min(event_shape) < 1:
            raise ConfigError(
                f"an event of vectors must have the shape [size], with one number or more, not {tuple(event_shape)}"
            )
        if diffusion.get("variance") == "learned-range":
            raise ConfigError("the network of vectors has no outputs for a variance: leave variance at 'fixed'")
        described = None if condition is None else Condition.from_description(condition)
        make = partial(ResidualMLP, math.prod(event_shape), **network)
        built, encoder = conditioned_network(make, described, conditioning, (EMBEDDING, CONCATENATION))
        tabular = marginals is not None or bool(bounds)
        if tabular and len(event_shape) != 1:
            what = "bounds" if bounds else "marginals"
            raise ConfigError(f"{what} are for rows of a table, and {tuple(event_shape)} is not the shape of one")
        codec = Columns(event_shape[0], marginals or {}, bounds) if tabular else None
        super().__init__(built, tuple(event_shape), condition=described, encoder=encoder, codec=codec, **diffusion)
