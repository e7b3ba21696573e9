"""Forward-mode derivatives at the level of ATen operators, in place of ``torch.func.jvp`` while a graph is traced.

torch's own forward mode runs in C++, where symbolic sizes become numbers (so the batch would be baked in) and fake
tensors lose their device. Here each operator that meets a tensor with a tangent is followed by the rule that carries
the tangent along (Griewank & Walther 2008, *Evaluating Derivatives*, section 3.1), in ordinary torch operations that
are traced like everything else. An operator without a rule is decomposed by torch's own decompositions; if there is
none either, the export fails and names it.

The proof compares the result with ``torch.func.jvp``, so the two check each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.errors import ExportError

aten = torch.ops.aten
Rule = Callable[..., Any]


def jvp(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`zoo.models.derivatives.jvp`."""
    with Dual() as dual:
        primal = aten.alias.default(point)
        dual.attach(primal, direction)
        value = function(primal)
    tangent = dual.tangent(value)
    return value, torch.zeros_like(value) if tangent is None else tangent


class Dual(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode in which every tensor computed from an attached tensor has a tangent."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # keyed by id; the tensors are held too, so that no id is reused
        self._tangents: dict[int, tuple[Tensor, Tensor]] = {}

    def attach(self, primal: Tensor, tangent: Tensor) -> None:
        """Give a tensor its tangent."""
        self._tangents[id(primal)] = (primal, tangent)

    def tangent(self, value: Any) -> Tensor | None:
        """The tangent of a tensor, or None for one that does not depend on an attached one."""
        entry = self._tangents.get(id(value))
        return None if entry is None else entry[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if all(self.tangent(leaf) is None for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        packet = func.overloadpacket
        if packet in CONSTANT or func.namespace == "prim":  # the latter only ask for a tensor's device or layout
            return func(*args, **kwargs)
        if packet in COMPOSITE:
            with self:
                return COMPOSITE[packet](*args, **kwargs)
        if packet in LINEAR:
            out, tangent = func(*args, **kwargs), func(self.tangent(args[0]), *args[1:], **kwargs)
        elif packet in UNARY:
            out = func(*args, **kwargs)
            tangent = self.tangent(args[0]) * UNARY[packet](args[0], out, *args[1:], **kwargs)
        elif packet in RULES:
            out = func(*args, **kwargs)
            tangent = RULES[packet](self.tangent, out, *args, **kwargs)
        elif packet in PAIRS:
            out, tangent = PAIRS[packet](self.tangent, *args, **kwargs)
        else:
            return self._decomposed(func, args, kwargs)
        if isinstance(out, Tensor):
            self.attach(out, tangent)
        else:
            for part, part_tangent in zip(out, tangent, strict=True):
                if part is not None:
                    self.attach(part, part_tangent)
        return out

    def _decomposed(self, func: Any, args: Any, kwargs: Any) -> Any:
        from torch._decomp import decomposition_table

        with self:
            if func in decomposition_table:
                return decomposition_table[func](*args, **kwargs)
            if (out := func.decompose(*args, **kwargs)) is not NotImplemented:
                return out
        raise ExportError(
            f"there is no rule for the derivative of {func} in a graph",
            hint="Write the network with other operations, or add a rule to zoo_onnx.forward_mode.",
        )


# -- operators linear in their first argument, whose other arguments have no tangent ------------------

LINEAR = {
    aten.alias,
    aten.avg_pool2d,
    aten.clone,
    aten.constant_pad_nd,
    aten.cumsum,
    aten.diagonal,
    aten.expand,
    aten.flip,
    aten.gather,
    aten.index,
    aten.index_select,
    aten.mean,
    aten.neg,
    aten.permute,
    aten.pixel_shuffle,
    aten.repeat,
    aten.reshape,
    aten.roll,
    aten.select,
    aten.slice,
    aten.split,
    aten.split_with_sizes,
    aten.squeeze,
    aten.sum,
    aten.t,
    aten.transpose,
    aten.tril,
    aten.triu,
    aten.unbind,
    aten.unsqueeze,
    aten.upsample_nearest2d,
    aten.view,
    aten._to_copy,
    aten._unsafe_view,
}

#: operators whose derivative is zero
CONSTANT = {
    aten.detach,
    aten.empty_like,
    aten.full_like,
    aten.new_zeros,
    aten.ones_like,
    aten.sign,
    aten.zeros_like,
    *(aten.eq, aten.ne, aten.gt, aten.ge, aten.lt, aten.le),
    *(aten.floor, aten.ceil, aten.round, aten.isnan, aten.isfinite, aten.argmax, aten.argmin),
}

# -- functions of one number: the derivative from the input x and the output y -----------------------------------------


def _gelu(x: Tensor, y: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        u = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)
        slope = math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * x * x)
        t = torch.tanh(u)
        return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope
    density = torch.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))) + x * density


