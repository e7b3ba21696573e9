"""The masked autoencoder for distribution estimation, MADE (Germain et al. 2015, arXiv:1502.03509).

Every unit has a degree: how many components, counted from the first, it may know of. Component xⱼ (j = 0 … d-1) has
degree j + 1, hidden units have degrees up to d - 1, and the parameters of component i have degree i, since they depend
on x₀ … xᵢ₋₁ alone. A unit reads those of its own degree or less (eq. 13), and that is the whole of masking.

Units stand in order of degree. What a degree reads is then the beginning of the layer before it, so sampling, which
learns one component at a time, computes each unit once, when its degree's turn comes, with a slice of the weights:
:mod:`zoo_flows.transforms.unfolding`.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import ConfigError

_Value = TypeVar("_Value")

#: activations of hidden units by name, each with the operator of ONNX
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (F.relu, "Relu"),
    "tanh": (torch.tanh, "Tanh"),
    "elu": (F.elu, "Elu"),
}

#: masked networks see values beyond ± this as ± this: data are standardised, and inside the shipped flows values stay
#: below 13
REACH = 16.0


class MaskedLinear(nn.Linear):
    """A linear layer whose outputs read the inputs of their own degree or less.

    Masked weights begin at 0 and get no gradient, so they stay 0, and a frozen layer has the weights that are saved.

    Args:
        inputs: degree of each input, ascending.
        outputs: degree of each output, ascending.
        highest: the highest degree of the network.
    """

    mask: Tensor | None

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], highest: int) -> None:
        super().__init__(len(inputs), len(outputs))
        #: for each degree, how many inputs, or outputs, have a lower one: they come first
        self.inputs_below, self.outputs_below = _below(inputs, highest), _below(outputs, highest)
        mask = torch.tensor(inputs) <= torch.tensor(outputs).unsqueeze(1)
        self.register_buffer("mask", mask, persistent=False)
        with torch.no_grad():
            self.weight.mul_(mask)

    def masked(self) -> Tensor:
        """The weights ``[outputs, inputs]``, 0 where nothing is read."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """``[n, inputs]`` to ``[n, outputs]``."""
        return F.linear(x, self.masked(), self.bias)


def _below(degrees: Sequence[int], highest: int) -> list[int]:
    """How many of ascending degrees are lower than 0, 1, … highest."""
    return [bisect_left(degrees, degree) for degree in range(highest + 1)]


class MADE(nn.Module):
    """A network whose outputs for component i depend on the components before it, and on the context.

    Components are clamped to ±:data:`REACH` before they are read. So outliers in noise or data are transformed like
    values nearby, as in couplings (:func:`~zoo_flows.transforms.networks.bounded`), instead of by maps that grow with
    them, transform after transform, until float32 overflows. Within ±:data:`REACH` nothing changes, so trained weights
    keep their densities.

    ``reach`` is infinite in a network that another library trained without it, whose ``activation`` may be another of
    :data:`ACTIVATIONS` too.

    The last layer starts at zero, so that whatever is conditioned starts at its zero parameters. The degrees of a
    hidden layer are spread evenly; they begin at 1, or with a context at 0, for units that read it alone.

    Args:
        size: number d of components.
        outputs: P, for each component.
        context: length of the context, which every first hidden unit reads; 0 for none.
        hidden: widths of the hidden layers.
        residual: after the first hidden layer, each further one is a pre-activation block h + W₂·relu(W₁·relu(h)); the
            widths are then equal.
    """

    activation: str = "relu"

    def __init__(
        self, size: int, outputs: int, *, context: int = 0, hidden: Sequence[int] = (64, 64), residual: bool = False
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ConfigError(f"a masked network needs hidden layers of width 1 or more, not {list(hidden)}")
        if residual and len(set(hidden)) > 1:
            raise ConfigError(f"residual hidden layers must have the same width, not {list(hidden)}")
        self.size, self.outputs, self.residual, self.reach = size, outputs, residual, REACH
        lowest = 0 if context or size == 1 else 1
        layers = [sorted(lowest + unit % (size - lowest) for unit in range(width)) for width in hidden]
        if residual:
            layers += layers[1:]  # a block has two layers
        degrees = [list(range(1, size + 1)), *layers, [i for i in range(size) for _ in range(outputs)]]
        self.layers = nn.ModuleList(MaskedLinear(a, b, size) for a, b in pairwise(degrees))
        self.context = nn.Linear(context, hidden[0], bias=False) if context else None
        nn.init.zeros_(self.linear(-1).weight)
        nn.init.zeros_(self.linear(-1).bias)

    def linear(self, index: int) -> MaskedLinear:
        """One of the layers."""
        layer = self.layers[index]
        assert isinstance(layer, MaskedLinear)
        return layer

    def of_context(self) -> dict[int, nn.Module]:
        """By the index of a layer what makes of a context ``[n, context]`` the numbers ``[n, units]`` added to it."""
        return {} if self.context is None else {0: self.context}

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``[n, d]`` and ``[n, context]`` to ``[n, d, outputs]``."""
        extra = {} if context is None else {index: module(context) for index, module in self.of_context().items()}

        def linear(index: int, value: Tensor) -> Tensor:
            out: Tensor = self.layers[index](value)
            return out + extra[index] if index in extra else out

        seen, (activation, _) = x.clamp(-self.reach, self.reach), ACTIVATIONS[self.activation]
        return torch.unflatten(self.through(seen, linear, activation, torch.add), 1, (self.size, self.outputs))

    def through(
        self,
        x: _Value,
        linear: Callable[[int, _Value], _Value],
        activation: Callable[[_Value], _Value],
        add: Callable[[_Value, _Value], _Value],
    ) -> _Value:
        """The network's structure, for values that are whole layers or the units of one degree.

        Args:
            x: the input, within :data:`REACH`.
            linear: layer ``index`` applied to its input.
            activation: of the hidden units.
            add: sum of two values.
        """
        last = len(self.layers) - 1
        h = linear(0, x)
        for index in range(1, last, 2 if self.residual else 1):
            inner = linear(index, activation(h))
            h = add(h, linear(index + 1, activation(inner))) if self.residual else inner
        return linear(last, activation(h))

    @torch.no_grad()
    def frozen(self) -> MADE:
        """An equal network whose masks are multiplied in; this one is left as it is."""
        frozen = copy.deepcopy(self).eval().requires_grad_(False)
        for index in range(len(frozen.layers)):
            layer = frozen.linear(index)
            layer.weight.copy_(layer.masked())
            layer.mask = None
        return frozen
