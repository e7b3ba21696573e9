"""The columns of a table brought to one scale: numbers of any distribution, and categories, to about normal ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ConfigError, DataError
from zoo.overriding import override
from zoo_flows.transforms.base import Transform

#: of the range of a column, the least width of a piece; narrower ones make densities that float32 cannot follow
_NARROWEST = 1e-4
#: of categories that are apart: the deviation of their centres, that of each in halves of their distance, and how many
#: of the latter are bent like a normal distribution; what is beyond lies between two categories
_SPREAD, _DEVIATION, _BENT = 3.0, 0.125, 3.0
#: pieces of each of them, unless there are very many
_FEWEST, _ENOUGH, _IN_ALL = 4, 8, 256


class Marginals(Transform):
    """Each column by a piecewise linear map of its own, under which training data are about standard normal.

    Between knots x₀ < … < x_K, fitted to the data, and z₀ < … < z_K the map is straight, and beyond them it goes on
    with the slope of a standardisation, however close together the last data are. For a column of numbers the knots are
    quantiles of the data, at whose ranks z has those of N(0, 1): the marginal Gaussianization of Chen & Gopinath 2000.
    For a column of categories 0 … k - 1, dequantised with uniform noise, they are the whole numbers and some in
    between, so that a category gets a part of the line that is as probable as it is frequent. What is left to learn is
    how columns go together. Until it is fitted it is the identity.

    Parts of the line that touch are right for a flow, whose base is normal. A diffusion draws what lies near their ends
    into the wrong one, however well it is trained: at its end it has to tell apart what differs by nothing. For it,
    categories can be ``apart``: each becomes a normal distribution around a centre of its own, whose deviation is a
    sixteenth of the distance of two centres. The centres lie evenly, with a deviation of 3 where that of numbers is 1,
    so that a category is settled at a noise level at which numbers are not yet, and these follow it. The map is as
    invertible as the other one: three in a thousand of the dequantised numbers are spread over the line in between.

    Args:
        size: number d of columns.
        knots: K, pieces of a column of numbers, from 2 up.
        categories: of each column the number of its categories, 0 for numbers; None for numbers alone.
        apart: whether categories have room between them.

    Attributes:
        sized_by_file: tells :func:`zoo.weights.load_into` that a file may hold other numbers of knots, as older
            ones do.
    """

    sized_by_file: ClassVar[bool] = True
    knots: Tensor
    heights: Tensor
    tails: Tensor

    def __init__(
        self, size: int, *, knots: int = 16, categories: Sequence[int] | None = None, apart: bool = False
    ) -> None:
        super().__init__()
        counts = [0] * size if categories is None else list(categories)
        if len(counts) != size or min(counts) < 0 or 1 in counts:
            raise ConfigError(
                f"categories needs a number for each of {size} columns, 0 for a column of numbers and 2 or "
                f"more for others, not {counts}"
            )
        if knots < 2:
            raise ConfigError(f"a column needs two pieces or more, not {knots}")
        self.categories = tuple(counts)
        self.pieces, self.apart = knots, apart
        most = max(knots, *(count * _pieces_apart(count, knots) if apart and count else count for count in counts))
        even = torch.linspace(-1.0, 1.0, most + 1).repeat(size, 1)
        self.register_buffer("knots", even)
        self.register_buffer("heights", even.clone())
        self.register_buffer("tails", torch.ones(size))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _through(x, self.knots, self.heights, self.tails)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _through(z, self.heights, self.knots, 1.0 / self.tails)

    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        """Put the knots where the data are.

        Raises:
            DataError: a column that never varies, or a category that there is not.
        """
        values = x.detach().cpu().double().numpy()
        for column, count in enumerate(self.categories):
            make = (_of_categories_apart if self.apart else _of_categories) if count else _of_numbers
            knots, heights = make(values[:, column], count, self.pieces, f"column {column}")
            fill = np.linspace(knots[-2], knots[-1], self.knots.shape[1] - len(knots) + 2)[1:-1]
            self._place(column, knots, heights, fill)
            # of a category that is the only one, nothing says how wide it is
            self.tails[column] = 1.0 / (float(values[:, column].std()) or 1.0)

    def _place(
        self, column: int, knots: NDArray[np.float64], heights: NDArray[np.float64], fill: NDArray[np.float64]
    ) -> None:
        """Store one column's knots, with more of them on the last piece where other columns have more."""
        more = np.sort(np.concatenate([knots, fill]))
        self.knots[column] = torch.from_numpy(more).to(self.knots)
        self.heights[column] = torch.from_numpy(np.interp(more, knots, heights)).to(self.heights)


