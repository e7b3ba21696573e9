"""Densities of samplers that search for their result: right ones pass where the search has edges, wrong ones do not.

The map from data to noise is nearly flat at many points, as sums of squares are (zuko's SOSPF): there the slope of
sampling changes within a few thousandths, and by a factor of a thousand.
"""

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from zoo.errors import ProofError  # noqa: E402 - after the checks
from zoo.models.interface import DirectModel  # noqa: E402
from zoo_onnx.proof import Proof  # noqa: E402

WAVES, FLAT, BOUND, TURNS = 30.0, 0.999, 10.0, 25


def rise(x, slope=1.0):
    """x and waves, with slopes from 0.001 to 1.999, and the logarithm of the slope."""
    return x + slope * FLAT * torch.sin(WAVES * x) / WAVES, torch.log(1 + slope * FLAT * torch.cos(WAVES * x))


class Searched(DirectModel):
    """Two numbers, of which the first shifts the second, found by bisection to 6e-7."""

    family = "flow"
    resolution = 2 * BOUND / 2**TURNS

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)
        self.shift = torch.nn.Parameter(torch.tensor(0.7))

    def forth(self, x):
        """Data to noise, with the log-determinant."""
        first, one = rise(x[:, 0])
        second, other = rise(x[:, 1] - torch.tanh(self.shift * x[:, 0]))
        return torch.stack([first, second], 1), one + other

    def search(self, z):
        low, high = torch.full_like(z, -BOUND), torch.full_like(z, BOUND)
        for _ in range(TURNS):
            middle = (low + high) / 2
            below = rise(middle)[0] < z
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def inverse(self, z, condition=None):
        found = self.search(z)
        return torch.stack([found[:, 0], found[:, 1] + torch.tanh(self.shift * found[:, 0])], 1)

    def log_density(self, x, condition=None):
        z, log_det = self.forth(x)
        return -0.5 * z.square().sum(1) - math.log(2 * math.pi) + log_det


class LedBack(Searched):
    def to_noise(self, x, condition=None):
        return self.forth(x)


class LedAstray(Searched):
    """Its ``to_noise`` is that of something else."""

    def to_noise(self, x, condition=None):
        z, log_det = self.forth(x)
        return 2 * z, log_det + 2 * math.log(2)


def scaled(base):
    class Scaled(base):
        """A density that is too large by a tenth."""

        def log_density(self, x, condition=None):
            return super().log_density(x) + 0.1

    return Scaled


def missing(base):
    class Missing(base):
        """The second slope is left out."""

        def log_density(self, x, condition=None):
            _, other = rise(x[:, 1] - torch.tanh(self.shift * x[:, 0]))
            return super().log_density(x) - other

    return Missing


def narrow(base):
    class Narrow(base):
        """A search that looks within ±1 only, where a third of the noise has no root."""

        def search(self, z):
            return super().search(z).clamp(-1, 1)

    return Narrow


def proven(model):
    """What its proof finds of the density."""
    model.eval()
    proof = Proof(model, model.programs())
    proof.of_itself()["density"]()
    return proof.density


@pytest.mark.parametrize("kind", [Searched, LedBack, LedAstray])
def test_a_right_sampler_that_searches_is_proven(kind):
    finding = proven(kind())
    assert finding.method == "jacobian"
    # led back from all samples, or differences at a few
    assert finding.points == 64 if kind is LedBack else finding.points < 64


@pytest.mark.parametrize("wrong", [scaled, missing, narrow])
@pytest.mark.parametrize("kind", [Searched, LedBack, LedAstray])
def test_a_wrong_one_is_refused(kind, wrong):
    with pytest.raises(ProofError, match=r"log_prob is not the density of what sample draws|not a bijection"):
        proven(wrong(kind)())
