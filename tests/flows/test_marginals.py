"""Columns of a table brought to one scale."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import weights  # noqa: E402
from zoo.errors import ConfigError, DataError, WeightsError  # noqa: E402
from zoo_flows.transforms import Marginals  # noqa: E402


@pytest.fixture(scope="module")
def table():
    """A skewed column, one of three categories, one of few different numbers with their noise."""
    random = np.random.default_rng(0)
    columns = [
        random.exponential(size=600) * 250 + 10,
        random.choice(3, size=600, p=[0.1, 0.2, 0.7]) + random.random(600),
        random.integers(0, 4, size=600) * 0.5 + random.random(600) * 0.5,
    ]
    return torch.from_numpy(np.stack(columns, axis=1))


@pytest.fixture(scope="module")
def marginals(table):
    transform = Marginals(3, knots=16, categories=[0, 3, 0]).double()
    transform.prepare(table)
    return transform


def test_until_it_is_fitted_it_is_the_identity():
    x = torch.tensor([[-7.0, 0.3], [0.0, 1.0], [55.0, -1.0]], dtype=torch.float64)
    z, log_det = Marginals(2).double()(x)
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_det, torch.zeros(3, dtype=torch.float64))


def test_every_column_becomes_about_normal(marginals, table):
    z, _ = marginals(table)
    for column in z.T.numpy():
        ranks = (np.argsort(np.argsort(column)) + 0.5) / len(column)
        expected = torch.special.ndtri(torch.from_numpy(ranks)).numpy()
        assert np.abs(np.sort(column) - np.sort(expected)).mean() < 0.05


def test_a_category_gets_as_much_probability_as_it_has(marginals, table):
    z = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = np.floor(marginals.inverse(z)[0][:, 1].numpy())
    shares = np.bincount(np.floor(table[:, 1].numpy()).astype(int)) / len(table)
    found = np.array([(drawn == k).mean() for k in range(3)])
    np.testing.assert_allclose(found, shares, atol=5e-3)
    assert found.sum() > 0.998


def test_log_det_is_that_of_the_jacobian(marginals, table):
    x = table[:5]
    _, log_det = marginals(x)
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda y: marginals(y[None])[0][0], row) for row in x])
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian)[1])


def test_density_integrates_to_one(marginals):
    # of the second column alone: N(0, 1) seen through the map
    x = torch.linspace(-3.0, 6.0, 90_001, dtype=torch.float64)
    rows = torch.zeros(len(x), 3, dtype=torch.float64)
    at = rows.clone()
    at[:, 1] = x
    z, log_det = marginals(at)
    others = marginals(rows[:1])[1] - torch.log(_slope(marginals, 0.0))
    density = torch.exp(-0.5 * z[:, 1] ** 2 + log_det - others) / np.sqrt(2 * np.pi)
    assert abs(float(torch.trapezoid(density, x)) - 1) < 1e-3


def _slope(marginals, x):
    step = torch.zeros(1, 3, dtype=torch.float64)
    step[0, 1] = x
    near = step.clone()
    near[0, 1] = x + 1e-6
    return ((marginals(near)[0] - marginals(step)[0])[0, 1]) / 1e-6


def test_few_rows_make_few_pieces():
    transform = Marginals(1, knots=32).double()
    transform.prepare(torch.arange(6.0, dtype=torch.float64)[:, None])
    assert torch.isfinite(transform(torch.tensor([[-1e4], [2.5], [1e4]], dtype=torch.float64))[1]).all()


def test_bad_columns_are_refused():
    for categories in ([0], [1, 0], [-1, 0]):
        with pytest.raises(ConfigError, match="categories"):
            Marginals(2, categories=categories)
    with pytest.raises(ConfigError, match="two pieces"):
        Marginals(2, knots=1)
    with pytest.raises(DataError, match="same value"):
        Marginals(1).prepare(torch.ones(9, 1))
    with pytest.raises(DataError, match="3 categories"):
        Marginals(1, categories=[3]).prepare(torch.tensor([[0.5], [3.2]]))


def test_tails_are_those_of_a_standardisation():
    """However close together the largest data are, what is a little larger is not impossible."""
    x = torch.cat([torch.randn(400, generator=torch.Generator().manual_seed(0)).clamp(max=1.0), torch.ones(40)])
    transform = Marginals(1, knots=16).double()
    transform.prepare(x.double()[:, None])
    deviation = float(x.std(correction=0))
    z, _ = transform(torch.tensor([[1.1], [1.1 + deviation]], dtype=torch.float64))
    assert float(z[1] - z[0]) == pytest.approx(1.0, rel=1e-3)
    assert float(z[0]) < 4


def test_a_column_with_one_category_of_several_is_fitted():
    transform = Marginals(2, categories=[3, 0])
    x = torch.tensor([[1.0, 0.5], [1.0, -0.5], [1.0, 1.5], [1.0, 2.0]])
    transform.prepare(x)
    z, log_det = transform(x)
    assert z.isfinite().all()
    assert log_det.isfinite().all()
    torch.testing.assert_close(transform.inverse(z)[0], x)


@pytest.fixture(scope="module")
def apart(table):
    transform = Marginals(3, knots=16, categories=[0, 3, 0], apart=True).double()
    transform.prepare(table)
    return transform


def test_categories_apart_are_normal_around_even_centres(apart):
    uniform = (torch.arange(3000, dtype=torch.float64) + 0.5) / 3000
    centres = []
    for category in range(3):
        rows = torch.zeros(3000, 3, dtype=torch.float64)
        rows[:, 1] = category + uniform
        z = apart(rows)[0][:, 1]
        centres.append(float(z.mean()))
        # straight pieces, and what lies between the categories, make it a little wider
        assert float(z.std()) == pytest.approx(3 * np.sqrt(1.5) / 16, rel=0.15)
        assert float(((z - centres[-1]).abs() > 9 * np.sqrt(1.5) / 16 + 1e-9).double().mean()) < 0.003
    np.testing.assert_allclose(centres, [-3 * np.sqrt(1.5), 0.0, 3 * np.sqrt(1.5)], atol=1e-6)


def test_categories_apart_come_back(apart, table):
    z, log_det = apart(table)
    x, back = apart.inverse(z)
    torch.testing.assert_close(x, table)
    torch.testing.assert_close(back, -log_det)
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda y: apart(y[None])[0][0], r) for r in table[:3]])
    torch.testing.assert_close(log_det[:3], torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("count", [2, 5, 20, 300])
def test_as_many_categories_as_there_are_stay_apart_in_float32(count):
    x = torch.cat([torch.arange(count, dtype=torch.float32), torch.arange(count) + 0.999])[:, None]
    transform = Marginals(1, categories=[count], apart=True)
    transform.prepare(x)
    z, log_det = transform(x)
    assert log_det.isfinite().all()
    assert float(z.abs().max()) <= 6 * np.sqrt(3)
    middle = transform(torch.arange(count, dtype=torch.float32)[:, None] + 0.5)[0]
    noisy = middle + 3 * float(middle[1] - middle[0]) / 8 * torch.tensor([-1.0, 1.0])
    back = torch.floor(transform.inverse(noisy.reshape(-1, 1))[0]).reshape(-1, 2)
    assert (back == torch.arange(count)[:, None]).all()


def test_files_of_other_numbers_of_knots_are_read(table):
    """As those are that were written before categories had room between them."""
    older = Marginals(3, knots=16, categories=[0, 3, 0])
    older.prepare(table)
    newer = Marginals(3, knots=16, categories=[0, 3, 0], apart=True)
    assert newer.knots.shape != older.knots.shape
    weights.load_into(newer, weights.state_arrays(older), source="an older file")
    for found, expected in zip(newer(table.float()), older(table.float()), strict=True):
        torch.testing.assert_close(found, expected)
    with pytest.raises(WeightsError, match="knots"):
        weights.load_into(Marginals(2), weights.state_arrays(older), source="another table's file")


def test_knots_that_differ_are_the_quantiles_of_the_data():
    """Those of rounded numbers over a wide range, which only ties may move."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.integers(50, 60, 4000) + 0.1 * random.random(4000), np.full(400, 62.0), [43.0, 79.0]])
    transform = Marginals(1, knots=64)
    transform.prepare(torch.from_numpy(x)[:, None].float())
    knots, heights = (each[0].double() for each in (transform.knots, transform.heights))
    ranks = torch.special.ndtr(heights)
    ranks[0], ranks[-1] = 0.0, 1.0
    expected = torch.from_numpy(np.quantile(x, ranks.numpy()))
    assert (knots.diff() > 0).all()
    # pieces are as wide as a ten-thousandth of the range, so that twelve ties move by less than a half of a tenth
    tied = (knots > 61.0) & (knots < 63.0)
    torch.testing.assert_close(knots[~tied], expected[~tied], rtol=0, atol=5e-2)
