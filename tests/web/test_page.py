"""The page in headless Chromium, from a static server on this machine: what a visitor sees is what Python gives."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

from zoo.render import sequences, tables
from zoo.render.images import to_bytes
from zoo.render.text import texts
from zoo.runtime import BundledModel
from zoo_data import maze
from zoo_targets.compare import golden_context
from zoo_web import page
from zoo_web.browser import Browser, find_browser, served

SECONDS = 60
#: no name but this machine's has an address
OFFLINE = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",)
#: what browsers give shared memory, and so threads, for
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
READY = "globalThis.genzoo && (genzoo.ready || genzoo.error)"
DONE = "globalThis.genzoo && !genzoo.running && (genzoo.last || genzoo.error)"
PIXELS = """Array.from(document.querySelectorAll("#view canvas"), (canvas) => Array.from(
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 === 0)))"""


@pytest.fixture(scope="module")
def chromium(modules):
    program = find_browser()
    if program is None:
        pytest.skip("Chromium is not installed, and CHROMIUM names no other")
    return program


@pytest.fixture(scope="module")
def browser(chromium):
    """One for all tests that need no particular one."""
    with Browser(chromium, flags=OFFLINE) as opened:
        yield opened


@pytest.fixture
def visit(browser, packed):
    """Opens a bundle's page at a fragment of its address, and waits until it is done; gives the browser."""
    servers = []

    def go(name, fragment="", *, folder=None, until=DONE, headers=None):
        server = served(folder or packed(name, "web"), visit.requests, headers)
        servers.append(server)
        browser.console.clear()
        browser.open("about:blank")
        browser.open(f"{server.__enter__()}index.html{fragment}")
        browser.wait(until, SECONDS)
        return browser

    visit = go
    visit.requests, visit.packed = [], packed
    yield go
    for server in servers:
        server.__exit__(None, None, None)


def text(browser, name):
    return browser.evaluate(f"document.getElementById({name!r}).textContent")


def drawn(browser, model, **options):
    """What the page has drawn, after a look at whether Python draws the same."""
    assert browser.evaluate("genzoo.error") is None
    found = page.drawn(browser)
    expected = model.sample(len(found), **options)
    unit = getattr(model.manifest.sample, "scale", 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * unit)
    return expected


def assert_pixels(browser, model, expected):
    """Each canvas shows its sample, to 1 of 255."""
    shown = np.array(browser.evaluate(PIXELS), int).reshape(expected.shape)
    wanted = to_bytes(expected, levels=model.levels).astype(int)
    assert np.abs(shown - wanted).max() <= 1
    assert np.ptp(wanted) > 200  # there is something to see


# -- what is drawn ----------------------------------------------------------------------------------------------------


def test_digits_are_those_of_python(visit, bundle):
    model = BundledModel(bundle("digits-nsf"), "cpu")
    browser = visit("digits-nsf", "#n=20&seed=3")
    assert_pixels(browser, model, drawn(browser, model, seed=3))
    assert browser.console == []
    captions = browser.evaluate("Array.from(document.querySelectorAll('figcaption'), (c) => c.textContent)")
    assert captions == [str(i % 10) for i in range(20)]


def test_a_temperature_is_chosen_where_samples_have_one(visit, bundle):
    model = BundledModel(bundle("digits-nsf"), "cpu")
    browser = visit("digits-nsf", "#n=4&seed=3&temperature=0.5")
    drawn(browser, model, seed=3, temperature=0.5)
    assert text(browser, "temperature-value") == "0.50"
    # the bundle's own, to begin with
    script = """import("./page/form.mjs").then(({ fill, optionsOf, choices }) => {
        const programs = { sample: { ...genzoo.manifest.programs.sample, temperature: 0.72 } };
        fill({ manifest: { ...genzoo.manifest, programs }, tables: [] }, 1, 10, {});
        const [own, slider] = [optionsOf(choices(), 10).temperature ?? null, document.getElementById("temperature")];
        slider.value = 1;
        return [own, optionsOf(choices(), 10).temperature];
    })"""
    assert browser.evaluate(script) == [None, 1]
    # points are then not of the density behind them
    for temperature, told in (("0.5", ", points at temperature 0.5"), ("1", "")):
        plane = visit("moons-nsf", f"#n=50&seed=3&temperature={temperature}")
        plane.wait("genzoo.view.logDensity", SECONDS)
        assert text(plane, "view").endswith(f"shaded by the square root of the model's density{told}")
    diffusion = visit("mnist-unet", until=READY)
    assert diffusion.evaluate("document.getElementById('temperature').checkVisibility()") is False


