"""Samples of three to six numbers: a panel for every two of them, a histogram for each, their names at the axes."""

import io

import numpy as np
import pytest
from PIL import Image

from zoo.errors import UsageError
from zoo.modality import Column, Foreign, Table, Text
from zoo.render import pairs
from zoo.render.files import Extras, check_output, content, default_suffix, picture_of

CUTS = ("Fair", "Good", "", "A cut with a very long name")


def category(name, values, **more):
    return Column(name, values=values, grain=1.0, minimum=0.0, maximum=len(values) - 1.0, **more)


TABLE = Table(
    (
        Column("carat", grain=0.01, minimum=0.2, maximum=4.5),
        category("cut", CUTS),
        Column("price in $", grain=1.0, minimum=0.0, maximum=20_000.0),
        Column("sold", grain=1.0, date="%Y-%m-%d", origin=18_000.0),
    )
)


def rows(n=200):
    random = np.random.default_rng(0)
    carats, prices, days = (random.uniform(low, high, n) for low, high in ((0.2, 4.5), (0, 2e4), (0, 900)))
    return np.stack([carats, random.integers(0, 4, n), prices, days], axis=1).astype(np.float32)


@pytest.fixture
def panels(monkeypatch):
    """Draws samples, and gives the panels ``[rows, columns]``, those that are empty as None."""
    kept, saved = [], pairs.saved
    monkeypatch.setattr(pairs, "saved", lambda figure: kept.append(figure) or saved(figure))

    def draw(samples, table=None):
        name = Image.open(io.BytesIO(pairs.draw_pairs(np.asarray(samples, np.float32), table)))
        assert min(name.size) > 300
        axes = kept[-1].axes
        count = round(len(axes) ** 0.5)
        shown = [each if each.axison else None for each in axes]
        return [shown[i * count : (i + 1) * count] for i in range(count)], kept[-1]

    return draw


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize(
    ("shape", "modality", "drawn"),
    [
        ((3,), None, "pairs"),
        ((6,), None, "pairs"),
        ((7,), None, None),
        ((2,), None, "scatter"),
        ((1,), None, "histogram"),
        ((4,), TABLE, "pairs"),
        ((7,), Table((*TABLE.columns, *(Column(f"x{i}") for i in range(3)))), None),
        # a column that marks missing cells has no panels of its own
        (
            (7,),
            Table((*TABLE.columns, Column("a"), Column("b"), category("no a", ("no", "yes"), marks="a"))),
            "pairs",
        ),
        ((4,), Text(".ab"), None),
        ((4,), Foreign({"kind": "doors"}), None),
    ],
)
def test_which_samples_are_drawn_so(shape, modality, drawn, tmp_path):
    assert picture_of(shape, modality) == drawn
    if drawn is None:
        with pytest.raises(UsageError, match="cannot be drawn"):
            check_output(tmp_path / "x.png", shape, modality)
    else:
        check_output(tmp_path / "x.png", shape, modality)


def test_their_own_format_stays_the_default():
    assert default_suffix((4,), TABLE) == ".csv"
    assert default_suffix((4,)) == ".npy"


def test_panels_are_the_lower_triangle_with_every_pair_in_its_place(panels):
    x = np.random.default_rng(1).normal(size=(300, 3)) * [1, 10, 100]
    grid, figure = panels(x)
    assert [[panel is not None for panel in row] for row in grid] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    for i, j in ((1, 0), (2, 0), (2, 1)):
        (points,) = grid[i][j].collections
        np.testing.assert_allclose(points.get_offsets(), x[:, [j, i]], rtol=1e-5)
    for i in range(3):
        assert sum(bar.get_height() for bar in grid[i][i].patches) == 300
    assert [panel.get_xlabel() for panel in grid[2]] == [row[0].get_ylabel() for row in grid] == ["x0", "x1", "x2"]
    assert figure.texts == []


def test_categories_are_bars_and_points_near_their_places_with_names_at_the_axes(panels):
    x = rows()
    grid, _ = panels(x, TABLE)
    assert [panel.get_xlabel() for panel in grid[3]] == ["carat", "cut", r"price in \$", "sold"]
    names = ["Fair", "Good", "(empty)", "A cut with …"]
    assert ticks(grid[1][0].yaxis) == ticks(grid[3][1].xaxis) == names
    assert [bar.get_height() for bar in grid[1][1].patches] == np.bincount(x[:, 1].astype(int)).tolist()
    (points,) = grid[1][0].collections
    np.testing.assert_array_equal(np.rint(points.get_offsets()[:, 1]), x[:, 1])
    assert len(np.unique(points.get_offsets()[:, 1])) == len(x)
    # samples as they are written: rounded down to the grain
    np.testing.assert_allclose(points.get_offsets()[:, 0], np.floor(x[:, 0] * 100 + 1e-4) / 100, atol=1e-6)


def test_dates_are_written_as_such(panels):
    grid, figure = panels(rows(), TABLE)
    figure.canvas.draw()
    low, high = grid[3][0].get_ylim()
    places = zip(grid[3][0].get_yticks(), ticks(grid[3][0].yaxis), strict=True)
    shown = [(place, written) for place, written in places if low <= place <= high]
    assert len(shown) >= 2
    for place, written in shown:
        assert written == str(np.datetime64("1970-01-01") + int(np.floor(place)) + 18_000)


def test_many_categories_are_not_all_named(panels):
    x = np.stack([np.arange(60) % 30, *np.random.default_rng(0).normal(size=(2, 60))], axis=1)
    grid, _ = panels(x, Table((category("c", tuple(f"c{i}" for i in range(30))), Column("a"), Column("b"))))
    assert ticks(grid[2][0].xaxis) == [f"c{i}" for i in range(0, 30, 3)]


def test_missing_cells_have_no_points_and_outliers_do_not_shrink_the_rest(panels):
    table = Table((Column("a"), Column("b"), Column("c"), category("no a", ("no", "yes"), marks="a")))
    x = np.random.default_rng(2).normal(size=(400, 4))
    x[:, 3] = np.arange(400) % 2 == 0
    x[7, 1] = 1e4
    grid, figure = panels(x, table)
    assert len(grid) == 3
    assert sum(bar.get_height() for bar in grid[0][0].patches) == 200
    offsets = np.ma.getdata(grid[1][0].collections[0].get_offsets())
    assert np.isnan(offsets[:, 0]).sum() == 200
    assert grid[1][0].get_ylim()[1] < 20
    assert [text.get_text() for text in figure.texts] == ["1 of 400 outside"]


def test_the_same_samples_are_the_same_picture():
    x = rows(50)
    assert content(x, "x.png", Extras(modality=TABLE)) == content(x, "x.png", Extras(modality=TABLE))


@pytest.mark.parametrize("n", [1, 2])
def test_few_and_equal_samples_are_drawn(panels, n):
    panels(np.ones((n, 3)))
    panels(np.repeat(rows(1), n, axis=0), TABLE)
