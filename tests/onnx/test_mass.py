"""The mass of densities that are known, by draws around walkers: right ones have 1, scaled ones are refused.

Each right density passes and is known for sure, from examples that are data of it or are but near.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from zoo.errors import ProofError  # noqa: E402 - after the checks
from zoo_onnx.density import _of_examples  # noqa: E402
from zoo_onnx.mass import whole_mass  # noqa: E402

N = 128


def normal(mean, std):
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in (mean, std))
    return lambda x: (-0.5 * ((x - mean) / std) ** 2 - std.log() - 0.5 * math.log(2 * math.pi)).sum(1)


def mixture(*densities):
    return lambda x: torch.logsumexp(torch.stack([each(x) for each in densities]), 0) - math.log(len(densities))


def cauchy(x):
    return -(math.pi * (1 + x**2)).log().sum(1)


def exponential(x):
    return torch.where((x > 0).all(1), -x.sum(1), -math.inf)


def box(x):
    return torch.where(((x >= 0) & (x < 1)).all(1), 0.0, -math.inf).double()


def ring(x):
    """Of radius 3 and a width of 0.05."""
    radius = x.norm(dim=1)
    return normal([3.0], [0.05])(radius[:, None]) - (2 * math.pi * radius).log()


TABLE = torch.rand(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def table(x):
    """Probabilities of pairs of symbols, as a density of cells of unit size."""
    cell, sizes = x.floor(), torch.tensor(TABLE.shape)
    inside = ((cell >= 0) & (cell < sizes)).all(1)
    row, column = cell.clamp(min=0).minimum(sizes - 1).long().T
    return torch.where(inside, (TABLE / TABLE.sum())[row, column].log(), -math.inf)


def standard(size):
    return torch.randn(N, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


FAR = mixture(normal([-50.0, 0.0], [0.1, 0.1]), normal([50.0, 0.0], [0.1, 0.1]))
#: density, and where walkers begin
RIGHT = {
    "normal": (normal([0.0], [1.0]), standard(1)),
    "of another place and scale": (normal([2.0, -3.0, 1.0], [0.2, 0.5, 3.0]), standard(3)),
    "uneven": (normal([5.0, 0.0], [1e-3, 100.0]), torch.tensor([5.0, 0.0]) + standard(2) * torch.tensor([1e-3, 100.0])),
    "six numbers": (normal([1.0] * 6, [0.5] * 6), standard(6)),
    "heavy tails": (cauchy, standard(1)),
    "heavy tails in the plane": (cauchy, standard(2)),
    "one-sided": (exponential, standard(2)),
    "a box": (box, standard(3)),
    "a ring": (ring, standard(2)),
    "symbols": (table, standard(2)),
    "narrow modes far apart": (FAR, 0.1 * standard(2) + torch.tensor([[-50.0, 0.0], [50.0, 0.0]]).repeat(N // 2, 1)),
    "a spike": (
        mixture(normal([0.0, 0.0], [1e-3, 1e-3]), normal([0.0, 0.0], [10.0, 10.0])),
        torch.cat([standard(2)[:64] * 1e-3, standard(2)[64:] * 10]),
    ),
}


def of_examples(score, examples, density="exact"):
    model = SimpleNamespace(examples=lambda n: examples[:n], density=density)
    return _of_examples(model, lambda x, condition: score(x), {})


@pytest.mark.sample("normal", "heavy tails", "a ring", "symbols", "narrow modes far apart", "a spike")
@pytest.mark.parametrize("name", RIGHT)
def test_a_density_has_its_mass_and_a_scaled_one_that_of_its_factor(name):
    score, examples = RIGHT[name]
    found = whole_mass(score, examples)
    assert found.trusted
    assert found.value == pytest.approx(1, abs=min(5 * found.error + 0.02, 0.3))
    finding = of_examples(score, examples)
    assert finding.describe()["mass"] == "1"
    for factor, said in ((0.5, "too little mass where its examples lead"), (2.0, "too much mass")):
        with pytest.raises(ProofError, match=said):
            of_examples(lambda x, factor=factor: score(x) + math.log(factor), examples)


@pytest.mark.parametrize(
    ("score", "examples", "density"),
    [
        (normal([5.0] * 3, [1e-4] * 3), standard(3), "exact"),  # nothing is found
        (normal([0.0] * 7, [1.0] * 7), standard(7), "exact"),  # too many numbers
        (lambda x: normal([0.0], [1.0])(x) - 1, standard(1), "bound"),
    ],
)
def test_what_is_not_proven_is_said(score, examples, density):
    assert of_examples(score, examples, density).describe()["mass"] == "at most 1"


def test_examples_that_miss_half_of_the_data_are_named():
    with pytest.raises(ProofError, match="or there is more of it where no example is near"):
        of_examples(FAR, standard(2) * 0.1 - torch.tensor([50.0, 0.0]))


def test_the_estimate_is_the_same_every_time():
    assert whole_mass(*RIGHT["a ring"]) == whole_mass(*RIGHT["a ring"])
    assert np.isfinite(whole_mass(normal([0.0], [1.0]), torch.zeros(N, 1, dtype=torch.float64)).value)