def test_mnist_is_that_of_python_and_is_seen_to_become(visit, bundle):
    model = BundledModel(bundle("mnist-unet"), "cpu")
    browser = visit("mnist-unet", "#n=2&seed=7&table=ddim-10&class=4&guidance=2")
    assert_pixels(browser, model, drawn(browser, model, seed=7, sampler="ddim", steps=10, condition=4, guidance=2.0))
    assert browser.evaluate("genzoo.previews") == 10
    assert browser.console == []


def test_moons_are_those_of_python(visit, bundle):
    """Within 1e-4 as golden values are (of 1 + the value), and nearly all of them much closer.

    Where this flow is steep, float32 itself is less exact: of 5000 points, Python's runtime has one that is 1.6e-4 from
    what float64 gives.
    """
    model = BundledModel(bundle("moons-nsf"), "cpu")
    browser = visit("moons-nsf", "#n=500&seed=11")
    expected = drawn(browser, model, seed=11)
    assert np.quantile(np.abs(page.drawn(browser) - expected), 0.99) <= 1e-5
    # the density beneath is the model's, on the grid that is shown
    found = browser.evaluate("[genzoo.view.extent.corner, genzoo.view.extent.side, Array.from(genzoo.view.logDensity)]")
    (x, y), side, density = found
    cells = (np.arange(128) + 0.5) / 128 * side
    grid = np.stack(np.meshgrid(x + cells, y + cells), -1).reshape(-1, 2).astype(np.float32)
    some = slice(None, None, 97)
    np.testing.assert_allclose(np.array(density)[some], model.log_prob(grid[some]), rtol=1e-3, atol=1e-2)
    # and where it is densest there is the most ink
    ink = np.array(browser.evaluate(PIXELS.replace("i % 4 === 0", "i % 4 === 3")), float).reshape(900, 900)
    i = int(np.argmax(density))
    row, column = 900 - int((i // 128 + 0.5) / 128 * 900), int((i % 128 + 0.5) / 128 * 900)
    assert ink[row, column] > 200
    assert ink[5, 5] < 5


def test_sounds_can_be_played(visit, bundle):
    model = BundledModel(bundle("sound"), "cpu")
    browser = visit("sound", "#n=2&seed=1&class=low")
    drawn(browser, model, seed=1, condition="low")
    browser.wait("Array.from(document.querySelectorAll('audio')).every((a) => a.duration > 0)", SECONDS)
    assert browser.evaluate("Array.from(document.querySelectorAll('audio'), (a) => a.duration)") == [0.05, 0.05]
    titles = browser.evaluate("Array.from(document.querySelectorAll('#view figcaption'), (each) => each.textContent)")
    assert titles == [f"Sound {i}, class low · 0.05 s at 8 kHz" for i in (1, 2)]
    played = """(async () => { const a = document.querySelector("audio"); a.muted = true; await a.play();
        await new Promise((resolve) => a.addEventListener("ended", resolve)); return a.currentTime; })()"""
    assert browser.evaluate(played, gesture=True) == pytest.approx(0.05)
    assert browser.console == []


def test_vectors_are_asked_for_by_name(visit, bundle):
    model = BundledModel(bundle("plane-fixed"), "cpu")
    browser = visit("plane-fixed", "#n=4&seed=1&vector=1,-2,0.5")
    drawn(browser, model, seed=1, condition=[1.0, -2.0, 0.5])
    labels = "Array.from(document.querySelectorAll('#vector-field label'), (label) => label.textContent)"
    assert browser.evaluate(labels) == ["east", "north", "spare"]
    fields = "Array.from(document.querySelectorAll('#vector-field input[type=number]'), (field) => field.value)"
    assert browser.evaluate(fields) == ["1", "-2", "0.5"]
    # typed, they are the condition of the next draw
    browser.evaluate("""(() => {
        const field = document.querySelector("#vector-field input[type=number]");
        field.value = 3;
        field.dispatchEvent(new Event("input"));
        genzoo.last = null;
        document.getElementById("go").click();
    })()""")
    browser.wait(DONE, SECONDS)
    drawn(browser, model, seed=1, condition=[3.0, -2.0, 0.5])


def test_a_vector_is_at_first_one_that_the_model_knows(visit, bundle):
    """Zeros may be far from all of them: contexts have units of their own."""
    model = BundledModel(bundle("plane-fixed"), "cpu")
    known = golden_context(bundle("plane-fixed"))
    browser = visit("plane-fixed", "#n=4&seed=1")
    drawn(browser, model, seed=1, condition=known)
    shown = browser.evaluate("document.getElementById('vector').value")
    np.testing.assert_array_equal([np.float32(number) for number in shown.split(", ")], known)


@pytest.mark.parametrize("name", ["maze-policy", "emoji-text"])
def test_the_form_begins_with_the_example(visit, bundle, name):
    """A picture on its canvas, words in their field: the first draw is of it."""
    model = BundledModel(bundle(name), "cpu")
    table = {"maze-policy": "", "emoji-text": "&table=ddim-10&guidance=1"}[name]
    browser = visit(name, f"#n=1&seed=2{table}")
    drawn(browser, model, seed=2, condition=model.example, **({"steps": 10, "guidance": 1.0} if table else {}))
    if name == "emoji-text":
        fields = "Array.from(document.querySelectorAll('#parts input[type=text]'), (field) => field.value)"
        assert browser.evaluate(fields) == ["smiling face with sunglasses"]
    else:
        image = browser.evaluate(PIXELS.replace("#view", "#parts"))[0]  # its red channel
        np.testing.assert_array_equal(np.array(image).reshape(32, 32), model.example["picture"][0])


def test_other_numbers_are_written_down(visit, bundle):
    """Of a flow whose steps are a loop, with weights in its body."""
    model = BundledModel(bundle("maf-loop"), "cpu")
    browser = visit("maf-loop", "#n=3&seed=2")
    expected = drawn(browser, model, seed=2)
    cells = "Array.from(document.querySelectorAll('#view tr'), (row) => Array.from(row.cells, (c) => c.textContent))"
    head, *rows = browser.evaluate(cells)
    assert head == ["", "x0", "x1", "x2", "x3", "x4", "x5"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    np.testing.assert_allclose([[float(text) for text in row[1:]] for row in rows], expected, rtol=1e-3, atol=1e-4)
    saved = list(csv.reader(io.StringIO(browser.evaluate("genzoo.view.written().content"))))
    assert saved[0] == head[1:]
    np.testing.assert_array_equal(np.array(saved[1:], np.float32), page.drawn(browser))
    assert max(len(cell) for row in saved[1:] for cell in row) <= 15


def test_texts_are_read(visit, bundle):
    model = BundledModel(bundle("names-masked"), "cpu")
    browser = visit("names-masked", "#n=5&seed=2")
    expected = texts(drawn(browser, model, seed=2), model.modality)
    assert browser.evaluate("Array.from(document.querySelectorAll('#view li'), (li) => li.textContent)") == expected
    assert text(browser, "save-written") == "Save texts"
    written = browser.evaluate("genzoo.view.written()")
    assert (written["suffix"], written["content"].splitlines()) == ("txt", expected)
    assert browser.console == []


def test_rows_of_a_table_are_written_as_in_its_file(visit, bundle):
    model = BundledModel(bundle("wine-mlp"), "cpu")
    browser = visit("wine-mlp", "#n=4&seed=3")
    names, rows = tables.texts(drawn(browser, model, seed=3), model.modality)
    cells = "Array.from(document.querySelectorAll('#view tr'), (row) => Array.from(row.cells, (c) => c.textContent))"
    head, *shown = browser.evaluate(cells)
    assert head[1:] == names
    pairs = [pair for row, written in zip(shown, rows, strict=True) for pair in zip(row[1:], written, strict=True)]
    differing = [(a, b) for a, b in pairs if a != b]
    # a number on the edge of its last decimal may be rounded to either side
    assert len(differing) <= 1
    saved = list(csv.reader(io.StringIO(browser.evaluate("genzoo.view.written().content"))))
    assert saved == [names, *(row[1:] for row in shown)]


def test_colours_are_those_of_python(visit):
    """Three channels, of real data whose range is its own."""
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    browser = visit("moons-nsf", until=READY)
    script = f"""import("./page/images.mjs").then(({{ Images }}) => {{
        const manifest = {{ event_shape: [3, 4, 5], levels: null, programs: {{ sample: {{}} }} }};
        const images = new Images(document.getElementById("view"), manifest, 2, null);
        images.show(Float32Array.from({images.ravel().tolist()}));
        return images.canvases.map((canvas) => Array.from(canvas.getContext("2d").getImageData(0, 0, 5, 4).data));
    }})"""
    shown = np.array(browser.evaluate(script)).reshape(2, 4, 5, 4)
    assert np.abs(shown[..., :3].transpose(0, 3, 1, 2) - to_bytes(images).astype(int)).max() <= 1
    assert (shown[..., 3] == 255).all()


def test_outliers_do_not_shrink_points(visit):
    """One point far out beside a thousand in [-1, 1]: the plot ends half of their extent beyond them, as a PNG does."""
    browser = visit("moons-nsf", until=READY)
    script = """import("./page/points.mjs").then(({ Points }) => {
        const plot = new Points(document.getElementById("view"), 1000);
        plot.show(Float32Array.from({ length: 2000 }, (_, i) => i < 2 ? 500 : Math.sin(i)));
        return [plot.extent.corner, plot.extent.side, plot.caption.textContent];
    })"""
    corner, side, caption = browser.evaluate(script)
    assert side == pytest.approx(1.16 * 3, rel=1e-3)
    assert corner == pytest.approx([0.5 - side / 2] * 2, rel=1e-3)
    assert caption.endswith("; 1 of 1000 outside")


def test_points_and_sounds_are_seen_to_become(visit):
    """What no shipped model needs: previews of some of the samples, then of the others."""
    browser = visit("moons-nsf", until=READY)
    points = """import("./page/points.mjs").then(({ Points }) => {
        const plot = new Points(document.getElementById("view"), 3);
        plot.show(Float32Array.of(0, 0, 2, 1), 0);
        const first = plot.extent;
        plot.show(Float32Array.of(4, 0), 2);
        return [first.corner, first.side, plot.extent.side, plot.caption.textContent];
    })"""
    corner, side, later, caption = browser.evaluate(points)
    assert (side, later) == (pytest.approx(1.16 * 2), pytest.approx(1.16 * 4))
    assert corner == [pytest.approx(1 - side / 2), pytest.approx(0.5 - side / 2)]
    assert caption == "x from -0.32 to 4.32, y from -1.82 to 2.82"
    sounds = """import("./page/sounds.mjs").then(({ Sounds, wav }) => {
        const manifest = { event_shape: [1, 4], kind: { kind: "audio", sample_rate: 9 } };
        const made = new Sounds(document.getElementById("view"), manifest, 2, null);
        made.show(Float32Array.of(0, 1, -1, 0), 1);
        const ink = made.canvases.map((c) => c.getContext("2d").getImageData(0, 0, 900, 120).data.some((v) => v > 0));
        return [ink, Array.from(new Int16Array(wav(Float32Array.of(0, 0.5, -2), 9).slice(44)))];
    })"""
    assert browser.evaluate(sounds) == [[False, True], [0, 8192, -32767]]
    assert browser.console == []


def test_plans_are_paths_over_the_maze_and_begin_where_it_is_clicked(visit, bundle):
    """Both parts of the condition follow the click: the place, and the agent in the picture."""
    model = BundledModel(bundle("maze-policy"), "cpu")
    browser = visit("maze-policy", "#n=3&seed=2")
    example = model.example
    expected = drawn(browser, model, seed=2, condition=example)
    (place,) = np.reshape(example["place"], (1, 2))
    led = [sequences.places(each, maze.PLAN, place) for each in expected.astype(np.float64)]
    paths = "genzoo.view.sequences().map(({ rows }) => genzoo.view.places(rows))"
    np.testing.assert_allclose(browser.evaluate(paths), led, atol=1e-4)
    # they are light where they end, on a picture that is dark there, and begin in a ring
    assert browser.evaluate("genzoo.view.extent") == list(maze.PLAN.extent)
    shades = np.array(browser.evaluate(PIXELS)[0]).reshape(900, 900)
    for x, y in np.array(led)[:, -1]:
        assert shades[int(900 * y), int(900 * x)] > 200
    assert shades[5, 5] == 0
    assert text(browser, "view").endswith("Click to start elsewhere.")
    # a click
    box = browser.evaluate("document.querySelector('#view canvas').getBoundingClientRect().toJSON()")
    where = {"x": box["x"] + 0.25 * box["width"], "y": box["y"] + 0.75 * box["height"], "button": "left"}
    browser.evaluate("genzoo.last = null; scrollTo(0, 0)")
    for kind in ("mousePressed", "mouseReleased"):
        browser.send("Input.dispatchMouseEvent", type=kind, clickCount=1, **where)
    browser.wait(DONE, SECONDS)
    clicked = browser.evaluate("genzoo.last.condition.place")
    np.testing.assert_allclose(clicked, [0.25, 0.75], atol=0.003)
    fields = "Array.from(document.querySelectorAll('#parts .numbers input'), (field) => Number(field.value))"
    assert browser.evaluate(fields) == clicked
    picture = np.reshape(example["picture"], (3, 32, 32)).copy()
    picture[2] = maze.pictures(maze.random_mazes(np.random.default_rng(0), 1), np.array([clicked]))[0, 2]
    found = np.reshape(browser.evaluate("Array.from(genzoo.last.condition.picture.data)"), (3, 32, 32))
    np.testing.assert_array_equal(found, picture)
    drawn(browser, model, seed=2, condition={"picture": picture, "place": np.array(clicked, np.float32)})
    np.testing.assert_allclose(browser.evaluate(f"{paths}[0][0]"), clicked)
    assert browser.console == []


def test_parameters_are_seen_in_pairs(visit, bundle):
    model = BundledModel(bundle("slcp-posterior"), "cpu")
    browser = visit("slcp-posterior", "#n=200&seed=3")
    expected = drawn(browser, model, seed=3, condition=model.example)
    assert browser.evaluate("genzoo.view.names") == [f"parameter_{i}" for i in range(1, 6)]
    columns = browser.evaluate("genzoo.view.columns.map((column) => Array.from(column))")
    np.testing.assert_allclose(np.transpose(columns), expected, rtol=1e-3, atol=1e-3)
    # what was observed, as a line for each point
    lines = browser.evaluate("document.querySelector('#parts textarea').value").split("\n")
    observed = [[float(number) for number in line.split(", ")] for line in lines]
    np.testing.assert_allclose(observed, np.reshape(model.example["points"], (4, 2)))
    assert "4 lines of 2 numbers" in text(browser, "parts")
    # there is ink in each panel below the diagonal and on it, and none above
    ink = np.array(browser.evaluate(PIXELS.replace("i % 4 === 0", "i % 4 === 3"))[0]).reshape(1000, 1000)
    cell = (1000 - 74) / 5
    for row in range(5):
        for column in range(5):
            x, y = int(74 + column * cell) + 20, int(row * cell) + 15
            assert bool(ink[y : y + 145, x : x + 145].any()) == (column <= row)
    names = browser.evaluate("Array.from(document.querySelectorAll('details th'), (th) => th.textContent).slice(1, 6)")
    assert names == [f"parameter_{i}" for i in range(1, 6)]
    two = visit("two-moons-posterior", "#n=50&seed=3")
    assert "parameter_1 from" in text(two, "view")


def test_sequences_are_lines_over_time(visit):
    """One number, several, and a mask; and paths that no picture lies under."""
    browser = visit("moons-nsf", until=READY)
    script = """import("./page/sequences.mjs").then(({ Sequences, sequenceOf }) => {
        const drawn = (event_shape, length, data, captions = null) => {
            const n = data.length / event_shape.reduce((a, b) => a * b);
            const view = new Sequences(document.getElementById("view"), { event_shape, length }, n, captions);
            view.show(Float32Array.from(data));
            const rows = view.sequences().map(({ rows }) => rows);
            return [rows, Array.from(document.querySelectorAll("#view figcaption"), (each) => each.textContent)];
        };
        const plane = (shape) => sequenceOf({ event_shape: shape })?.plane ?? null;
        return [
            drawn([4, 1], undefined, [1, 2, 3, 4, 0, 0, 0, 0]),
            drawn([2, 3], undefined, [1, 2, 3, 4, 5, 6]),
            drawn([3, 3], { mask: 2 }, [1, 2, 1, 3, 4, 1, 0, 0, 0]),
            drawn([3, 2], undefined, [0, 0, 1, 1, 2, 0], ["up"]),
            [[1, 16], [16, 1], [16, 2], [2, 16], [3, 4, 4], [5]].map(plane),
        ];
    })"""
    one, several, masked, path, planes = browser.evaluate(script)
    assert one == [[[[1], [2], [3], [4]], [[0]] * 4], ["from 0 to 4, at positions 0 to 3"]]
    assert several[0] == [[[1, 4], [2, 5], [3, 6]]]
    assert several[1] == ["number 0: from 1 to 3, at positions 0 to 2", "number 1: from 4 to 6, at positions 0 to 2"]
    assert masked[0] == [[[1, 2], [3, 4]]]
    assert path[0] == [[[0, 0], [1, 1], [2, 0]]]
    assert path[1][0].endswith("; a ring marks the start, a dot an end")
    assert planes == [False, False, True, False, None, None]
    assert browser.evaluate("document.querySelector('.legend').textContent") == "up"
    assert browser.console == []


# -- what a visitor does ----------------------------------------------------------------------------------------------


def test_the_form_does_what_it_says(visit, bundle):
    model = BundledModel(bundle("digits-nsf"), "cpu")
    browser = visit("digits-nsf", until=READY)
    fields = (
        "for (const [name, value] of Object.entries({ class: '7', n: 3, seed: 5 })) form.elements[name].value = value;"
    )
    browser.evaluate(f"(() => {{ const form = document.getElementById('form'); {fields} }})()")
    browser.evaluate("document.getElementById('go').click()")
    browser.wait(DONE, SECONDS)
    drawn(browser, model, seed=5, condition=7)
    assert browser.evaluate("location.hash") == "#class=7&n=3&seed=5&temperature=1"
    assert text(browser, "status").startswith("3 in ")
    assert browser.evaluate("document.getElementById('progress').value") == 1
    browser.evaluate("genzoo.last = null; document.getElementById('dice').click()")
    browser.wait(DONE, SECONDS)
    assert browser.evaluate("genzoo.last.seed") != "5"
    # the form refuses what makes no sense before anything runs
    browser.evaluate(
        "genzoo.last = null; document.getElementById('n').value = 0; document.getElementById('go').click()"
    )
    assert browser.evaluate("[genzoo.running, genzoo.last, document.querySelector(':invalid').id]") == [
        False,
        None,
        "form",
    ]


def test_a_run_can_be_stopped(visit):
    browser = visit("mnist-unet", "#n=4&seed=0&table=ddpm-100", until="globalThis.genzoo && genzoo.previews >= 2")
    assert 0 < browser.evaluate("document.getElementById('progress').value") < 1
    assert browser.evaluate("document.getElementById('go').disabled") is True
    browser.evaluate("document.getElementById('stop').click()")
    browser.wait("!genzoo.running", SECONDS)
    assert text(browser, "status") == "Stopped."
    assert browser.evaluate("[genzoo.error, genzoo.last, document.getElementById('go').disabled]") == [
        None,
        None,
        False,
    ]
    assert browser.evaluate("genzoo.previews") < 100
    # what was seen so far stays
    assert len(browser.evaluate(PIXELS)) == 4


@pytest.mark.parametrize(
    ("fragment", "sentence"),
    [
        ("#n=0&seed=1", "The number of samples is 1 to 1000, not 0."),
        ("#n=9999&seed=1", "The number of samples is 1 to 1000, not 9999."),
        ("#n=1&seed=one", "A seed is a whole number from 0 up, not one."),
        ("#n=1&seed=18446744073709551616", "A seed lies in 0 to 2**64 - 1, not 18446744073709551616."),
    ],
)
def test_a_link_that_makes_no_sense(visit, fragment, sentence):
    browser = visit("digits-nsf", fragment)
    assert text(browser, "error") == sentence
    assert browser.evaluate("getComputedStyle(document.getElementById('error')).display") != "none"
    assert browser.evaluate("document.getElementById('go').disabled") is False


def test_a_damaged_bundle_is_not_run(visit, packed, tmp_path):
    folder = shutil.copytree(packed("moons-nsf", "web"), tmp_path / "page")
    path = folder / "bundle" / "inverse.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    browser = visit("", folder=folder, until=READY)
    said = "Inverse.onnx has been altered or damaged: its sha256 differs. Copy or export the bundle again."
    assert text(browser, "error") == said
    assert text(browser, "name") == "The model cannot be loaded"
    path.unlink()
    browser = visit("", folder=folder, until=READY)
    assert text(browser, "error") == "Inverse.onnx cannot be fetched: the server says 404."


def test_a_page_that_is_opened_as_a_file_says_what_it_needs(browser, packed):
    """Its modules are not loaded, so that it would say forever that it loads."""
    browser.open("about:blank")
    browser.open(f"{(packed('moons-nsf', 'web') / 'index.html').as_uri()}")
    browser.wait("document.getElementById('name')?.textContent === 'This page needs a web server'", SECONDS)
    assert "python -m http.server" in text(browser, "view")


def test_licences_that_are_not_stated_are_told_so(visit, packed, tmp_path):
    folder = shutil.copytree(packed("moons-nsf", "web"), tmp_path / "page")
    path = folder / "bundle" / "manifest.json"
    stated = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**stated, "licenses": {"code": "", "weights": ""}}), "utf-8")
    browser = visit("", folder=folder, until=READY)
    assert "Weights: no licence stated. Code: no licence stated." in text(browser, "about")


