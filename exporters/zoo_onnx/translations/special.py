"""Special functions, accurate to float32 over its whole range.

The polynomials are Chebyshev interpolants of float64 values, except for the two with a cited source.
"""

from __future__ import annotations

import math

import torch

from zoo_onnx.translations.exponentials import log1p
from zoo_onnx.translations.parts import Table, Traced, like, op, polynomial

aten = torch.ops.aten

#: log(erfcx(x)/t) with t = 2/(2 + x), in 2t - 1
_LOG_ERFCX = (
    *(-0.671794085, 0.672643221, 0.0473434175, -0.0468954822, -0.00987453492, 0.00882355818, 0.00177066612),
    *(-0.00233927772, -0.000182782141, 0.000657953847, -3.21137728e-05, -0.00015463379, 1.33715037e-05),
    2.07230708e-05,
)
#: lgamma(x)/((x - 1)(x - 2)) for 1 <= x <= 3, in x - 2
_LGAMMA = (
    *(0.422784336, -0.100317304, 0.0329649469, -0.0123841154, 0.00499948051, -0.00210893972, 0.000910506309),
    *(-0.000401989165, 0.000195799474, -9.17231165e-05, 2.0249377e-05, -7.29127007e-06, 1.93087504e-05),
    -9.67475063e-06,
)
# Giles 2012, Approximating the erfinv function, table 5, lowest power first
_ERFINV_CENTRAL = (
    *(1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087),
    *(-4.39150654e-06, -3.5233877e-06, 3.43273939e-07, 2.81022636e-08),
)
_ERFINV_TAIL = (
    *(2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773),
    *(-0.00367342844, 0.00134934322, 0.000100950558, -0.000200214257),
)
# Wichura 1988, algorithm AS 241, PPND7: numerators and denominators
_NDTRI_CENTRAL = (
    (3.3871327179, 50.434271938, 159.29113202, 59.109374720),
    (1.0, 17.895169469, 78.757757664, 67.187563600),
)
_NDTRI_NEAR = (1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103), (1.0, 0.73700164250, 0.12021132975)
_NDTRI_FAR = (6.6579051150, 3.0812263860, 0.42868294337, 0.017337203997), (1.0, 0.24197894225, 0.012258202635)


def erfcx(x: Traced) -> Traced:
    """exp(x²)·erfc(x), which does not underflow in the tail."""
    zero, two = like(0.0, x), like(2.0, x)
    tail = _erfcx_tail(op.Max(x, zero))
    left = op.Sub(op.Mul(two, _exp_square(op.Min(x, zero), 1.0)), _erfcx_tail(op.Abs(x)))
    return op.Where(op.Less(x, zero), left, tail)


def erfc(x: Traced) -> Traced:
    """1 - erf(x), or exp(-x²)·erfcx(x) where that would lose digits."""
    half = like(0.5, x)
    right = op.Max(x, half)
    tail = op.Mul(_exp_square(right, -1.0), _erfcx_tail(right))
    return op.Where(op.Less(x, half), op.Sub(like(1.0, x), op.Erf(x)), tail)


def log_ndtr(x: Traced) -> Traced:
    """log Φ(x): from log erfcx on the left, where Φ vanishes, and log1p on the right, where it is nearly 1."""
    root, half, edge = like(math.sqrt(0.5), x), like(0.5, x), like(-1.0, x)
    left = op.Min(x, edge)
    tail = op.Sub(op.Log(op.Mul(half, _erfcx_tail(op.Neg(op.Mul(left, root))))), op.Mul(half, op.Mul(left, left)))
    right = log1p(op.Neg(op.Mul(half, erfc(op.Mul(op.Max(x, edge), root)))))
    return op.Where(op.Less(x, edge), tail, right)


