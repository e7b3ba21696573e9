"""With the networks and weights of nflows' RealNVP, NICE and Glow, ours are the same models to 1e-5. Needs nflows."""

import math
import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    nflows = pytest.importorskip("nflows", reason="nflows, whose flows are compared, is not installed")
    from nflows import distributions, flows
    from nflows import transforms as their
    from nflows.nn import nets

from zoo_flows.glow import Glow  # noqa: E402 - after the checks
from zoo_flows.nice import NICE  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402
from zoo_flows.transforms import ActNorm, Coupling, Householder, InvertibleConv1x1  # noqa: E402

#: they use a function of torch that is no more recommended
pytestmark = pytest.mark.filterwarnings("ignore:torch.triangular_solve")
VECTOR = {"kind": "vector", "size": 2}


class Theirs(torch.nn.Module):
    """The conditioner of one of their couplings, whose scales sigmoid(v + 2) + 0.001 are told as our u."""

    def __init__(self, coupling, map):
        super().__init__()
        self.limit = math.log(getattr(map, "largest", math.inf))
        self.coupling = coupling
        self.affine = not isinstance(coupling, their.AdditiveCouplingTransform)

    def forward(self, x, context):
        made = self.coupling.transform_net(x, context)
        if not self.affine:
            return made
        scale, shift = self.coupling._scale_and_shift(made)
        log_scale = scale.log()
        return torch.stack([shift, log_scale / (1 - log_scale.abs() / self.limit)], dim=2).flatten(1, 2)


def mask(size):
    return torch.tensor([0] * (size // 2) + [1] * (size - size // 2))


def mlp(context):
    return lambda inputs, outputs: nets.ResidualNet(inputs, outputs, 12, context_features=context, num_blocks=1)


def cnn(inputs, outputs):
    return nets.ConvResidualNet(inputs, outputs, 6, num_blocks=1)


def scrambled(flow):
    for parameter in flow.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape))
    return flow.eval()


def copy_one(source, target):
    """Give one of our transforms what one of theirs has."""
    if isinstance(target, Coupling):
        target.network = Theirs(source, target.map)
    elif isinstance(target, ActNorm):
        target.log_scale.copy_(-source.log_scale.reshape(target.log_scale.shape))
        target.shift.copy_((-source.shift / source.scale).reshape(target.shift.shape))
    elif isinstance(target, InvertibleConv1x1):
        weight, _ = source(torch.eye(source.features)[:, :, None, None])
        permutation, lower, upper = torch.linalg.lu(weight[:, :, 0, 0].T.contiguous())
        target.order.copy_(permutation.argmax(1))
        target.sign.copy_(upper.diagonal().sign())
        packed = torch.tril(lower, -1) + torch.triu(upper, 1) + torch.diag(upper.diagonal().abs().log())
        target.packed.copy_(packed)


def check(theirs, ours, x, c, same):
    ours.eval()
    condition = {} if c is None else {"condition": c}
    expected = theirs.log_prob(x, c)
    same("log-density", ours.log_prob(x, **condition), expected)
    assert (expected - ours.log_prob(x + 0.1, **condition)).abs().max() > 1e-2
    noise, _ = theirs._transform(x, c)
    given, _ = ours.to_noise(x, c)
    torch.testing.assert_close(given.flatten(1).sort(1)[0], noise.flatten(1).sort(1)[0], rtol=1e-5, atol=1e-5)
    samples = theirs._transform.inverse(noise, c)[0]
    same("samples", ours.inverse(given, c), samples)


@torch.no_grad()
@pytest.mark.parametrize("context", [None, 2])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(NICE, marks=pytest.mark.parity("nice", "nflows", "whole flows, with and without context")),
        pytest.param(RealNVP, marks=pytest.mark.parity("realnvp", "nflows", "whole flows, with and without context")),
    ],
)
def test_vectors(kind, context, same):
    torch.manual_seed(0)
    d = 5
    condition = VECTOR if context else None
    layers = []
    for index in range(3):
        layers += [their.ReversePermutation(d)] if index else []
        coupling = their.AdditiveCouplingTransform if kind is NICE else their.AffineCouplingTransform
        layers.append(coupling(mask(d), mlp(context)))
        layers += [their.ActNorm(d)] if kind is RealNVP else []
    layers += [their.ActNorm(d)] if kind is NICE else []
    theirs = scrambled(flows.Flow(their.CompositeTransform(layers), distributions.StandardNormal([d])))
    ours = kind(event_shape=[d], transforms=3, condition=condition)
    if kind is NICE:
        layers[-1].shift.zero_()
        ours.transforms[-1].log_scale.copy_(layers[-1].log_scale)
    for source, target in zip(layers, ours.transforms, strict=True):
        copy_one(source, target)
    c = torch.randn(100, 2) if context else None
    check(theirs, ours, torch.randn(100, d), c, same)


@torch.no_grad()
@pytest.mark.parity("glow", "nflows", "whole flows of two scales, affine and additive")
@pytest.mark.parametrize("coupling", ["affine", "additive"])
def test_images(coupling, same):
    torch.manual_seed(0)
    multiscale = their.MultiscaleCompositeTransform(2)
    ours = Glow(event_shape=[1, 8, 8], scales=2, steps=2, coupling=coupling)
    made = their.AffineCouplingTransform if coupling == "affine" else their.AdditiveCouplingTransform
    shape, levels = (1, 8, 8), []
    for scale in range(2):
        channels, side = 4 * shape[0], shape[1] // 2
        level = [their.SqueezeTransform()]
        for _ in range(2):
            level += [
                their.ActNorm(channels),
                their.OneByOneConvolution(channels, identity_init=False),
                made(mask(channels), cnn),
            ]
        if scale == 0:  # our learned prior of what leaves, and theirs lets the first half leave
            level.append(their.AffineCouplingTransform(mask(channels), cnn))
            exchanged = torch.arange(channels).roll(channels // 2)
            level.append(their.Permutation(exchanged))
        levels.append(level)
        shape = multiscale.add_transform(their.CompositeTransform(level), (channels, side, side))
    theirs = scrambled(flows.Flow(multiscale, distributions.StandardNormal([64])))
    for level in levels:
        for transform in level:
            if isinstance(transform, their.OneByOneConvolution):
                transform.bias.zero_()
    for level, mine in zip(levels, ours.transforms[0].levels, strict=True):
        for source, target in zip(level, mine, strict=False):
            copy_one(source, target)
    check(theirs, ours, torch.randn(50, 1, 8, 8), None, same)


@torch.no_grad()
@pytest.mark.parity("householder", "nflows", "mixing by a product of three reflections")
def test_householder(same):
    theirs = their.HouseholderSequence(5, 3)
    theirs.q_vectors.copy_(torch.randn(3, 5))
    ours = Householder(5, 3)
    ours.vectors.copy_(theirs.q_vectors)
    x = torch.randn(20, 5)
    same("samples", ours(x)[0], theirs(x)[0])