def test_texts_of_a_bundle_are_texts(visit, packed, tmp_path):
    """A bundle's author may call it anything."""
    folder = shutil.copytree(packed("digits-nsf", "web"), tmp_path / "page")
    path = folder / "bundle" / "manifest.json"
    wicked = "<img src=x onerror=document.title=1>"
    path.write_text(path.read_text("utf-8").replace("Class-conditional neural spline", wicked), "utf-8")
    browser = visit("", "#n=1&seed=0", folder=folder)
    assert wicked in text(browser, "summary")
    assert browser.evaluate("document.querySelectorAll('header img').length") == 0
    assert browser.evaluate("document.title") == "digits-nsf"


# -- where it comes from ----------------------------------------------------------------------------------------------


def test_nothing_is_fetched_but_the_folders_own_files(visit):
    """Without any of the headers that give a page shared memory."""
    browser = visit("moons-nsf", "#n=5&seed=0")
    assert browser.evaluate("crossOriginIsolated") is False
    assert [line for line in visit.requests if not line.startswith(("200 ", "304 "))] == []
    paths = {line.split(" ")[1].split("?")[0] for line in visit.requests}
    assert {"/index.html", "/page.json", "/bundle/manifest.json", "/ort/ort.wasm.bundle.min.mjs"} <= paths
    origin = browser.evaluate("location.origin")
    asked = browser.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [url for url in asked if not url.startswith((origin, "data:"))] == []
    assert browser.console == []