def erfinv(x: Traced) -> Traced:
    """The inverse of erf on [-1, 1] (Giles 2012)."""
    one, edge = like(1.0, x), like(5.0, x)
    # log1p for accuracy near 0; and the product, since 1 - x² loses digits near 1
    w = op.Neg(op.Where(op.Less(op.Abs(x), like(0.5, x)), log1p(op.Neg(op.Mul(x, x))), _log_one_minus_square(x, one)))
    central = polynomial(op.Sub(op.Min(w, edge), like(2.5, x)), _ERFINV_CENTRAL)
    tail = polynomial(op.Sub(op.Sqrt(op.Max(w, edge)), like(3.0, x)), _ERFINV_TAIL)
    inside = op.Mul(x, op.Where(op.Less(w, edge), central, tail))
    return op.Where(op.Equal(op.Abs(x), one), op.Mul(x, like(math.inf, x)), inside)


def ndtri(p: Traced) -> Traced:
    """The quantile of the standard normal (Wichura 1988)."""
    half, zero = like(0.5, p), like(0.0, p)
    q = op.Sub(p, half)
    middle = op.LessOrEqual(op.Abs(q), like(0.425, p))
    inner = op.Where(middle, q, zero)
    r = op.Sub(like(0.180625, p), op.Mul(inner, inner))
    central = op.Mul(inner, _ratio(r, _NDTRI_CENTRAL))
    smaller = op.Where(middle, half, op.Min(p, op.Sub(like(1.0, p), p)))
    root = op.Sqrt(op.Neg(op.Log(smaller)))
    five = like(5.0, p)
    near = _ratio(op.Sub(op.Min(root, five), like(1.6, p)), _NDTRI_NEAR)
    # it is unbounded in the tails, and must not become 0/0
    far = _ratio(op.Sub(op.Min(op.Max(root, five), like(1e4, p)), five), _NDTRI_FAR)
    tail = op.Where(op.Equal(smaller, zero), like(math.inf, p), op.Where(op.Less(root, five), near, far))
    return op.Where(middle, central, op.Mul(op.Sign(q), tail))


def lgamma(x: Traced) -> Traced:
    """log |Γ(x)|: a polynomial on [1, 3], Stirling's series from 8 on, recurrence and reflection elsewhere."""
    half, one = like(0.5, x), like(1.0, x)
    reflected = op.Less(x, half)
    y = op.Where(reflected, op.Sub(one, x), x)
    right = _lgamma_right(y)
    distance = op.Sub(x, op.Round(x))
    sine = op.Abs(op.Sin(op.Mul(like(math.pi, x), distance)))
    # for small x, lgamma(x) = lgamma(1 + x) - log(x) keeps its digits
    left = op.Sub(op.Log(op.Div(like(math.pi, x), sine)), right)
    # between 0 and ½: one step up by recurrence
    step = op.And(reflected, op.Greater(x, like(0.0, x)))
    inside = op.Where(step, x, one)
    up = op.Sub(_lgamma_near(op.Add(inside, one)), op.Log(inside))
    return op.Where(step, up, op.Where(reflected, left, right))


def digamma(x: Traced) -> Traced:
    """(log Γ)′(x): eight steps up, the asymptotic series, and reflection."""
    half, one = like(0.5, x), like(1.0, x)
    reflected = op.Less(x, half)
    y = op.Where(reflected, op.Sub(one, x), x)
    far = op.Add(y, like(8.0, x))
    inverse = op.Div(one, far)
    square = op.Mul(inverse, inverse)
    series = op.Mul(square, polynomial(square, (1 / 12, -1 / 120, 1 / 252, -1 / 240)))
    result = op.Sub(op.Sub(op.Log(far), op.Mul(half, inverse)), series)
    for step in range(8):
        result = op.Sub(result, op.Div(one, op.Add(y, like(float(step), x))))
    pi = like(math.pi, x)
    angle = op.Mul(pi, op.Sub(x, op.Round(x)))
    return op.Where(reflected, op.Sub(result, op.Div(pi, op.Tan(angle))), result)


def hypot(a: Traced, b: Traced) -> Traced:
    """√(a² + b²) without overflow or underflow of the squares."""
    a, b = op.Abs(a), op.Abs(b)
    largest, zero = op.Max(a, b), like(0.0, a)
    safe = op.Where(op.Equal(largest, zero), like(1.0, a), largest)
    ratio = op.Div(op.Min(a, b), safe)
    return op.Mul(largest, op.Sqrt(op.Add(like(1.0, a), op.Mul(ratio, ratio))))


