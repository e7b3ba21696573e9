"""Noise and data of a batch paired by optimal transport (Tong et al. 2024, arXiv:2302.00482, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import MissingDependencyError
from zoo.models.sharing import gathered


def paired(noise: Tensor, data: Tensor, classes: Tensor | None = None) -> Tensor:
    """The noise, permuted to minimise the sum of its squared distances from the data.

    Args:
        noise: ``[n, *event]``.
        data: ``[n, *event]``.
        classes: of the data, ``[n]``. Noise is then permuted within classes only, so that the noise of each class
            stays normal, as a class-conditional model needs.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingDependencyError("scipy", "pair noise and data by optimal transport", extra="data") from error
    # of a batch that several processes share, the whole of it
    (noise, rows), data = gathered(noise), gathered(data)[0]
    distances = torch.cdist(data.flatten(1), noise.flatten(1)).square().detach().cpu()
    order = torch.arange(noise.shape[0])
    labels = torch.zeros_like(order) if classes is None else gathered(classes)[0].cpu()
    groups = [(labels == label).nonzero().squeeze(1) for label in set(labels.tolist())]
    for members in groups:
        _, best = linear_sum_assignment(distances[members][:, members].numpy())
        order[members] = members[torch.from_numpy(best)]
    return noise[order.to(noise.device)][rows]
