"""Pictures: what is drawn where, in which shade."""

import io
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from zoo.render.images import draw_images, grid_columns, tile, to_bytes
from zoo.render.points import density_on_grid, draw_histogram, draw_scatter
from zoo.render.read import read_samples


def opened(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def test_discrete_values_are_floored_to_their_level():
    values = np.array([0.0, 0.99, 1.0, 254.7, 255.99, 256.0]).reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(to_bytes(values, levels=256).ravel(), [0, 0, 1, 254, 255, 255])
    np.testing.assert_array_equal(to_bytes(np.array([0.5, 1.5]).reshape(1, 1, 1, 2), levels=2).ravel(), [0, 255])


def test_a_declared_range_goes_before_the_samples_own():
    values = np.array([-1.0, 0.0, 3.0]).reshape(1, 1, 1, 3)
    np.testing.assert_array_equal(to_bytes(values, value_range=(-1, 1)).ravel(), [0, 128, 255])
    np.testing.assert_array_equal(to_bytes(values).ravel(), [0, 64, 255])
    np.testing.assert_array_equal(to_bytes(np.full((1, 1, 1, 2), 7.0)).ravel(), [128, 128])


@pytest.mark.parametrize(
    ("n", "columns"),
    [(1, 1), (2, 2), (4, 2), (6, 3), (7, 3), (11, 4), (12, 4), (16, 4), (17, 5), (20, 5), (64, 8), (100, 10)],
)
def test_grids_are_about_square(n, columns):
    assert grid_columns(n, None, 1.0) == columns


def test_classes_in_turn_get_a_column_each():
    assert grid_columns(30, np.arange(30) % 10, 1.0) == 10
    assert grid_columns(16, np.full(16, 7), 1.0) == 4
    # sixteen digits of ten classes would leave a gap
    assert grid_columns(16, np.arange(16) % 10, 1.0) == 4


def test_tiles_stand_row_by_row():
    tiles = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(3, 2).repeat(2, 3) * 10
    canvas = tile(tiles, 3)[..., 0]
    assert canvas.shape == (2 * 5 + 2, 3 * 4 + 2)
    assert [[canvas[3 + 5 * r, 2 + 4 * c] for c in range(3)] for r in range(2)] == [[0, 10, 20], [30, 40, 50]]
    assert canvas[0, 0] == canvas[5, 4] == 224


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_small_images_are_enlarged_by_a_whole_factor(channels, mode):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, channels, 28, 28))
    picture = opened(draw_images(images, levels=256))
    assert picture.mode == mode
    assert picture.size == (2 * (3 * 28 + 2) + 2,) * 2
    pixels = np.asarray(picture).reshape(picture.size[1], picture.size[0], channels)
    np.testing.assert_array_equal(pixels[2 : 2 + 84 : 3, 2 : 2 + 84 : 3], images[0].transpose(1, 2, 0))


def test_many_images_make_no_giant():
    assert max(opened(draw_images(np.zeros((2500, 1, 28, 28)))).size) <= 4000


def normal(points):
    return -0.5 * (points.reshape(len(points), -1) ** 2).sum(1) - np.log(2 * np.pi)


def test_the_density_is_evaluated_at_square_pixels():
    p, (left, right, bottom, top) = density_on_grid(normal, np.array([-5.0, -6.0]), np.array([7.0, 6.0]))
    pixel = (right - left) / p.shape[1]
    assert (top - bottom) / p.shape[0] == pytest.approx(pixel)
    assert p.sum() * pixel**2 == pytest.approx(1.0, abs=1e-4)
    row, column = np.unravel_index(p.argmax(), p.shape)
    assert abs(left + (column + 0.5) * pixel) < pixel
    assert abs(bottom + (row + 0.5) * pixel) < pixel


@pytest.mark.sample("1-None", "3000-normal")
@pytest.mark.parametrize("density", [None, normal])
@pytest.mark.parametrize("n", [1, 2, 3000])
def test_scatter_and_histogram_are_drawn(density, n):
    rng = np.random.default_rng(0)
    for draw, shape in ((draw_scatter, (n, 2)), (draw_histogram, (n,)), (draw_histogram, (n, 1))):
        picture = np.asarray(opened(draw(rng.normal(size=shape).astype(np.float32), density)).convert("RGB"))
        assert min(picture.shape[:2]) > 300
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


def test_points_in_one_place_are_drawn():
    assert opened(draw_scatter(np.ones((5, 2)))).size[0] > 300
    assert opened(draw_histogram(np.ones(5))).size[0] > 300


def test_scatter_keeps_proportions():
    wide = np.random.default_rng(0).uniform(size=(500, 2)) * [4, 1]
    width, height = opened(draw_scatter(wide)).size
    assert 2.0 < width / height < 4.5