def atan2(y: Traced, x: Traced) -> Traced:
    """The angle of (x, y), which is π on the negative half of the first axis."""
    zero = like(0.0, x)
    on_axis = op.Equal(x, zero)
    base = op.Atan(op.Div(y, op.Where(on_axis, like(1.0, x), x)))
    side = op.Where(op.Less(y, zero), like(-1.0, x), like(1.0, x))
    turned = op.Where(op.Less(x, zero), op.Add(base, op.Mul(side, like(math.pi, x))), base)
    upright = op.Mul(op.Sign(y), like(math.pi / 2, x))
    return op.Where(on_axis, upright, turned)


def _erfcx_tail(x: Traced) -> Traced:
    """erfcx for x ≥ 0."""
    t = op.Div(like(2.0, x), op.Add(like(2.0, x), x))
    return op.Mul(t, op.Exp(polynomial(op.Sub(op.Add(t, t), like(1.0, x)), _LOG_ERFCX)))


def _exp_square(x: Traced, sign: float) -> Traced:
    """exp(±x²) with the square in two parts, since rounding 81 costs exp(81) three digits."""
    sixteen = like(16.0, x)
    # clamped to what overflows anyway, or the parts would be infinities of both signs
    x = op.Min(op.Max(x, like(-20.0, x)), like(20.0, x))
    short = op.Div(op.Round(op.Mul(x, sixteen)), sixteen)
    rest = op.Mul(op.Sub(x, short), op.Add(x, short))
    signed = like(sign, x)
    return op.Mul(op.Exp(op.Mul(signed, op.Mul(short, short))), op.Exp(op.Mul(signed, rest)))


def _log_one_minus_square(x: Traced, one: Traced) -> Traced:
    return op.Log(op.Mul(op.Sub(one, x), op.Add(one, x)))


def _ratio(x: Traced, of: tuple[tuple[float, ...], tuple[float, ...]]) -> Traced:
    return op.Div(polynomial(x, of[0]), polynomial(x, of[1]))


def _lgamma_near(x: Traced) -> Traced:
    """lgamma on [1, 3]."""
    u = op.Sub(x, like(2.0, x))
    return op.Mul(op.Mul(op.Sub(x, like(1.0, x)), u), polynomial(u, _LGAMMA))


def _lgamma_right(x: Traced) -> Traced:
    """lgamma for x ≥ ½."""
    one, three, eight = (like(v, x) for v in (1.0, 3.0, 8.0))
    low = op.Less(x, one)
    up = op.Where(low, op.Add(x, one), x)
    near = _lgamma_near(op.Min(up, three))
    near = op.Sub(near, op.Where(low, op.Log(x), like(0.0, x)))
    middle = op.Less(x, eight)
    # between 3 and 8: five steps up to where the series is accurate
    inner = op.Where(middle, x, one)
    product = inner
    for step in range(1, 5):
        product = op.Mul(product, op.Add(inner, like(float(step), x)))
    far = op.Where(middle, op.Add(x, like(5.0, x)), x)
    inverse = op.Div(one, far)
    series = op.Mul(inverse, polynomial(op.Mul(inverse, inverse), (1 / 12, -1 / 360, 1 / 1260)))
    stirling = op.Add(op.Sub(op.Mul(op.Sub(far, like(0.5, x)), op.Sub(op.Log(far), one)), like(0.5, x)), series)
    stirling = op.Add(stirling, like(0.5 * math.log(2 * math.pi), x))
    steps = op.Where(middle, op.Log(product), like(0.0, x))
    return op.Where(op.LessOrEqual(x, three), near, op.Sub(stirling, steps))


TABLE: Table = {
    aten.erfc.default: erfc,
    aten.special_erfcx.default: erfcx,
    aten.special_log_ndtr.default: log_ndtr,
    aten.erfinv.default: erfinv,
    aten.special_ndtri.default: ndtri,
    aten.lgamma.default: lgamma,
    aten.digamma.default: digamma,
    aten.hypot.default: hypot,
    aten.atan2.default: atan2,
}
