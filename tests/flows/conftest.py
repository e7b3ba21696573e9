"""Every transform, and small flows, with weights far from where they start."""

import math
from dataclasses import dataclass
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from zoo.models.contexts import StandardizedContext  # noqa: E402 - after the check for torch
from zoo_flows.transforms import (  # noqa: E402 - after the check for torch
    ActNorm,
    AdditiveMap,
    AffineMap,
    Angles,
    Autoregressive,
    BatchNorm,
    Checkered,
    CircularMap,
    Continuous,
    Coupling,
    ElementwiseSpline,
    HistogramMap,
    Householder,
    IntegralMap,
    Interval,
    Inverted,
    InvertibleConv1x1,
    LipschitzCNN,
    LipschitzMLP,
    Logit,
    LULinear,
    Marginals,
    MultiScale,
    Patchwise,
    Permutation,
    Pixelwise,
    Planar,
    Radial,
    Residual,
    Scale,
    SigmoidalMap,
    SplineMap,
    Squeeze,
    Standardize,
    Sylvester,
    Transform,
    VelocityMLP,
)
from zoo_flows.transforms.circular import OfAngles, wrapped  # noqa: E402
from zoo_flows.transforms.convolutional import ResidualCNN  # noqa: E402
from zoo_flows.transforms.networks import ResidualMLP  # noqa: E402

SPLINE = SplineMap(6, 3.0)


def conditioner(context):
    return partial(ResidualMLP, context=context, hidden=16, blocks=1)


def image(channels, *levels):
    """Transforms of ``[channels, 2, 2]`` as one of vectors."""
    return MultiScale((channels, 2, 2), levels)


def fitted(marginals):
    """Prepared on numbers of different scales, and on categories."""
    generator = torch.Generator().manual_seed(0)
    columns = [
        torch.randint(count, (60,), generator=generator) + torch.rand(60, generator=generator, dtype=torch.float64)
        if count
        else 3.0 * torch.randn(60, generator=generator, dtype=torch.float64).exp()
        for count in marginals.categories
    ]
    marginals.double().prepare(torch.stack(columns, 1))
    return marginals


def convolutional(context):
    return partial(ResidualCNN, context=context, hidden=6, blocks=1)


#: name -> maker of the transform for vectors of a size and contexts of a size
MAKERS = {
    "coupling": lambda size, context: Coupling(size, SPLINE, conditioner(context)),
    "coupling-affine": lambda size, context: Coupling(size, AffineMap(), conditioner(context)),
    "coupling-additive": lambda size, context: Coupling(size, AdditiveMap(), conditioner(context), swap=True),
    "coupling-circular": lambda size, context: Coupling(
        size, CircularMap(6), partial(OfAngles, conditioner(context)), swap=True
    ),
    "angles": lambda size, context: Angles(0.0, 24.0),
    "scale": lambda size, context: Scale(size),
    "actnorm": lambda size, context: ActNorm([size]),
    "batchnorm": lambda size, context: BatchNorm([size]).eval(),
    "householder": lambda size, context: Householder(size),
    "householder-few": lambda size, context: Householder(size, 2),
    "planar": lambda size, context: Planar(size, context=context),
    "radial": lambda size, context: Radial(size, context=context),
    "sylvester": lambda size, context: Sylvester(size, rank=size, reflections=3, context=context),
    "sylvester-low-rank": lambda size, context: Sylvester(size, rank=min(size, 2), reflections=0),
    "residual": lambda size, context: Residual(LipschitzMLP(size, context=context, hidden=12), size),
    "residual-elu": lambda size, context: Residual(
        LipschitzMLP(size, hidden=8, layers=1, bound=0.5, activation="elu"), size
    ),
    "continuous": lambda size, context: Continuous(VelocityMLP(size, context=context, hidden=4, layers=1), steps=192),
    "elementwise": lambda size, context: ElementwiseSpline(size, bins=6, bound=3.0),
    "lu": lambda size, context: LULinear(size),
    "lu-in-place": lambda size, context: LULinear(size, permute=False),
    "permutation": lambda size, context: Permutation(size),
    "reverse": lambda size, context: Permutation.reverse(size),
    "autoregressive": lambda size, context: Autoregressive(size, AffineMap(), context=context, hidden=(12, 8)),
    "autoregressive-alone": lambda size, context: Autoregressive(size, AffineMap(), hidden=(3,)),
    "autoregressive-spline": lambda size, context: Autoregressive(
        size, SPLINE, context=context, hidden=(8, 8, 8), residual=True
    ),
    "autoregressive-sigmoidal": lambda size, context: Autoregressive(
        size, SigmoidalMap(5), context=context, hidden=(12, 8)
    ),
    "autoregressive-integral": lambda size, context: Autoregressive(
        size, IntegralMap(3, hidden=(6, 5), nodes=24, bound=3.0), context=context, hidden=(8,)
    ),
    "patchwise": lambda size, context: Patchwise(
        size, AffineMap(), patch=1, context=context, width=8, layers=2, heads=2
    ),
    "inverse-patchwise": lambda size, context: Inverted(
        Patchwise(size, SPLINE, patch=1, context=context, width=4, layers=1, heads=1)
    ),
    "interval": lambda size, context: Interval(-3.0, 5.0),
    "image-pixelwise": lambda c, context: Pixelwise(
        (c, 2, 2), SPLINE, context=context, width=6, blocks=2, field=2, reach=1
    ),
    "image-pixelwise-histogram": lambda c, context: Pixelwise(
        (c, 2, 2), HistogramMap(6, 3.0), context=context, width=4, blocks=1, field=1, reach=1
    ),
    "image-pixelwise-levels": lambda c, context: Inverted(
        Pixelwise((c, 2, 2), HistogramMap(5), width=4, blocks=1, field=1, reach=1, levels=5)
    ),
    "inverse-autoregressive": lambda size, context: Inverted(
        Autoregressive(size, AffineMap(), context=context, hidden=(12, 8))
    ),
    "inverse-autoregressive-spline": lambda size, context: Inverted(Autoregressive(size, SPLINE, hidden=(8,))),
    "image-squeeze": lambda c, context: image(c, [Squeeze()]),
    "image-actnorm": lambda c, context: image(c, [ActNorm([c, 2, 2])]),
    "image-batchnorm": lambda c, context: image(c, [BatchNorm([c, 2, 2]).eval()]),
    "image-conv1x1": lambda c, context: image(c, [InvertibleConv1x1(c)]),
    "image-residual": lambda c, context: Residual(LipschitzCNN((c, 2, 2), context=context, hidden=4), 4 * c),
    "image-coupling": lambda c, context: image(c, [Coupling(c, AffineMap(), convolutional(context))]),
    "image-checkered": lambda c, context: image(
        c, [Checkered(Coupling(2 * c, AffineMap(), convolutional(context), swap=True))]
    ),
    "image-levels": lambda c, context: image(
        c,
        [InvertibleConv1x1(c), Squeeze(), Coupling(4 * c, AffineMap(), convolutional(context))],
        [Coupling(2 * c, AffineMap(), convolutional(context), swap=True)],
    ),
    "standardize": lambda size, context: Standardize(size),
    "logit": lambda size, context: Logit(17, 0.01),
    "marginals": lambda size, context: fitted(Marginals(size, knots=5, categories=[0, 3, *[0] * (size - 2)][:size])),
}


