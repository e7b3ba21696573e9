"""With the weights of zuko's MAF and NSF, ours are the same models: densities to 1e-5, samples too. Needs zuko."""

import math

import pytest

torch = pytest.importorskip("torch")
zuko = pytest.importorskip("zuko", reason="zuko, whose flows are compared, is not installed")

from zoo_flows.maf import MAF  # noqa: E402 - after the checks
from zoo_flows.nsf_ar import NSFAutoregressive  # noqa: E402
from zoo_flows.transforms import Autoregressive, CircularMap  # noqa: E402
from zoo_flows.transforms.made import REACH  # noqa: E402
from zoo_flows.umnn import UMNN  # noqa: E402


@torch.no_grad()
def copy_weights(theirs, ours):
    """Give ours the weights of theirs.

    Their odd transforms take the components from last to first, where ours reverse the components in between; their
    hidden units of a degree are spread over a layer, where ours stand side by side; their context is part of the input.
    """
    transforms = [t for t in ours.transforms if isinstance(t, Autoregressive)]
    for turn, (source, target) in enumerate(zip(theirs.transform.transforms, transforms, strict=True)):
        network = target.network
        d, p = network.size, network.outputs
        order = torch.arange(d) if turn % 2 == 0 else torch.arange(d).flip(0)
        layers = [layer for layer in source.hyper if isinstance(layer, torch.nn.Linear)]
        columns = order
        for index, layer in enumerate(layers):
            own = network.linear(index)
            if index == len(layers) - 1:
                rows = (order[:, None] * p + torch.arange(p)).flatten()
            else:
                count = d if network.context is not None or d == 1 else d - 1
                rows = torch.argsort(torch.arange(len(own.bias)) % count, stable=True)
            weight = layer.weight * layer.mask
            if index == 0 and network.context is not None:
                network.context.weight.copy_(weight[rows, d:])
                weight = weight[:, :d]
            weight = weight[rows][:, columns]
            assert torch.equal(weight * own.mask, weight)  # nothing that they read is masked here
            own.weight.copy_(weight)
            own.bias.copy_(layer.bias[rows])
            columns = rows


def pair(kind, size, context, hidden, *, factor=1.0):
    """A flow of theirs, whose weights are those of a fresh one times ``factor``, and ours."""
    torch.manual_seed(0)
    condition = {"kind": "vector", "size": context} if context else None
    common = {"event_shape": [size], "transforms": 3, "hidden": hidden, "mixing": "reverse", "condition": condition}
    if kind == "maf":
        theirs = zuko.flows.MAF(size, context, transforms=3, hidden_features=hidden)
        ours = MAF(**common, largest_slope=1e3)  # theirs
    else:
        theirs = zuko.flows.NSF(size, context, transforms=3, bins=8, hidden_features=hidden)
        ours = NSFAutoregressive(**common, bins=8, bound=5.0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(factor)
    copy_weights(theirs, ours)
    return theirs, ours.eval()


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize(("size", "hidden"), [(2, [16]), (5, [64, 64]), (16, [40, 24, 32])])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("maf", marks=pytest.mark.parity("maf", "zuko", "whole flows, with and without context")),
        pytest.param("nsf", marks=pytest.mark.parity("nsf-ar", "zuko", "whole flows, with and without context")),
    ],
)
class TestSame:
    @torch.no_grad()
    def check(self, theirs, ours, x, z, c, same, tolerance):
        expected = theirs(c).log_prob(x)
        same("log-density", ours.log_prob(x, condition=c), expected, tolerance)
        # three transforms reverse twice, so the base's components stand in the same order
        same("samples", ours.inverse(z, c), theirs(c).transform.inv(z), tolerance)
        assert (expected - ours.log_prob(x + 0.1, condition=c)).abs().max() > 1e-2

    def test_in_float32(self, kind, size, hidden, context, same):
        theirs, ours = pair(kind, size, context, hidden)
        c = torch.randn(200, context) if context else None
        self.check(theirs, ours, torch.randn(200, size), torch.randn(200, size), c, same, 1e-5)

    def test_far_from_a_gaussian_in_float64(self, kind, size, hidden, context, same):
        theirs, ours = (model.double() for model in pair(kind, size, context, hidden, factor=2.0))
        for part in theirs.modules():  # what their networks read is cut off where it is for ours
            if isinstance(part, zuko.nn.MaskedMLP):
                part.register_forward_pre_hook(lambda _, inputs: (inputs[0].clamp(-REACH, REACH),))
        x, z = 2.0 * torch.randn(2, 200, size, dtype=torch.float64)
        c = torch.randn(200, context).double() if context else None  # as float32 as conditions are
        self.check(theirs, ours, x, z, c, same, 1e-9)


