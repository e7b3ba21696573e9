"""Codec for diffusions of tables: columns of numbers become about standard normal, categories have room in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from zoo.overriding import override
from zoo_diffusion.codec import LatentCodec
from zoo_flows import config
from zoo_flows.transforms import Bounded, Marginals


class Columns(LatentCodec):
    """Rows of a table through :class:`~zoo_flows.transforms.marginals.Marginals`, the map that flows use too.

    Diffusions of tables bring numbers to normal ranks for the same reason (Kotelnikov et al. 2023, arXiv:2209.15421,
    section 3), and diffuse categories by another process; here a category is an interval of the line, so
    that one process diffuses all columns, with one density. Unlike those of flows, categories are ``apart``.

    Args:
        size: number of columns.
        marginals: ``knots`` and ``categories`` of the map.
        bounds: low and high by the place of a column, which pass a logit first; None for none.
    """

    reversible: ClassVar[bool] = True

    def __init__(
        self, size: int, marginals: Mapping[str, object], bounds: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        super().__init__()
        self.latent_shape = (size,)
        self.map: Marginals = config.columns(size, marginals, apart=True)
        self.bounded = Bounded(size, bounds) if bounds else None

    @override
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.bounded is None:
            return self.map(x)  # type: ignore[no-any-return]
        y, log_det = self.bounded(x)
        z, more = self.map(y)
        return z, log_det + more

    @override
    def decode(self, latent: Tensor) -> Tensor:
        y = self.map.data(latent)
        return y if self.bounded is None else self.bounded.data(y)

    @override
    def prepare(self, x: Tensor) -> None:
        if self.bounded is not None:
            self.bounded.prepare(x)
            x, _ = self.bounded(x)
        self.map.prepare(x)
