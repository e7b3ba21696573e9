"""The door for importers: what they are asked, and what happens when they are wrong."""

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError, NameConflictError, PluginError, UsageError  # noqa: E402 - after the check
from zoo.models import building  # noqa: E402
from zoo.models.sources import resolve  # noqa: E402

IMPORTER = """
    import torch
    import zoo

    class Point(zoo.DirectModel):
        family = "flow"

        def __init__(self, size=2):
            super().__init__()
            self.event_shape = (size,)
            self.scale = torch.nn.Parameter(torch.ones(size))

        def inverse(self, z, condition=None):
            return z * self.scale

        def log_density(self, x, condition=None):
            return -0.5 * ((x / self.scale) ** 2).sum(1)

    def describe(path, size=2):
        if path.suffix != ".point":
            return None
        text = path.read_text()
        if text == "broken":
            raise zoo.ConfigError("it is broken")
        if text == "odd":
            return {"name": "odd"}
        if text == "crash":
            raise KeyError("crash")
        return zoo.ModelCard(
            name=path.stem, family="flow", architecture="", config={"size": size}, event_shape=(size,), folder=path
        )

    def load(card):
        text = card.folder.read_text()
        if text == "late":
            raise ValueError("late")
        if text == "nothing":
            return None
        return Point(3 if text == "other" else card.config["size"])

    @zoo.hookimpl
    def zoo_importers():
        return [zoo.Importer(name="point", entry="zoo_point:load", describe="zoo_point:describe")]
"""


@pytest.fixture
def registry(site):
    site.install("zoo-point", IMPORTER)
    return site.registry()


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "a.point"
        path.write_text(text)
        return path

    return written


def test_what_an_importer_knows_is_a_model_like_any_other(registry, write):
    source = resolve(registry, write("fine"))
    assert (source.name, source.importer.name, source.bundle) == ("a", "point", None)
    model = building.load(registry, write("fine"), size=5)
    assert model.event_shape == (5,)
    assert not model.training


def test_what_no_importer_knows_is_no_model(registry, tmp_path):
    (tmp_path / "a.circle").write_text("")
    with pytest.raises(UsageError, match="is a file, but not a model") as caught:
        resolve(registry, tmp_path / "a.circle")
    assert "Other formats that can be read: point." in caught.value.hint


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("broken", ConfigError, "it is broken"),
        ("crash", PluginError, "importer point of zoo-point 1.0 fails on .*a.point: KeyError: 'crash'"),
        ("odd", PluginError, "importer point of zoo-point 1.0 gives .*, not a ModelCard"),
        ("late", PluginError, "importer point fails on .*a.point: ValueError: late"),
        ("nothing", PluginError, "importer point gives NoneType, not a zoo.GenerativeModel"),
        ("other", ConfigError, r"events of shape \(2,\), but its config builds \(3,\)"),
    ],
)
def test_an_importer_that_is_wrong_is_told(text, error, says, registry, write):
    with pytest.raises(error, match=says):
        building.load(registry, write(text))


def test_an_option_that_it_has_not_is_refused(registry, write):
    with pytest.raises(UsageError, match="importer point has no option colour") as caught:
        resolve(registry, write("fine"), colour="red", size=3)
    assert caught.value.hint == "It has: size."


def test_two_that_know_it_are_named(site, registry, write):
    site.install("zoo-dot", IMPORTER.replace('name="point"', 'name="dot"').replace("zoo_point", "zoo_dot"))
    with pytest.raises(NameConflictError, match=r"more than one importer: dot of zoo-dot 1\.0 and point of zoo-point"):
        resolve(site.registry(), write("fine"))