def _silu(x: Tensor, y: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s + y * (1.0 - s)


def _softplus(x: Tensor, y: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    return torch.sigmoid(beta * x)


def _pow(x: Tensor, y: Tensor, exponent: float) -> Tensor:
    if exponent == 2:
        return 2.0 * x
    return exponent * torch.pow(x, exponent - 1)


def _leaky_relu(x: Tensor, y: Tensor, slope: float = 0.01) -> Tensor:
    return torch.where(x > 0, 1.0, slope)


def _elu(x: Tensor, y: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    return torch.where(x > 0, scale, scale * input_scale * alpha * torch.exp(x * input_scale))


def _clamp(x: Tensor, y: Tensor, *bounds: Any, **named: Any) -> Tensor:
    return (x == y).to(x.dtype)


UNARY: dict[Any, Rule] = {
    aten.exp: lambda x, y: y,
    aten.log: lambda x, y: 1.0 / x,
    aten.log1p: lambda x, y: 1.0 / (1.0 + x),
    aten.expm1: lambda x, y: y + 1.0,
    aten.sin: lambda x, y: torch.cos(x),
    aten.cos: lambda x, y: -torch.sin(x),
    aten.tanh: lambda x, y: 1.0 - y * y,
    aten.sigmoid: lambda x, y: y * (1.0 - y),
    aten.erf: lambda x, y: 2.0 / math.sqrt(math.pi) * torch.exp(-x * x),
    aten.sqrt: lambda x, y: 0.5 / y,
    aten.rsqrt: lambda x, y: -0.5 * y * y * y,
    aten.reciprocal: lambda x, y: -y * y,
    aten.abs: lambda x, y: torch.sign(x),
    aten.relu: lambda x, y: (x > 0).to(x.dtype),
    aten.leaky_relu: _leaky_relu,
    aten.elu: _elu,
    aten.silu: _silu,
    aten.gelu: _gelu,
    aten.softplus: _softplus,
    aten.pow: _pow,
    aten.clamp: _clamp,
    aten.clamp_min: _clamp,
    aten.clamp_max: _clamp,
}

# -- operators of several tensors --------------------------------------------------------------------------------------

Tangent = Callable[[Any], Tensor | None]


def _total(out: Tensor, *terms: Tensor | None) -> Tensor:
    """The sum of the terms that are not None, in the shape of ``out``."""
    present = [term for term in terms if term is not None]
    total = present[0]
    for term in present[1:]:
        total = total + term
    # a tangent may have been broadcast less than its primal
    return total.expand(out.shape) if total.ndim != out.ndim or len(present) == 1 else total


def _times(tangent: Tensor | None, factor: Any) -> Tensor | None:
    return None if tangent is None else tangent * factor


def _add(tangent: Tangent, out: Tensor, a: Any, b: Any, *, alpha: float = 1) -> Tensor:
    return _total(out, tangent(a), tangent(b) if alpha == 1 else _times(tangent(b), alpha))


def _sub(tangent: Tangent, out: Tensor, a: Any, b: Any, *, alpha: float = 1) -> Tensor:
    return _total(out, tangent(a), _times(tangent(b), -alpha))


def _rsub(tangent: Tangent, out: Tensor, a: Any, b: Any, alpha: float = 1) -> Tensor:
    return _total(out, tangent(b), _times(tangent(a), -alpha))


def _mul(tangent: Tangent, out: Tensor, a: Any, b: Any) -> Tensor:
    return _total(out, _times(tangent(a), b), _times(tangent(b), a))


def _div(tangent: Tangent, out: Tensor, a: Any, b: Any) -> Tensor:
    numerator, denominator = tangent(a), tangent(b)
    return _total(
        out,
        None if numerator is None else numerator / b,
        None if denominator is None else -denominator * out / b,
    )


def _matmul(tangent: Tangent, out: Tensor, a: Tensor, b: Tensor) -> Tensor:
    ta, tb = tangent(a), tangent(b)
    return _total(out, None if ta is None else ta @ b, None if tb is None else a @ tb)


def _addmm(tangent: Tangent, out: Tensor, c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    ta, tb = tangent(a), tangent(b)
    return _total(
        out,
        _times(tangent(c), beta),
        None if ta is None else alpha * (ta @ b),
        None if tb is None else alpha * (a @ tb),
    )


def _convolution(tangent: Tangent, out: Tensor, x: Tensor, weight: Tensor, bias: Any, *geometry: Any) -> Tensor:
    if tangent(weight) is not None or tangent(bias) is not None:
        raise ExportError("a convolution whose weights depend on the data cannot be exported in a derivative")
    result: Tensor = aten.convolution.default(tangent(x), weight, None, *geometry)
    return result


def _cat(tangent: Tangent, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    parts = [torch.zeros_like(x) if (t := tangent(x)) is None else t for x in tensors]
    return torch.cat(parts, dim)


def _where(tangent: Tangent, out: Tensor, mask: Tensor, a: Any, b: Any) -> Tensor:
    ta, tb = tangent(a), tangent(b)
    return torch.where(mask, 0.0 if ta is None else ta, 0.0 if tb is None else tb)


def _extremum(tangent: Tangent, out: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return _where(tangent, out, out == a, a, b)


def _softmax(tangent: Tangent, out: Tensor, x: Tensor, dim: int, half: bool) -> Tensor:
    tx = tangent(x)
    assert tx is not None
    t = out * tx
    return t - out * t.sum(dim, keepdim=True)


def _log_softmax(tangent: Tangent, out: Tensor, x: Tensor, dim: int, half: bool) -> Tensor:
    t = tangent(x)
    assert t is not None
    return t - (torch.exp(out) * t).sum(dim, keepdim=True)


RULES: dict[Any, Rule] = {
    aten.add: _add,
    aten.sub: _sub,
    aten.rsub: _rsub,
    aten.mul: _mul,
    aten.div: _div,
    aten.mm: _matmul,
    aten.bmm: _matmul,
    aten.mv: _matmul,
    aten.addmm: _addmm,
    aten.baddbmm: _addmm,
    aten.convolution: _convolution,
    aten.cat: _cat,
    aten.where: _where,
    aten.maximum: _extremum,
    aten.minimum: _extremum,
    aten._softmax: _softmax,
    aten._log_softmax: _log_softmax,
}

# -- normalisations and attention --------------------------------------------------------------------------------------


def _standardized(tangent: Tangent, x: Tensor, dims: tuple[int, ...], size: int, eps: float) -> tuple[Tensor, Tensor]:
    """y = (x - mean) / √(variance + eps) and its tangent, (ċ - y·mean(y·ċ)) / √(…) with ċ = ẋ - mean(ẋ)."""
    t = tangent(x)
    assert t is not None
    centred = x - x.sum(dims, keepdim=True) / size
    scale = torch.rsqrt((centred * centred).sum(dims, keepdim=True) / size + eps)
    y = centred * scale
    c = t - t.sum(dims, keepdim=True) / size
    return y, (c - y * ((y * c).sum(dims, keepdim=True) / size)) * scale


def _group_norm(
    tangent: Tangent, x: Tensor, weight: Any, bias: Any, n: Any, channels: int, size: int, groups: int, eps: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    each = size * (channels // groups)
    shape = (channels, *[1] * (x.ndim - 2))
    t = tangent(x)
    assert t is not None

    def grouped(value: Any) -> Tensor | None:
        return t.reshape(t.shape[0], groups, each) if value is rows else None

    rows = x.reshape(x.shape[0], groups, each)
    y, yt = (part.reshape(x.shape) for part in _standardized(grouped, rows, (-1,), each, eps))
    if weight is not None:
        y, yt = y * weight.reshape(shape), yt * weight.reshape(shape)
    return ((y if bias is None else y + bias.reshape(shape)), None, None), (yt, None, None)


def _layer_norm(
    tangent: Tangent, x: Tensor, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    y, yt = _standardized(tangent, x, tuple(range(-len(shape), 0)), math.prod(shape), eps)
    if weight is not None:
        y, yt = y * weight, yt * weight
    return ((y if bias is None else y + bias), None, None), (yt, None, None)


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, None]:
    if is_causal:
        raise ExportError("causal attention cannot be exported in a derivative")
    scores = q @ k.transpose(-1, -2) * (1.0 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, -1) @ v, None


#: operators whose value is written out along with its tangent; outputs for reverse mode are omitted
PAIRS: dict[Any, Rule] = {aten.native_group_norm: _group_norm, aten.native_layer_norm: _layer_norm}

#: operators written out in terms of others
COMPOSITE: dict[Any, Rule] = {aten._scaled_dot_product_flash_attention_for_cpu: _attention}