def _through(x: Tensor, start: Tensor, end: Tensor, tails: Tensor) -> tuple[Tensor, Tensor]:
    """Along the straight pieces from ``start`` to ``end``, and with the slopes ``tails`` beyond them.

    Args:
        x: ``[n, d]``.
        start: ``[d, K + 1]``.
        end: ``[d, K + 1]``.
        tails: ``[d]``.

    Returns:
        where x goes ``[n, d]``, and the log-determinant ``[n]``.
    """
    widths = start.diff(dim=1)
    slopes = end.diff(dim=1) / widths
    column = x.unsqueeze(2)
    # what lies in each piece: no piece is looked for, so nothing depends on the data but numbers
    inside = torch.minimum((column - start[:, :-1]).clamp(min=0.0), widths)
    outside = (x - start[:, 0]).clamp(max=0.0) + (x - start[:, -1]).clamp(min=0.0)
    y = end[:, 0] + (inside * slopes).sum(2) + outside * tails
    log_slopes = torch.cat([tails[:, None], slopes, tails[:, None]], dim=1).log()
    passed = (column >= start).to(x.dtype)
    log_det = log_slopes[:, 0] + (passed * log_slopes.diff(dim=1)).sum(2)
    return y, log_det.sum(1)


def _of_numbers(
    x: NDArray[np.float64], _: int, pieces: int, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    span = float(np.ptp(x))
    if not span > 0:
        raise DataError(f"{where} has the same value throughout, {x[0]:g}", hint="Leave it out.")
    edge = float(_normal_quantiles(np.ones(1), len(x))[0])
    # evenly in z, so that the tails get pieces of their own
    heights = np.linspace(-edge, edge, max(1, min(pieces, len(x) // 4)) + 1)
    ranks = np.asarray(torch.special.ndtr(torch.from_numpy(heights)))
    ranks[[0, -1]] = 0.0, 1.0
    # quantiles that are one number get a piece between them all the same; the others stay where they are
    least = np.arange(len(ranks)) * span * _NARROWEST
    return np.maximum.accumulate(np.quantile(x, ranks) - least) + least, heights


def _of_categories(
    x: NDArray[np.float64], count: int, pieces: int, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    whole = _categories(x, count, where)
    # half a sample more of each, so that one that is not in the data has a place too (Krichevsky & Trofimov 1981)
    shares = np.bincount(whole, minlength=count) + 0.5
    ranks = np.concatenate([[0.0], np.cumsum(shares) / shares.sum()])
    ends = _normal_quantiles(ranks, len(x))
    # within a category, dequantised numbers are uniform: their ranks say where they are
    each = max(1, pieces // count)
    heights = np.interp(np.arange(count * each + 1) / each, np.arange(count + 1.0), ends)
    within = np.asarray(torch.special.ndtr(torch.from_numpy(heights)))
    within[[0, -1]] = 0.0, 1.0
    knots = np.interp(within, ranks, np.arange(count + 1.0))
    knots[::each] = np.arange(count + 1.0)
    return knots, heights


def _of_categories_apart(
    x: NDArray[np.float64], count: int, pieces: int, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _categories(x, count, where)
    distance = 2.0 * _SPREAD * math.sqrt(3.0 / (count**2 - 1))
    deviation = _DEVIATION * distance / 2
    bent = np.linspace(-_BENT, _BENT, _pieces_apart(count, pieces) - 1)
    # from the middle between two categories on
    places = np.concatenate([[-distance / 2], bent * deviation])
    ranks = np.concatenate([[0.0], np.asarray(torch.special.ndtr(torch.from_numpy(bent)))])
    centres = (np.arange(count) - (count - 1) / 2) * distance
    knots = (np.arange(count)[:, None] + ranks).ravel()
    heights = (centres[:, None] + places).ravel()
    return np.append(knots, float(count)), np.append(heights, centres[-1] + distance / 2)


def _pieces_apart(count: int, pieces: int) -> int:
    """Of each of so many categories."""
    return max(_FEWEST, min(_ENOUGH, _IN_ALL // count), pieces // count)


def _categories(x: NDArray[np.float64], count: int, where: str) -> NDArray[np.int64]:
    """Those of dequantised numbers.

    Raises:
        DataError: one that there is not.
    """
    whole = np.floor(x).astype(np.int64)
    if whole.min() < 0 or whole.max() >= count:
        raise DataError(f"{where} has {count} categories, 0 to {count - 1}, and values from {x.min():g} to {x.max():g}")
    return whole


def _normal_quantiles(ranks: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """Of N(0, 1); the ends, which are infinite, are where one of as many samples lies beyond with probability 1/4."""
    edge = 0.25 / samples
    inner = torch.from_numpy(ranks.clip(edge, 1.0 - edge))
    return cast(NDArray[np.float64], torch.special.ndtri(inner).numpy())
