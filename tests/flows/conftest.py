"""Every transform, and small flows, with weights far from where they start."""

from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")

from zoo_flows.transforms import (  # noqa: E402 - after the check for torch
    AffineMap,
    Autoregressive,
    ElementwiseSpline,
    Inverted,
    Logit,
    LULinear,
    Permutation,
    SplineCoupling,
    SplineMap,
    Standardize,
    Transform,
)

SPLINE = SplineMap(6, 3.0)

#: name -> maker of the transform for vectors of a size and contexts of a size
MAKERS = {
    "coupling": lambda size, context: SplineCoupling(size, context=context, bins=6, bound=3.0, hidden=16, blocks=1),
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
    "inverse-autoregressive": lambda size, context: Inverted(
        Autoregressive(size, AffineMap(), context=context, hidden=(12, 8))
    ),
    "inverse-autoregressive-spline": lambda size, context: Inverted(Autoregressive(size, SPLINE, hidden=(8,))),
    "standardize": lambda size, context: Standardize(size),
    "logit": lambda size, context: Logit(17, 0.01),
}


def scramble(module, *, seed=0, scale=0.4):
    """Give all parameters, and what is fitted to data, random values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        for part in module.modules():
            if isinstance(part, Standardize):
                part.shift.copy_(torch.randn(part.shift.shape, generator=generator))
                part.scale.copy_(0.5 + torch.rand(part.scale.shape, generator=generator))
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
        x = 2.0 * torch.randn(n, size, dtype=torch.float64)
        if name == "logit":
            x = 6.0 * x + 8.5  # inside and outside of [0, 17]
        return Case(name, transform, x, torch.randn(n, context, dtype=torch.float64))

    return make


@pytest.fixture(params=MAKERS)
def name(request):
    """Of each transform."""
    return request.param


@pytest.fixture
def case(name, make_case):
    """Each transform on vectors of 5 components, in float64."""
    return make_case(name, 5)
