"""Networks that never take two points further apart than they were: what contractive residual transforms are made of.

A network's Lipschitz constant is at most the product of its layers' spectral norms and its activations' largest slopes
(Behrmann et al. 2019, arXiv:1811.00995, eq. 3). Activations here have slopes of at most 1, so bounding each layer of k
by the k-th root of a bound holds it for the network.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo_flows.transforms.spectral import limited, norm_bound


class LipSwish(nn.Module):
    """x·sigmoid(βx)/1.1 with a learned β > 0 (Chen et al. 2019, arXiv:1906.02735, section 3.2); slopes are within ±1.

    Unlike that of ReLU or ELU, its slope bends wherever it is steep, so log-determinants have gradients there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The activations of ``x``, and their slopes."""
        beta = F.softplus(self.raw)
        gate = torch.sigmoid(beta * x)
        value = x * gate / 1.1
        return value, gate / 1.1 + beta * value * (1.0 - gate)

    def write(self, builder: GraphBuilder, x: Value) -> tuple[Value, Value]:
        """Write both into a graph."""
        beta, less = builder.constant(F.softplus(self.raw).numpy()), np.array(1.1, np.float32)
        gate = builder("Sigmoid", builder("Mul", x, beta))
        value = builder("Div", builder("Mul", x, gate), less)
        bend = builder("Mul", builder("Mul", value, beta), builder("Sub", np.array(1.0, np.float32), gate))
        return value, builder("Add", builder("Div", gate, less), bend)


class ELU(nn.Module):
    """x where positive, exp(x) - 1 where negative (Behrmann et al. 2019, section 4); slopes are in (0, 1]."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The activations of ``x``, and their slopes."""
        return F.elu(x), torch.exp(x.clamp(max=0.0))

    def write(self, builder: GraphBuilder, x: Value) -> tuple[Value, Value]:
        """Write both into a graph."""
        return builder("Elu", x), builder("Exp", builder("Min", x, np.array(0.0, np.float32)))


ACTIVATIONS: dict[str, type[LipSwish] | type[ELU]] = {"lipswish": LipSwish, "elu": ELU}


