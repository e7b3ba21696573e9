"""Sequences as pictures: paths in the plane where they lead, and numbers over time."""

import io

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ConfigError
from zoo.lengths import Length
from zoo.modality import Heatmap, Trajectory, describe, misfit_of, modality_from
from zoo.render import Extras, check_output, default_suffix, write
from zoo.render import sequences as drawing
from zoo.render.files import picture_of

RNG = np.random.default_rng(0)
PLAN = Trajectory(0.5, "place", "view", (0.0, 4.0, 3.0, 0.0))


@pytest.fixture
def figure(monkeypatch):
    """Draws, and gives the figure that was drawn."""
    kept = []
    saved = drawing.saved

    def keep(figure):
        kept.append(figure)
        return saved(figure)

    monkeypatch.setattr(drawing, "saved", keep)

    def draw(samples, **extras):
        content = drawing.draw_sequences(np.asarray(samples, np.float32), Extras(**extras))
        assert Image.open(io.BytesIO(content)).size[0] > 300
        return kept[-1]

    return draw


def lines(axes):
    """Lines of more than one point."""
    return [line.get_xydata() for line in axes.lines if len(line.get_xydata()) > 1]


def shown(figure):
    return [axes for axes in figure.axes if axes.axison]


# -- paths ------------------------------------------------------------------------------------------------------------


def test_moves_are_added_up_from_the_start_over_the_picture(figure):
    moves = RNG.normal(size=(3, 5, 2))
    view = np.zeros((1, 3, 3, 4), np.float32)
    view[0, 1, 0, 3] = 200
    drawn = figure(moves, modality=PLAN, condition={"place": np.array([[1.0, 2.0]]), "view": view})
    (axes,) = shown(drawn)
    for line, each in zip(lines(axes), moves.astype(np.float32), strict=True):
        np.testing.assert_allclose(line[0], [1, 2])
        np.testing.assert_allclose(line[1:], [1, 2] + 0.5 * each.cumsum(0), rtol=1e-5)
    (picture,) = axes.images
    assert picture.get_extent() == [0, 4, 3, 0]
    assert picture.get_array()[0, 3].tolist() == [0, 1, 0]  # the upper right corner, which is at (4, 0)
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 4), (3, 0))


@pytest.mark.parametrize("missing", [None, {}, {"other": np.zeros((1, 2))}])
def test_a_model_without_these_parts_is_drawn_without_them(figure, missing):
    (axes,) = shown(figure(np.ones((1, 3, 2)), modality=PLAN, condition=missing))
    assert not axes.images
    np.testing.assert_allclose(lines(axes)[0], [[0, 0], [0.5, 0.5], [1, 1], [1.5, 1.5]])


def test_each_start_and_picture_has_a_panel(figure):
    places = np.repeat(RNG.random((3, 2)), 2, 0)
    condition = {"place": places, "view": RNG.random((1, 1, 3, 4))}
    drawn = figure(RNG.normal(size=(6, 5, 2)), modality=PLAN, condition=condition)
    assert [len(lines(axes)) for axes in shown(drawn)] == [2, 2, 2]
    condition["place"] = RNG.random((20, 2))
    drawn = figure(RNG.normal(size=(20, 5, 2)), modality=PLAN, condition=condition)
    assert (len(shown(drawn)), drawn.get_suptitle()) == (16, "16 of 20 conditions")


def test_pairs_without_a_modality_are_places(figure):
    x = RNG.normal(size=(4, 6, 2)).astype(np.float32)
    (axes,) = shown(figure(x))
    np.testing.assert_allclose(lines(axes), x, rtol=1e-6)
    panels = shown(figure(x, condition=np.array([0, 1, 1, 1]), labels=("up", "down")))
    assert [(axes.get_title(), len(lines(axes))) for axes in panels] == [("up", 1), ("down", 3)]


def test_a_path_ends_where_its_mask_says(figure):
    rule = Length(mask=2)
    x = RNG.normal(size=(3, 6, 3)).astype(np.float32)
    ends = (4, 2, 0)
    x[:, :, 2] = np.arange(6) < np.array(ends)[:, None]
    (axes,) = shown(figure(rule.ended(x), length=rule))
    assert [len(line) for line in lines(axes)] == [4, 2]  # and nothing of the one that is empty


# -- over time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "length", "panels"), [((9, 1), 9, 1), ((1, 9), 9, 1), ((2, 9), 9, 2), ((9, 3), 9, 3), ((30, 20), 30, 8)]
)
def test_numbers_have_a_panel_each_over_time(figure, shape, length, panels):
    x = RNG.normal(size=(4, *shape)).astype(np.float32)
    drawn = figure(x, condition=np.array([0, 1, 0, 1]), labels=("calm", "wild"))
    assert len(drawn.axes) == panels
    rows = x if shape[0] == length else x.swapaxes(1, 2)
    for k, axes in enumerate(drawn.axes):
        np.testing.assert_allclose([line[:, 1] for line in lines(axes)], rows[:, :, k], rtol=1e-6)
    assert [entry.get_text() for entry in drawn.legends[0].get_texts()] == ["calm", "wild"]
    told = drawn.axes[-1].get_xlabel()
    assert told == ("position" if panels < 8 else "position; the first 8 of 20 numbers")


def test_sequences_are_written_as_pictures_by_default(tmp_path):
    assert [picture_of(shape) for shape in ((16, 2), (40, 1), (2, 40))] == ["sequences"] * 3
    assert default_suffix((16, 2)) == default_suffix((16, 2), PLAN) == ".png"
    check_output(tmp_path / "x.png", (16, 2), PLAN)
    write(RNG.normal(size=(2, 16, 2)), tmp_path / "x.png", Extras(modality=PLAN, about={"seed": 1}))
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size[0] > 300


# -- what a path is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        Trajectory(),
        PLAN,
        Trajectory(extent=(0.0, 1.0, 0.0, 1.0)),
        Trajectory(1.0, "a", "b", PLAN.extent, Heatmap(2, 0.1)),
    ],
)
def test_a_trajectory_is_described_and_read_back(path):
    assert modality_from(describe(path)) == path
    assert misfit_of(path, (16, 2), None) is None
    assert misfit_of(path, (2, 16), None) == "trajectories have shape [length, 2]"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"step": 0.0}, "a number above 0, not 0.0"),
        ({"step": float("nan")}, "a number above 0"),
        ({"start": "no name"}, "'no name' is no name of one"),
        ({"extent": [0.0, 1.0, 2.0]}, "left, right, bottom and top edge, not"),
        ({"extent": [1.0, 1.0, 0.0, 2.0]}, "left, right, bottom and top edge, not"),
        ({"picture": "view"}, "a picture of the plane needs an extent"),
        ({"heatmap": {"channel": 0, "sigma": 1.0}}, "names of both are needed"),
        ({"heatmap": {"channel": 0, "sigma": 0.0}}, "a sigma above 0"),
        ({"heatmap": {"channel": -1, "sigma": 1.0}}, "a channel, from 0"),
        ({"heatmap": {"channel": 0, "sigma": 1.0, "more": 1}}, "more"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_trajectory_that_is_none_is_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        modality_from({"kind": "trajectory", **fields})