def test_pyplot_is_left_alone():
    """pyplot keeps global state and may look for a display."""
    code = (
        "import sys, numpy as np\n"
        "from zoo.render.points import draw_scatter\n"
        "draw_scatter(np.zeros((3, 2)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("draw", "shape", "sizes"), [(draw_scatter, (900, 2), (30, 240)), (draw_histogram, (900,), (75, 600))]
)
def test_a_density_that_takes_long_is_coarse(draw, shape, sizes):
    asked = []

    def slow(points):
        time.sleep(0.05)
        asked.append(len(points))
        return normal(points) if len(shape) == 2 else -(points**2) / 2

    samples = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    longest = {}
    for seconds in (0.0, 1e9, None):
        asked.clear()
        draw(samples, slow, seconds)
        longest[seconds] = max(asked)
        assert len(asked) == (2 if seconds else 1)
    dimensions = len(shape)
    assert longest[0.0] <= sizes[0] ** dimensions < longest[None] <= sizes[1] ** dimensions
    assert longest[1e9] == longest[None]


def limits(monkeypatch, draw, samples, density=None):
    """The limits of both axes and the title of a picture."""
    from zoo.render import points

    kept = []
    monkeypatch.setattr(points, "saved", lambda figure: kept.append(figure) or b"")
    draw(samples, density, None)
    (axes,) = kept[0].axes
    return axes.get_xlim(), axes.get_ylim(), axes.get_title(loc="right")


def test_outliers_do_not_shrink_a_picture_and_are_counted(monkeypatch):
    x = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    x[:3] = [[1e4, 0], [0, -1e4], [1e4, 1e4]]
    (left, right), (bottom, top), told = limits(monkeypatch, draw_scatter, x)
    assert -8 < left < -2.5 < 2.5 < right < 8
    assert -8 < bottom < -2.5 < 2.5 < top < 8
    assert told == "3 of 1000 outside"
    (left, right), _, told = limits(monkeypatch, draw_histogram, x[:, 0])
    assert -8 < left < right < 8
    assert told == "2 of 1000 outside"
    # no outliers, no cut: a mode of 1% stays, and so do few points
    x[:3] = 0
    x[:10] += 50
    assert limits(monkeypatch, draw_scatter, x)[0][1] > 50
    assert limits(monkeypatch, draw_scatter, x[:12])[0][1] > 50
    assert limits(monkeypatch, draw_scatter, x)[2] == ""


def test_few_samples_do_not_clip_their_density(monkeypatch):
    def normal(points):
        return -0.5 * (points.astype(np.float64) ** 2).reshape(len(points), -1).sum(1)

    for n in (1, 2, 5):
        x = np.full((n, 2), 0.1, np.float32) + np.arange(n, dtype=np.float32)[:, None] / 10
        (left, right), (bottom, top), _ = limits(monkeypatch, draw_scatter, x, normal)
        assert max(left, bottom) < -2.5 < 2.5 < min(right, top)
        (left, right), _, _ = limits(monkeypatch, draw_histogram, x[:, 0], normal)
        assert left < -2.5 < 2.5 < right


@pytest.mark.parametrize("n", [1, 3, 7])
def test_spectrograms_have_one_size(monkeypatch, n):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from zoo.render.spectrograms import draw_recordings

    boxes = []

    def kept(figure, *args, **options):
        figure.draw_without_rendering()
        boxes.extend(axes.get_position().size for axes in figure.axes if axes.images)

    monkeypatch.setattr(Figure, "savefig", kept)
    draw_recordings(np.random.default_rng(0).normal(size=(n, 1, 800)) / 9, 8000)
    assert len(boxes) == n
    np.testing.assert_allclose(boxes, [boxes[0]] * n, rtol=1e-6)


def test_the_ends_of_a_recording_do_not_look_like_clicks():
    from zoo.render.spectrograms import spectrogram

    x = 0.3 + 0.1 * np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000)  # a tone that ends suddenly, and is off zero
    picture = spectrogram(x, 8000)
    high = picture[picture.shape[0] // 2 :]  # frequencies that the tone does not have
    assert high[:, [0, -1]].max() < picture[16].max() - 30  # row 16 is 1 kHz


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_in_a_png_is_white(tmp_path, mode):
    """Black is what most programs leave beneath transparent pixels, and no training data had black around."""
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (200, 200, 200, 255)
    image = Image.fromarray(pixels)
    if mode == "P":
        image = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8), 8).reshape(4, 4), "P")
        image.putpalette([200, 200, 200, 0, 0, 0])
    image.convert(mode).save(tmp_path / "x.png", **({"transparency": 1} if mode == "P" else {}))
    for channels in (1, 3):
        (read,) = read_samples(tmp_path / "x.png", (channels, 4, 4), pictures=True)[0]
        assert (read[:, :2] == 200).all()
        assert (read[:, 2:] == 255).all()


def test_axes_have_the_names_of_a_tables_columns(monkeypatch):
    from zoo.modality import Column, Table
    from zoo.render import Extras, points
    from zoo.render.files import content

    kept = []
    monkeypatch.setattr(points, "saved", lambda figure: kept.append(figure) or b"")
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    content(x, "x.png", Extras(modality=Table((Column("mass"), Column("charge")))))
    content(x, "x.png", Extras())
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for figure in kept for axes in figure.axes]
    assert labels == [("mass", "charge"), ("", "")]