@torch.no_grad()
@pytest.mark.parity("nsf-circular", "zuko", "its spline, in float64")
def test_circular_splines(same):
    """Theirs turn by π, and have slope 1 at the ends."""
    bins, n = 6, 300
    widths, heights, inner = (torch.randn(n, k, dtype=torch.float64) for k in (bins, bins, bins - 1))
    theirs = zuko.flows.spline.CircularRQSTransform(widths, heights, inner)
    ends = torch.zeros(n, 1, dtype=torch.float64)
    parameters = torch.cat([ends + math.pi, widths, heights, ends, inner], dim=1).T
    x = math.pi * (2 * torch.rand(n, dtype=torch.float64) - 1)
    z, log_slope = CircularMap(bins).forward(x[None], parameters)
    expected, expected_log_slope = theirs.call_and_ladj(x)
    same("samples", z[0], expected, 1e-9)
    same("log-density", log_slope[0], expected_log_slope, 1e-9)


@torch.no_grad()
@pytest.mark.parity("umnn", "zuko", "one transform, the integrand shared by all components, in float64")
@pytest.mark.parametrize("context", [0, 2])
def test_unconstrained_monotonic_networks(context, same):
    """Theirs has an integrand for each component, limits its slope to e⁷, and knows no tails."""
    torch.manual_seed(0)
    integrand = {"hidden_features": [8, 6], "activation": torch.nn.Tanh}
    theirs = zuko.flows.UNAF(3, context, transforms=1, signal=4, hidden_features=[16], network=integrand)
    condition = {"kind": "vector", "size": context} if context else None
    ours = UMNN(event_shape=[3], transforms=1, signal=4, hidden=[16], integrand=[8, 6], bound=10.0, condition=condition)
    theirs, ours = theirs.double().eval(), ours.double().eval()
    copy_weights(theirs, ours)
    map = ours.transforms[0].map
    map.largest = math.exp(7.0)
    source = [layer for layer in theirs.transform.transforms[0].univariate.integrand if hasattr(layer, "weight")]
    for index, (layer, own) in enumerate(zip(source, map.layers, strict=True)):
        for theirs_of, value in ((layer.weight, 2.0 * layer.weight[0]), (layer.bias, 1.0 * layer.bias[0])):
            theirs_of.copy_(value.expand_as(theirs_of))
        own.bias.copy_(layer.bias[0].flatten())
        own.weight.copy_(layer.weight[0] if index else layer.weight[0, :, 1:])
    map.time.weight.copy_(source[0].weight[0, :, :1])
    x = 2.0 * torch.randn(200, 3, dtype=torch.float64)
    c = torch.randn(200, context).double() if context else None
    expected = theirs(c).log_prob(x)
    same("log-density", ours.log_prob(x, condition=c), expected, 1e-9)
    # they halve [-10, 10] until it is 1e-6 wide
    z = theirs(c).transform(x)
    same("samples", ours.inverse(z, c), theirs(c).transform.inv(z), 1e-5)
    assert (expected - ours.log_prob(x + 0.1, condition=c)).abs().max() > 1e-2