#: round trips in float64 of what is inverted by steps of a differential equation, and not in closed form
INTEGRATED = {"continuous": 1e-6}


def scramble(module, *, seed=0, scale=0.4):
    """Give all parameters, and what is fitted to data, random values; a convolution sums so many more of them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            positions = math.prod(parameter.shape[2:])
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(scale / math.sqrt(positions) * values)
        for part in module.modules():
            if isinstance(part, Standardize):
                part.shift.copy_(torch.randn(part.shift.shape, generator=generator))
                part.scale.copy_(0.5 + torch.rand(part.scale.shape, generator=generator))
            if isinstance(part, BatchNorm):
                part.mean.copy_(torch.randn(part.mean.shape, generator=generator))
                part.variance.copy_(0.5 + torch.rand(part.variance.shape, generator=generator))
            if isinstance(part, StandardizedContext):
                part.shift.copy_(torch.linspace(-0.5, 1.0, part.shift.numel()))
                part.scale.copy_(torch.linspace(0.7, 1.5, part.scale.numel()))
    return module


@dataclass
class Case:
    """A transform with inputs that suit it."""

    name: str
    transform: Transform
    x: torch.Tensor
    context: torch.Tensor | None

    def at(self, dtype):
        return Case(
            self.name,
            self.transform.to(dtype),
            self.x.to(dtype),
            None if self.context is None else self.context.to(dtype),
        )


@pytest.fixture(scope="session", name="scramble")
def scramble_fixture():
    """The function above."""
    return scramble


@pytest.fixture(scope="session")
def make_case():
    """Cases by name and size, in float64."""

    def make(name, size, *, n=64, context=2):
        torch.manual_seed(1)
        transform = scramble(MAKERS[name](size, context)).double()
        x = 2.0 * torch.randn(n, 4 * size if name.startswith("image") else size, dtype=torch.float64)
        if name == "logit":
            x = 6.0 * x + 8.5  # inside and outside of [0, 17]
        if name == "angles":
            x = 24.0 * torch.rand(n, size, dtype=torch.float64)
        if name == "image-pixelwise-histogram":
            x = 6.0 * torch.rand(n, 4 * size, dtype=torch.float64) - 3.0  # outside there is no density
        if name == "coupling-circular":
            x = wrapped(x)
        return Case(name, transform, x, torch.randn(n, context, dtype=torch.float64))

    return make


@pytest.fixture
def closeness(name):
    """How near to where it started a round trip in float64 ends."""
    return INTEGRATED.get(name, 1e-10)


@pytest.fixture(params=MAKERS)
def name(request):
    """Of each transform."""
    return request.param


@pytest.fixture
def case(name, make_case):
    """Each transform on vectors of 5 components, in float64."""
    return make_case(name, 5)


@pytest.fixture
def same(request):
    """Compares with another library, and keeps the largest difference for ``scripts/flow_parity.py``."""

    def compare(quantity, given, expected, tolerance=1e-5):
        torch.testing.assert_close(given, expected, rtol=tolerance, atol=tolerance)
        difference = float(((given - expected).abs() / (1 + expected.abs())).max())
        request.node.user_properties.append((quantity, difference))

    return compare
