"""Codec for diffusions of tables: each column is mapped to an approximately standard normal distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from zoo.overriding import override
from zoo_diffusion.codec import LatentCodec
from zoo_flows import config
from zoo_flows.transforms import Marginals


class Columns(LatentCodec):
    """Rows of a table through :class:`~zoo_flows.transforms.marginals.Marginals`, the same map that flows use.

    Diffusions of tables bring numbers to normal ranks for the same reason (Kotelnikov et al. 2023, arXiv:2209.15421,
    section 3), and diffuse categories by another process; here a category is an interval of the line, so
    that one process diffuses all columns, with one density.

    Args:
        size: number of columns.
        marginals: ``knots`` and ``categories`` of the map.
    """

    reversible: ClassVar[bool] = True

    def __init__(self, size: int, marginals: Mapping[str, object]) -> None:
        super().__init__()
        self.latent_shape = (size,)
        self.map: Marginals = config.columns(size, marginals)

    @override
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.map(x)  # type: ignore[no-any-return]

    @override
    def decode(self, latent: Tensor) -> Tensor:
        return self.map.data(latent)

    @override
    def prepare(self, x: Tensor) -> None:
        self.map.prepare(x)
