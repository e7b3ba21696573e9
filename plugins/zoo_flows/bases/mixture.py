"""A mixture of normals, for data of separate clusters, which a continuous map of a single normal would connect by
thin bridges."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_flows.bases.base import Base, standard_log_prob, uniform

#: log of the largest deviation; the least is its inverse
_LOG_LIMIT = math.log(1e3)


class Mixture(Base):
    """Σₖ wₖ·N(meanₖ, diag(deviationₖ²)), all learned. One more standard normal than components of z chooses k.

    Args:
        size: length d of z.
        components: K, 1 or more; their means begin at random.
    """

    def __init__(self, size: int, *, components: int) -> None:
        super().__init__()
        if components < 1:
            raise ConfigError(f"a mixture has 1 component or more, not {components}")
        self.size, self.noise_size = size, size + 1
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, size))
        self.log_deviations = nn.Parameter(torch.zeros(components, size))

    @override
    def from_noise(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        choice, normal = torch.split(noise, [1, self.size], dim=1)
        ends = torch.cumsum(torch.softmax(self.logits, 0), 0)[:-1]
        beyond = (uniform(choice) >= ends).to(noise.dtype)
        # 1 up to the chosen component, 0 after it
        chosen = F.pad(beyond, (1, 0), value=1.0) - F.pad(beyond, (0, 1), value=0.0)
        return chosen @ self.means + normal * (chosen @ self._log_deviations().exp())

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        log_deviations = self._log_deviations()
        normal = (z.unsqueeze(1) - self.means) * (-log_deviations).exp()
        each = standard_log_prob(normal) - log_deviations.sum(1) + torch.log_softmax(self.logits, 0)
        return torch.logsumexp(each, dim=1)

    def _log_deviations(self) -> Tensor:
        return self.log_deviations / (1.0 + self.log_deviations.abs() / _LOG_LIMIT)