class Lipschitz(nn.Module, ABC):
    """g(x; context) of vectors ``[n, d]``, with ‖g(x) - g(y)‖ ≤ bound·‖x - y‖ whatever its parameters are.

    The last layer starts at zero. The context shifts the output of the first layer for x, which is not bounded.

    Args:
        shape: in which the layers see a vector.
        layers: linear ones, with an activation between each two.
        context: length of the context; 0 for none.
        bound: of the Lipschitz constant, in (0, 1).
        activation: of :data:`ACTIVATIONS`.

    Attributes:
        shape: see above.
        bound: see above.
        limit: of each layer's spectral norm.
        is_frozen: whether the weights are within their limits already.
    """

    def __init__(
        self, shape: Sequence[int], layers: Sequence[nn.Module], *, context: int, bound: float, activation: str
    ) -> None:
        super().__init__()
        self.shape, self.bound = tuple(shape), bound
        self.limit = bound ** (1.0 / len(layers))
        self.is_frozen = False
        self.layers = nn.ModuleList(layers)
        self.activations = nn.ModuleList(ACTIVATIONS[activation]() for _ in layers[1:])
        self.context = nn.Linear(context, self._bias(0).shape[0], bias=False) if context else None
        nn.init.zeros_(self._weight(len(layers) - 1))
        nn.init.zeros_(self._bias(len(layers) - 1))

    @staticmethod
    @abstractmethod
    def through(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What a layer makes of ``value``."""

    @staticmethod
    @abstractmethod
    def back(value: Tensor, weight: Tensor) -> Tensor:
        """What a layer's transpose makes of ``value``, without bias."""

    @abstractmethod
    def write_through(self, builder: GraphBuilder, value: Value, index: int, *, bias: bool) -> Value:
        """Write :meth:`through` of a layer into a graph, with its bias or without."""

    @property
    def size(self) -> int:
        """d."""
        return math.prod(self.shape)

    @property
    def entries(self) -> int:
        """Of what a Jacobian is made of, how many numbers there are at most for one sample."""
        positions = math.prod(self.shape[1:])
        return self.size * positions * max(len(self._bias(index)) for index in range(len(self.layers)))

    def weights(self) -> list[Tensor]:
        """Weights of all layers, made smaller where their spectral norm is beyond the limit."""
        raw = [self._weight(index) for index in range(len(self.layers))]
        return raw if self.is_frozen else [limited(weight, self.limit) for weight in raw]

    @torch.no_grad()
    def lipschitz(self) -> float:
        """A bound of the Lipschitz constant that these parameters have, at most :attr:`bound`."""
        return min(math.prod(norm_bound(weight).item() for weight in self.weights()), self.bound)

    def forward(self, x: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """``[n, d]`` to ``[n, d]``.

        Args:
            x: ``[n, d]``.
            context: ``[n, c]``, or None.
            weights: of :meth:`weights`.

        Returns:
            g(x), and the slopes of the hidden layers' activations, each in its layer's shape.
        """
        slopes: list[Tensor] = []
        value = self.through(x.reshape(-1, *self.shape), weights[0], self._bias(0))
        if self.context is not None and context is not None:
            value = value + self.context(context).reshape(-1, value.shape[1], *(1 for _ in self.shape[1:]))
        for index, activation in enumerate(self.activations, 1):
            value, slope = activation(value)
            slopes.append(slope)
            value = self.through(value, weights[index], self._bias(index))
        return value.flatten(1), slopes

    def jacobian(self, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        """∂g/∂x ``[n, d, d]``: the product of the layers and the diagonal matrices of the slopes between them."""
        # a row for each component of x, on which layers act as on samples
        unit = torch.eye(self.size, dtype=weights[0].dtype, device=weights[0].device)
        rows = self.through(unit.reshape(-1, *self.shape), weights[0])
        for weight, slope in zip(weights[1:], slopes, strict=True):
            rows = self.through((slope.unsqueeze(1) * rows).flatten(0, 1), weight)
            rows = torch.unflatten(rows, 0, (-1, self.size))
        return rows.flatten(2).transpose(-1, -2)

    def pulled_back(self, v: Tensor, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        """vᵀ·∂g/∂x ``[n, d]`` of row vectors ``[n, d]``, without the Jacobian."""
        v = v.reshape(-1, *self.shape)
        for weight, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
            v = self.back(v, weight) * slope
        return self.back(v, weights[0]).flatten(1)

    def write(self, builder: GraphBuilder, x: Value, context: Value | None) -> tuple[Value, list[Value]]:
        """Write :meth:`forward`, with slopes, of a frozen network into a graph; unused slopes cost nothing."""
        slopes: list[Value] = []
        value = self.write_through(builder, self._reshaped(builder, x, *self.shape), 0, bias=True)
        if self.context is not None and context is not None:
            shift = builder("Gemm", context, builder.constant(self.context.weight.numpy()), transB=1)
            value = builder("Add", value, self._reshaped(builder, shift, -1, *(1 for _ in self.shape[1:]), batch=0))
        for index, activation in enumerate(self.activations, 1):
            assert isinstance(activation, (LipSwish, ELU))
            value, slope = activation.write(builder, value)
            slopes.append(slope)
            value = self.write_through(builder, value, index, bias=True)
        return self._reshaped(builder, value, self.size), slopes

    def write_jacobian(self, builder: GraphBuilder, slopes: Sequence[Value]) -> Value:
        """Write the transpose of ∂g/∂x of a frozen network into a graph, from the slopes that :meth:`write` gives."""
        unit = np.eye(self.size, dtype=np.float32).reshape(-1, *self.shape)
        rows = self.write_through(builder, builder.constant(unit), 0, bias=False)
        hidden = [len(self._bias(index)) for index in range(len(self.layers) - 1)]
        for index, slope in enumerate(slopes):
            inner, outer = ((c, *self.shape[1:]) for c in (hidden[index], [*hidden, self.shape[0]][index + 1]))
            rows = builder("Mul", builder("Unsqueeze", slope, builder.integers(1)), rows)
            rows = self.write_through(
                builder, builder("Reshape", rows, builder.integers(-1, *inner)), index + 1, bias=False
            )
            rows = builder("Reshape", rows, builder.integers(-1, self.size, *outer))
        return self._reshaped(builder, rows, self.size, self.size)

    def frozen(self) -> Lipschitz:
        """An equal network whose weights are within their limits, made so in float64 and rounded once."""
        frozen = copy.deepcopy(self).eval().requires_grad_(False)
        double = copy.deepcopy(frozen).double()
        for index, weight in enumerate(double.weights()):
            frozen._weight(index).copy_(weight)
        frozen.is_frozen = True
        return frozen

    def _reshaped(self, builder: GraphBuilder, value: Value, *shape: int, batch: int = -1) -> Value:
        return value if len(self.shape) == 1 else builder("Reshape", value, builder.integers(batch, *shape))

    def _constants(self, builder: GraphBuilder, index: int, *, bias: bool) -> list[Value]:
        each = [self._weight(index), self._bias(index)] if bias else [self._weight(index)]
        return [builder.constant(tensor.numpy()) for tensor in each]

    def _weight(self, index: int) -> Tensor:
        weight = self.layers[index].weight
        assert isinstance(weight, Tensor)
        return weight

    def _bias(self, index: int) -> Tensor:
        bias = self.layers[index].bias
        assert isinstance(bias, Tensor)
        return bias


class LipschitzMLP(Lipschitz):
    """A perceptron.

    Args:
        size: length d of the vector.
        context: length of the context; 0 for none.
        hidden: width of the hidden layers.
        layers: how many hidden layers, from 1 up.
        bound: of the Lipschitz constant, in (0, 1).
        activation: of :data:`ACTIVATIONS`.
    """

    def __init__(
        self,
        size: int,
        *,
        context: int = 0,
        hidden: int = 64,
        layers: int = 2,
        bound: float = 0.9,
        activation: str = "lipswish",
    ) -> None:
        sizes = [size, *(hidden for _ in range(layers)), size]
        linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        super().__init__([size], linears, context=context, bound=bound, activation=activation)

    @staticmethod
    @override
    def through(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(value, weight, bias)

    @staticmethod
    @override
    def back(value: Tensor, weight: Tensor) -> Tensor:
        return value @ weight

    @override
    def write_through(self, builder: GraphBuilder, value: Value, index: int, *, bias: bool) -> Value:
        return builder("Gemm", value, *self._constants(builder, index, bias=bias), transB=1)


class LipschitzCNN(Lipschitz):
    """Convolutions of 3×3 pixels first and last and of 1×1 between, with zeros around (Chen et al. 2019, appendix E).

    Args:
        shape: ``[c, h, w]``, in which a vector is an image.
        context: length of the context; 0 for none.
        hidden: channels of the hidden layers.
        layers: how many hidden layers, from 1 up.
        bound: of the Lipschitz constant, in (0, 1).
        activation: of :data:`ACTIVATIONS`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        context: int = 0,
        hidden: int = 64,
        layers: int = 2,
        bound: float = 0.9,
        activation: str = "lipswish",
    ) -> None:
        channels = [shape[0], *(hidden for _ in range(layers)), shape[0]]
        kernels = [3, *(1 for _ in range(layers - 1)), 3]
        convolutions = [
            nn.Conv2d(a, b, k, padding=k // 2) for (a, b), k in zip(pairwise(channels), kernels, strict=True)
        ]
        super().__init__(shape, convolutions, context=context, bound=bound, activation=activation)

    @staticmethod
    @override
    def through(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(value, weight, bias, padding=weight.shape[-1] // 2)

    @staticmethod
    @override
    def back(value: Tensor, weight: Tensor) -> Tensor:
        return F.conv_transpose2d(value, weight, padding=weight.shape[-1] // 2)

    @override
    def write_through(self, builder: GraphBuilder, value: Value, index: int, *, bias: bool) -> Value:
        half = self._weight(index).shape[-1] // 2
        return builder("Conv", value, *self._constants(builder, index, bias=bias), pads=[half] * 4)
