"""Networks that never take two points further apart than they were: what contractive residual transforms are made of.

A network's Lipschitz constant is at most the product of its layers' spectral norms and its activations' largest slopes
(Behrmann et al. 2019, arXiv:1811.00995, eq. 3). Activations here have slopes of at most 1, so bounding each layer of k
by the k-th root of a bound holds it for the network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.writing import Net, Value

#: of a matrix with n rows or columns, whichever are fewer, the norm is overestimated by at most n^(1/2^(1 + this))
_SQUARINGS = 8


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

    def write(self, net: Net, x: Value) -> tuple[Value, Value]:
        """Write both into a graph."""
        beta, less = net.constant(F.softplus(self.raw).numpy()), np.array(1.1, np.float32)
        gate = net("Sigmoid", net("Mul", x, beta))
        value = net("Div", net("Mul", x, gate), less)
        bend = net("Mul", net("Mul", value, beta), net("Sub", np.array(1.0, np.float32), gate))
        return value, net("Add", net("Div", gate, less), bend)


class ELU(nn.Module):
    """x where positive, exp(x) - 1 where negative (Behrmann et al. 2019, section 4); slopes are in (0, 1]."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The activations of ``x``, and their slopes."""
        return F.elu(x), torch.exp(x.clamp(max=0.0))

    def write(self, net: Net, x: Value) -> tuple[Value, Value]:
        """Write both into a graph."""
        return net("Elu", x), net("Exp", net("Min", x, np.array(0.0, np.float32)))


ACTIVATIONS: dict[str, type[LipSwish] | type[ELU]] = {"lipswish": LipSwish, "elu": ELU}


class LipschitzMLP(nn.Module):
    """g(x; context) of vectors, with ‖g(x) - g(y)‖ ≤ bound·‖x - y‖ whatever its parameters are.

    The last layer starts at zero. The context shifts what the first layer sees, which is not bounded.

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
        super().__init__()
        self.bound = bound
        #: of each layer
        self.limit = bound ** (1.0 / (layers + 1))
        sizes = [size, *(hidden for _ in range(layers)), size]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.activations = nn.ModuleList(ACTIVATIONS[activation]() for _ in range(layers))
        self.context = nn.Linear(context, hidden, bias=False) if context else None
        #: whether the weights are within their limits already
        self.is_frozen = False
        last = self._linear(layers)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def weights(self) -> list[Tensor]:
        """Weights of all layers, made smaller where their spectral norm is beyond the limit."""
        raw = [self._linear(index).weight for index in range(len(self.layers))]
        return raw if self.is_frozen else [limited(weight, self.limit) for weight in raw]

    @torch.no_grad()
    def lipschitz(self) -> float:
        """A bound of the Lipschitz constant that these parameters have, at most :attr:`bound`."""
        norms = (spectral_bound(weight).item() for weight in self.weights())
        return min(math.prod(norms), self.bound)

    def forward(self, x: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """``[n, d]`` to ``[n, d]``.

        Args:
            x: ``[n, d]``.
            context: ``[n, c]``, or None.
            weights: of :meth:`weights`.

        Returns:
            g(x), and the slopes of the hidden layers' activations, ``[n, hidden]`` each.
        """
        slopes: list[Tensor] = []
        value = F.linear(x, weights[0], self._linear(0).bias)
        if self.context is not None and context is not None:
            value = value + self.context(context)
        for index, activation in enumerate(self.activations, 1):
            value, slope = activation(value)
            slopes.append(slope)
            value = F.linear(value, weights[index], self._linear(index).bias)
        return value, slopes

    def write(self, net: Net, x: Value, context: Value | None) -> tuple[Value, list[Value]]:
        """Write :meth:`forward`, with slopes, of a frozen network into a graph; unused slopes cost nothing."""
        slopes: list[Value] = []
        value = net("Gemm", x, *self._constants(net, 0), transB=1)
        if self.context is not None and context is not None:
            value = net("Gemm", context, net.constant(self.context.weight.numpy()), value, transB=1)
        for index, activation in enumerate(self.activations, 1):
            assert isinstance(activation, (LipSwish, ELU))
            value, slope = activation.write(net, value)
            slopes.append(slope)
            value = net("Gemm", value, *self._constants(net, index), transB=1)
        return value, slopes

    def write_jacobian(self, net: Net, slopes: Sequence[Value]) -> Value:
        """Write the transpose of ∂g/∂x of a frozen network into a graph, from the slopes that :meth:`write` gives."""
        rows, *weights = (net("Transpose", self._constants(net, i)[0], perm=[1, 0]) for i in range(len(self.layers)))
        for weight, slope in zip(weights, slopes, strict=True):
            rows = net("MatMul", net("Mul", net("Unsqueeze", slope, net.integers(1)), rows), weight)
        return rows

    def frozen(self) -> LipschitzMLP:
        """An equal network whose weights are within their limits, made so in float64 and rounded once."""
        frozen = copy.deepcopy(self).eval().requires_grad_(False)
        double = copy.deepcopy(frozen).double()
        for index, weight in enumerate(double.weights()):
            frozen._linear(index).weight.copy_(weight)
        frozen.is_frozen = True
        return frozen

    def _constants(self, net: Net, index: int) -> tuple[Value, Value]:
        layer = self._linear(index)
        return net.constant(layer.weight.numpy()), net.constant(layer.bias.numpy())

    def _linear(self, index: int) -> nn.Linear:
        layer = self.layers[index]
        assert isinstance(layer, nn.Linear)
        return layer


def jacobian(weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
    """∂g/∂x ``[n, d, d]``: the product of the layers' weights and the diagonal matrices of the slopes between them."""
    # a row for each component of x, on which layers act as on samples: one product of matrices a layer
    rows = weights[0].T
    for weight, slope in zip(weights[1:], slopes, strict=True):
        rows = F.linear(slope.unsqueeze(1) * rows, weight)
    return rows.transpose(-1, -2)


def pulled_back(v: Tensor, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
    """vᵀ·∂g/∂x ``[n, d]`` of row vectors ``[n, d]``, without the Jacobian."""
    for weight, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
        v = (v @ weight) * slope
    return v @ weights[0]


def limited(weight: Tensor, limit: float) -> Tensor:
    """A matrix, made smaller where its spectral norm is beyond ``limit``."""
    return weight * torch.clamp(limit / spectral_bound(weight), max=1.0)


def spectral_bound(weight: Tensor) -> Tensor:
    """An upper bound of the largest singular value of ``[m, k]``, a scalar: the Schatten norm of order 2^(1 + 8) = 512.

    tr(Gᵖ)^(1/2p) with G = WᵀW or WWᵀ, and p a power of two by squaring. It is never too small, at most 0.8 % too large
    for 64 rows, and smooth even where singular values are equal. Power iteration is none of that: it comes from below,
    keeps vectors from step to step, and training and use differ by how far it got.
    """
    rows, columns = weight.shape
    gram = weight @ weight.T if rows <= columns else weight.T @ weight
    # a matrix of zeros has a logarithm, too
    gram = gram + 1e-30 * torch.eye(min(rows, columns), dtype=weight.dtype, device=weight.device)
    log, share = weight.new_zeros(()), 0.5
    for _ in range(_SQUARINGS):
        trace = gram.diagonal().sum()
        log = log + share * trace.log()
        share = 0.5 * share
        gram = gram / trace
        gram = gram @ gram
    return torch.exp(log + share * gram.diagonal().sum().log())
