"""What of zuko's code is mended while it is traced."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from zuko import distributions, mixtures, nn, transforms, utils
from zuko.flows.autoregressive import MaskedAutoregressiveTransform

from zoo.errors import ExportError
from zoo.models.derivatives import jvp
from zoo.models.loops import loop
from zoo.models.mending import replaced

#: Dormand-Prince steps of a continuous flow, in place of as many as its tolerance takes for the batch
STEPS = 24
#: by how much the library keeps the share of a Gaussianization from its ends, as a part of the whole
_KEPT = 1e-6


def mended() -> AbstractContextManager[object]:
    """A block in which zuko's transforms can be traced."""
    nodes = utils.GaussLegendre.nodes
    return replaced(
        (transforms.AutoregressiveTransform, "_inverse", _in_passes),
        (transforms.MonotonicTransform, "call_and_ladj", _monotonic),
        (transforms.CouplingTransform, "merge", _merged),
        (sys.modules[__name__], "_divergence", _traced_divergence),
        (mixtures.GMM, "_forward_full", _full_mixture),
        (transforms, "bisection", _bisected),
        (transforms, "gauss_legendre", _quadrature),
        # its cache would keep tensors of the trace
        (utils.GaussLegendre, "nodes", staticmethod(nodes.__wrapped__)),
    )


def settled() -> AbstractContextManager[object]:
    """A block in which ODEs take a fixed number of steps, and Gaussianizations keep their digits, traced or not.

    The steps that zuko takes depend on the whole batch, so samples on others. Its erfinv of a number next to 1 is off
    by a hundredth in float32, by as much as no two programs agree.
    """
    return replaced(
        (transforms.GaussianizationTransform, "f", _gaussianized),
        (transforms.GaussianizationTransform, "call_and_ladj", _gaussianized_with_slope),
        (transforms.FreeFormJacobianTransform, "_call", _integrated),
        (transforms.FreeFormJacobianTransform, "_inverse", _integrated_back),
        (transforms.FreeFormJacobianTransform, "call_and_ladj", _integrated_with_volume),
    )


def _in_passes(self: Any, y: Tensor) -> Tensor:
    """``AutoregressiveTransform._inverse``, as a loop."""
    owner: Any = getattr(getattr(self.meta, "func", None), "__self__", None)
    if type(owner) is MaskedAutoregressiveTransform and owner.order is not None and owner.passes == y.shape[-1]:
        return _one_by_one(owner, self.meta.args[0], y)
    (x,) = loop(self.passes, (torch.zeros_like(y),), lambda x: (self.meta(x).inv(y),))
    return x


