"""One spline for each component, the same for every sample: it models the marginal distributions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms import rational_quadratic
from zoo_flows.transforms.base import Transform


class ElementwiseSpline(Transform):
    """A rational-quadratic spline a component, without a network.

    As a flow's first layer it makes the marginals about normal, which leaves the coupling layers the dependences
    (Durkan et al. 2019, section 3.2, transform the first part of a coupling so).

    Args:
        size: length d of the vector.
        bins: of each spline.
        bound: the splines act on [-bound, bound].
        channels: into which the vector divides, each of which has one spline; None for one each component.
    """

    def __init__(self, size: int, *, bins: int = 8, bound: float = 3.0, channels: int | None = None) -> None:
        super().__init__()
        self.bins, self.bound = bins, bound
        splines = size if channels is None else channels
        self.repeats = size // splines
        self.parameters_of_splines = nn.Parameter(torch.zeros(splines, rational_quadratic.parameter_count(bins)))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = rational_quadratic.spline(x, self._knots(), bound=self.bound)
        return z, log_slope.sum(1)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_slope = rational_quadratic.inverse_spline(z, self._knots(), bound=self.bound)
        return x, log_slope.sum(1)

    def _knots(self) -> rational_quadratic.Knots:
        parameters = self.parameters_of_splines.T.unsqueeze(1)  # the same for all rows
        if self.repeats > 1:
            parameters = parameters.repeat_interleave(self.repeats, dim=2)
        return rational_quadratic.knots(parameters, bins=self.bins, bound=self.bound)
