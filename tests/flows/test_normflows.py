"""With the weights of normflows' planar, radial, residual and checkerboard transforms, ours are the same."""

import math
import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    normflows = pytest.importorskip("normflows", reason="normflows, whose transforms are compared, is not installed")

from zoo_flows.planar import PlanarFlow  # noqa: E402 - after the checks
from zoo_flows.radial import RadialFlow  # noqa: E402
from zoo_flows.residual import ResidualFlow  # noqa: E402
from zoo_flows.transforms import AdditiveMap, Checkered, Coupling  # noqa: E402
from zoo_flows.transforms.root import LEAST_SLOPE  # noqa: E402

_LIMIT = math.log(1e3)


def unconstrained(c):
    """The inverse of :func:`zoo_flows.transforms.root.invertible`."""
    offset = math.log(math.expm1(1 - LEAST_SLOPE))
    return torch.log(torch.expm1(c + 1 - LEAST_SLOPE)) - offset


def check(theirs, ours, x, same):
    """Their flow from base to samples is ours from data to base noise: both evaluate eq. 10, or 14, there."""
    z, total = x, 0.0
    for layer in theirs:
        z, log_det = layer(z)
        total = total + log_det
    given, given_log_det = ours.to_noise(x)
    torch.testing.assert_close(given, z, rtol=1e-5, atol=1e-5)
    same("log-density", given_log_det, total)
    assert (given - x).abs().max() > 0.1
    same("samples", ours.to_data(z)[0], x)


@torch.no_grad()
@pytest.mark.parity("planar", "normflows", "chains of five transforms")
def test_planar(same):
    torch.manual_seed(0)
    theirs = [normflows.flows.Planar((4,)) for _ in range(5)]
    ours = PlanarFlow(event_shape=[4], transforms=5)
    for source, target in zip(theirs, ours.transforms, strict=True):
        source.b.fill_(0.3)
        u, w = source.u[0], source.w[0]
        target.w.copy_(w)
        target.bias.copy_(source.b)
        along = w @ u
        free = unconstrained(torch.log1p(along.exp()) - 1)
        target.u.copy_(u + (free - along) / w.square().sum() * w)
    check(theirs, ours, 2 * torch.randn(200, 4), same)


@torch.no_grad()
@pytest.mark.parity("radial", "normflows", "chains of five transforms")
def test_radial(same):
    torch.manual_seed(0)
    theirs = [normflows.flows.Radial((4,)) for _ in range(5)]
    ours = RadialFlow(event_shape=[4], transforms=5)
    for source, target in zip(theirs, ours.transforms, strict=True):
        source.alpha.copy_(0.5 + torch.rand(1))
        source.beta.copy_(torch.randn(1))
        target.centre.copy_(source.z_0[0])
        log_alpha = source.alpha.abs().log()
        target.log_alpha.copy_(log_alpha / (1 - log_alpha.abs() / _LIMIT))
        beta = torch.log1p(source.beta.exp()) - source.alpha.abs()
        target.strength.copy_(unconstrained(beta / source.alpha.abs()))
    check(theirs, ours, 2 * torch.randn(200, 4), same)


@torch.no_grad()
@pytest.mark.parity("residual", "normflows", "chains of four blocks of two components")
def test_residual(same):
    """Of two components, whose determinants they have exactly. Their networks begin with an activation, ours do not."""
    torch.manual_seed(0)
    theirs, ours = [], ResidualFlow(event_shape=[2], transforms=4, hidden=16, lipschitz=0.99, actnorm=False)
    for target in ours.transforms:
        made = normflows.nets.LipschitzMLP([2, 16, 16, 2], lipschitz_const=0.9, init_zeros=False)
        _, *layers = made.net
        theirs.append(normflows.flows.Residual(torch.nn.Sequential(*layers), reverse=False).eval())
        for source, linear in zip(layers[::2], target.network.layers, strict=True):
            source.weight.mul_(4.0)
            linear.weight.copy_(source.compute_weight(n_iterations=500))
            linear.bias.copy_(source.bias)
        for source, activation in zip(layers[1::2], target.network.activations, strict=True):
            activation.raw.copy_(source.beta)
    check(theirs, ours, 2 * torch.randn(200, 2), same)


@torch.no_grad()
@pytest.mark.parity("realnvp", "normflows", "with scales, a coupling of a checkerboard's colours")
@pytest.mark.parametrize("swap", [False, True])
def test_a_coupling_of_the_colours_of_a_checkerboard(swap, same):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 3, padding=1)  # their colours change from channel to channel, too

    class Conditioner(torch.nn.Module):
        def forward(self, x, context):
            return network(x)

    mode = "checkerboard_inv" if swap else "checkerboard"
    theirs = normflows.flows.AffineCouplingBlock(network, scale=False, split_mode=mode)
    x = torch.randn(7, 1, 4, 6)
    found = []
    for swapped in (False, True):
        ours = Checkered(Coupling(2, AdditiveMap(), lambda i, o: Conditioner(), swap=swapped))
        z, _ = ours(x)
        torch.testing.assert_close(ours.inverse(z)[0], x)
        found.append(torch.allclose(z, theirs(x)[0], rtol=1e-5, atol=1e-5))
        if found[-1]:
            same("samples", z, theirs(x)[0])
    assert sorted(found) == [False, True]  # which colour is the first is a convention