def test_elsewhere_nothing_may_be_fetched_from(visit):
    browser = visit("moons-nsf", until=READY)
    answer = browser.evaluate("fetch('http://127.0.0.1:9/').then(() => 'fetched', (error) => error.name)")
    assert answer == "TypeError"
    assert any("Content Security Policy" in line for line in browser.console)


def test_threads_where_the_server_allows_them(visit, bundle):
    model = BundledModel(bundle("digits-nsf"), "cpu")
    browser = visit("digits-nsf", "#n=10&seed=3", headers=ISOLATED)
    assert browser.evaluate("crossOriginIsolated") is True
    threads = browser.evaluate("Math.min(4, navigator.hardwareConcurrency)")
    assert browser.evaluate("genzoo.threads") == threads
    assert f"{threads} thread" in text(browser, "about")
    assert_pixels(browser, model, drawn(browser, model, seed=3))
    assert browser.console == []


@pytest.mark.slow
def test_the_gpu_where_there_is_one(chromium, modules, bundle, registry, tmp_path):
    """Through Chromium's own software renderer, where it has that."""
    from zoo.exporting import pack

    folder = pack(bundle("digits-nsf"), tmp_path / "page", target="web", registry=registry, webgpu=True)
    model = BundledModel(bundle("digits-nsf"), "cpu")
    flags = (*OFFLINE, "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
    with served(folder) as address, Browser(chromium, flags=flags) as browser:
        browser.open(f"{address}?backend=webgpu#n=4&seed=3")
        browser.wait(DONE, 2 * SECONDS)
        if "WebGPU" not in text(browser, "about"):
            pytest.skip("this Chromium has no WebGPU here")
        assert browser.evaluate("document.getElementById('backend').value") == "webgpu"
        assert_pixels(browser, model, drawn(browser, model, seed=3))
        assert browser.console == []


def test_the_target_checks_itself(chromium, packed):
    assert page.verify(packed("digits-nsf", "web")) == "2 samples by the page in Chromium"


# -- named parts ------------------------------------------------------------------------------------------------------


def test_every_part_of_a_condition_has_its_field(visit, bundle):
    """Drawn on, typed and chosen; what is left alone is the part's null."""
    model = BundledModel(bundle("everything"), "cpu")
    browser = visit("everything", until=READY)
    kinds = (
        "Array.from(document.querySelectorAll('.part'), (p) => Array.from(p.querySelectorAll(given), (e) => e.tagName))"
    )
    fields = browser.evaluate(kinds.replace("given", "'input:not([type=hidden]), select, canvas, textarea'"))
    number, area, picture = ["INPUT"] * 2, ["TEXTAREA", "INPUT"], ["CANVAS", "INPUT", "INPUT"]
    assert fields == [["SELECT"], number, picture, area, ["INPUT"], area]
    # a class by its label, as it is chosen
    assert browser.evaluate("document.querySelector('.part select').value") in ("a", "b", "c")
    browser.evaluate("""(() => {
        const put = (field, value) => { field.value = value; field.dispatchEvent(new Event("input")); };
        const [kind, arm, image, sound, words, track] = document.querySelectorAll(".part");
        put(kind.querySelector("select"), "b");
        arm.querySelectorAll("input[type=number]").forEach((field, i) => put(field, [1.5, -2][i]));
        put(words.querySelector("input"), "b😀");
        put(track.querySelector("textarea"), "[[1, 2], [3, 4]]");
        put(sound.querySelector("textarea"), "");
        document.getElementById("n").value = 3;
    })()""")
    box = browser.evaluate("document.querySelector('.part canvas').getBoundingClientRect().toJSON()")
    where = {"x": box["x"] + box["width"] / 6, "y": box["y"] + box["height"] / 4, "button": "left", "clickCount": 1}
    for kind in ("mousePressed", "mouseReleased"):
        browser.send("Input.dispatchMouseEvent", type=kind, **where)
    browser.evaluate("document.getElementById('go').click()")
    browser.wait(DONE, SECONDS)
    image = browser.evaluate("Array.from(genzoo.last.condition.image.data)")
    assert image == [1, 0, 0, 0, 0, 0]
    condition = {"kind": "b", "arm": [1.5, -2.0], "words": "b😀", "track": [[1.0, 2.0], [3.0, 4.0]]}
    drawn(browser, model, seed=0, condition={**condition, "image": np.reshape(image, (1, 2, 3))})
    # the address draws the same again, with the picture in it
    link = browser.evaluate("location.hash")
    browser = visit("everything", link)
    drawn(browser, model, seed=0, condition={**condition, "image": np.reshape(image, (1, 2, 3))})
    assert (
        browser.evaluate("document.querySelector('.part canvas').getContext('2d').getImageData(0, 0, 1, 1).data[0]")
        == 255
    )
    assert browser.console == []


def test_a_part_that_is_wrong_is_said_on_the_page(visit):
    browser = visit("everything", "#n=1&seed=0&condition-words=cat")
    said = 'Part words of the condition has no symbol "c", as in "cat".'
    assert text(browser, "error") == said
    browser = visit("everything", "#n=1&seed=0&condition-track=[1")
    assert text(browser, "error").startswith("Part track of the condition is not JSON: ")
    browser = visit("everything", "#n=1&seed=0&condition-image=AAAA")
    assert text(browser, "error") == "Part image of the condition is not an image of 3 × 2 pixels."


def test_a_diffusion_of_parts_is_guided_by_the_slider(visit, bundle):
    model = BundledModel(bundle("policy"), "cpu")
    browser = visit("policy", "#n=2&seed=3&guidance=2&condition-state=4,6&condition-prompt=cab")
    drawn(browser, model, seed=3, guidance=2.0, condition={"state": [4.0, 6.0], "prompt": "cab"})
    assert page.verify(visit.packed("policy", "web")) == "2 samples by the page in Chromium"


# -- for everybody ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist-unet", "everything"])
def test_every_control_has_a_name(visit, name):
    browser = visit(name, until=READY)
    controls = "input:not([type=hidden]), select, textarea, button, progress, canvas, audio"
    nameless = f"""Array.from(document.querySelectorAll("{controls}"))
        .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map((e) => e.outerHTML)"""
    assert browser.evaluate(nameless) == []
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.getElementById('status').getAttribute('aria-live')") == "polite"


@pytest.mark.parametrize("name", ["digits-nsf", "moons-nsf", "sound", "everything"])
def test_nothing_sticks_out_of_a_narrow_window(visit, name):
    browser = visit(name, "#n=3&seed=0&class=")
    size = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    browser.send("Emulation.setDeviceMetricsOverride", **size)
    try:
        assert browser.evaluate("document.documentElement.scrollWidth") <= 320
        wide = "Array.from(document.querySelectorAll('main *')).filter((e) => e.getBoundingClientRect().right > 320)"
        assert browser.evaluate(f"{wide}.map((e) => e.tagName)") == []
    finally:
        browser.send("Emulation.clearDeviceMetricsOverride")


def test_points_follow_the_choice_of_light_or_dark(visit):
    browser = visit("moons-nsf", "#n=200&seed=0")
    ink = f"{PIXELS}[0].reduce((a, b) => a + b, 0)"
    shown = f"new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done({ink}))))"
    seen = []
    for mode in ("dark", "light"):
        browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
        seen.append(browser.evaluate(shown))
    assert seen[0] > 1.5 * seen[1]