def _one_by_one(owner: Any, context: Tensor | None, y: Tensor) -> Tensor:
    """The same of a transform whose passes find a component each: a pass inverts the map of that one alone.

    The library inverts all of them in each pass, by as many searches where they are searched for.
    """
    size = y.shape[-1]
    in_turn = torch.argsort(owner.order)

    def turn(x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        which = in_turn.index_select(0, at)
        read = x if context is None else torch.cat(utils.broadcast(x, context, ignore=1), -1)
        phi = owner.hyper(read).unflatten(-1, (-1, owner.total)).index_select(-2, which)
        with replaced((nn, "linear", partial(_one_of_stack, which))):
            univariate = owner.univariate(*utils.unpack(phi, owner.shapes))
            component = transforms.DependentTransform(univariate, 1).inv(y.index_select(-1, which))
        return torch.where(torch.arange(size) == which, component, x), at + 1

    x, _ = loop(size, (torch.zeros_like(y), torch.zeros(1, dtype=torch.int64)), turn)
    return x


def _one_of_stack(which: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``zuko.nn.linear`` by one of the layers of a stack, which has one for each component."""
    if weight.ndim > 2:
        weight = weight.index_select(0, which).squeeze(0)
        bias = None if bias is None else bias.index_select(0, which).squeeze(0)
    return functional.linear(x, weight, bias)


def _monotonic(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """``MonotonicTransform.call_and_ladj``: each number has its own function, so one direction gives all slopes."""
    y, slope = jvp(self.f, x, torch.ones_like(x))
    return y, slope.log()


def _bisected(f: Callable[[Tensor], Tensor], y: Tensor, a: Any, b: Any, n: int = 16, phi: Any = ()) -> Tensor:
    """``bisection``, as a loop."""

    def turn(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        c = (a + b) / 2
        below = f(c) < y
        return torch.where(below, c, a), torch.where(below, b, c)

    start = tuple(torch.as_tensor(each).to(y).expand_as(y) for each in (a, b))
    a, b = loop(n, start, turn)
    middle: Tensor = (a + b) / 2
    return middle


def _merged(self: Any, x_a: Tensor, x_b: Tensor, shape: Any) -> Tensor:
    """``CouplingTransform.merge``, which writes nothing in place."""
    return torch.cat([x_a, x_b], -1)[..., torch.argsort(torch.cat([self.idx_a, self.idx_b]))]


def _quadrature(f: Callable[[Tensor], Tensor], a: Tensor, b: Tensor, n: int = 3, phi: Any = ()) -> Tensor:
    """``gauss_legendre``, without the function of autograd around it, and with a sum in place of a tensor product."""
    weights: Tensor
    nodes, weights = utils.GaussLegendre.nodes(n, dtype=a.dtype, device=a.device)
    points = torch.lerp(a[..., None], b[..., None], nodes).movedim(-1, 0)
    return (b - a) * (weights.reshape(-1, *[1] * a.ndim) * f(points)).sum(0)


def _gaussianized(self: Any, x: Tensor) -> Tensor:
    """``GaussianizationTransform.f`` by the share of the normals that lies beyond, on the side where it is smaller.

    The library takes erfinv of 1 less that, for which float32 has no digits.
    """
    u = (x[..., None] * self.scale + self.shift) / math.sqrt(2)
    above, below = (0.5 * torch.erfc(each).mean(-1) for each in (u, -u))
    return torch.where(above < below, -_quantile(above), _quantile(below))


def _quantile(share: Tensor) -> Tensor:
    """Φ⁻¹ of a share, which the library keeps from 0 and from 1."""
    quantile: Tensor = torch.special.ndtri(_KEPT / 2 + (1 - _KEPT) * share)
    return quantile


def _gaussianized_with_slope(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same with its log-slope, as normal densities vanish in float32 where the logarithm of their sum does not."""
    y, u = self.f(x), x[..., None] * self.scale + self.shift
    logs = torch.logsumexp(self.scale.log() - 0.5 * u.square(), -1)
    return y, logs - math.log(u.shape[-1]) + math.log1p(-_KEPT) + 0.5 * y.square()


def _integrated(self: Any, x: Tensor) -> Tensor:
    """``FreeFormJacobianTransform._call`` in a fixed number of steps."""
    return _steps(lambda t, state: self.f(t, state), self.t0, self.t1, x)


def _integrated_back(self: Any, y: Tensor) -> Tensor:
    """``FreeFormJacobianTransform._inverse``, likewise."""
    return _steps(lambda t, state: self.f(t, state), self.t1, self.t0, y)


def _integrated_with_volume(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """``call_and_ladj``, likewise.

    Raises:
        ExportError: a flow whose trace is an estimate.
    """
    if not self.exact:
        raise ExportError(
            "CNF(exact=False) of zuko estimates its log-density by random directions, so it has none to export",
            hint="Build it with exact=True, and load the same weights.",
        )
    size = x.shape[-1]

    def augmented(t: Tensor, state: Tensor) -> Tensor:
        change, trace = _divergence(lambda value: self.f(t, value), state[..., :size])
        return torch.cat([change, trace.unsqueeze(-1)], -1)

    state = _steps(augmented, self.t0, self.t1, torch.cat([x, torch.zeros_like(x[..., :1])], -1))
    return state[..., :size], state[..., size]


def _divergence(velocity: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Velocities ``[n, d]`` and the traces of their Jacobians ``[n]``, by reverse mode."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        change = velocity(point)
        rows = [
            torch.autograd.grad(change[..., i].sum(), point, retain_graph=True)[0][..., i] for i in range(x.shape[-1])
        ]
    return change.detach(), torch.stack(rows).sum(0).detach()


def _traced_divergence(velocity: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The same by a directional derivative along every axis, which can be traced."""
    total, change = torch.zeros_like(x[..., 0]), None
    for axis in torch.eye(x.shape[-1], dtype=x.dtype, device=x.device):
        change, along = jvp(velocity, x, axis.expand_as(x))
        total = total + (along * axis).sum(-1)
    assert change is not None
    return change, total


def _steps(f: Callable[[Tensor, Tensor], Tensor], t0: Any, t1: Any, x: Tensor) -> Tensor:
    """An ODE from ``t0`` to ``t1`` in :data:`STEPS` equal steps of zuko's own method, as a loop."""
    start, end = (torch.as_tensor(each).to(x) for each in (t0, t1))
    dt = (end - start) / STEPS

    def turn(t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return t + dt, utils.dopri45(f, state, t, dt)

    _, x = loop(STEPS, (start.expand(1), x), turn)
    return x


class _Normals:
    """Normals with a triangular factor each, as far as :class:`zuko.distributions.Mixture` asks for it."""

    def __init__(self, loc: Tensor, scale_tril: Tensor) -> None:
        self.loc, self.scale_tril = loc, scale_tril
        self.batch_shape, self.event_shape = loc.shape[:-1], loc.shape[-1:]

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-densities ``[..., K]`` of ``[..., 1, D]``."""
        standard = torch.linalg.solve_triangular(self.scale_tril, (x - self.loc).unsqueeze(-1), upper=False).squeeze(-1)
        volume: Tensor = torch.diagonal(self.scale_tril, dim1=-2, dim2=-1).log().sum(-1)
        density: Tensor = -0.5 * standard.square().sum(-1) - volume - 0.5 * x.shape[-1] * math.log(2 * math.pi)
        return density


def _full_mixture(self: Any, logits: Tensor, loc: Tensor, diag: Tensor, tril: Tensor) -> Any:
    """``GMM._forward_full``, whose factors are written without a mask."""
    size = diag.shape[-1]
    # where the numbers of a factor belong, row by row
    below = [i * size + j for i in range(size) for j in range(i)]
    lower = tril @ torch.eye(size * size, dtype=tril.dtype)[below]
    lower = lower.reshape(*lower.shape[:-1], size, size)
    scale = (diag.exp() + self.epsilon).unsqueeze(-1) * torch.eye(size, dtype=diag.dtype) + lower
    return distributions.Mixture(_Normals(loc, scale), logits)
