"""Paths of plugins: found by name, checked, described with their package, and missed with a sentence that names it."""

import importlib
import sys

import numpy as np
import pytest

import zoo
from zoo.errors import ConfigError, MissingDependencyError, NameConflictError, PluginError, UnknownNameError
from zoo.paths import BUILTIN, path_from
from zoo.programs import Iterate
from zoo.registry import Registry, extensions
from zoo.registry.discovery import Plugin, PluginRecord
from zoo.samplers import table_for

SOURCE = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from zoo.errors import ConfigError
from zoo.paths import VariancePreserving

@dataclass(frozen=True)
class Straight(VariancePreserving):
    "A straight line of the log-SNR."

    top: float = 12.0
    name: ClassVar[str] = "straight"

    def __post_init__(self):
        if self.top < 0:
            raise ConfigError("straight needs top above 0")
        if self.top > 1e4:
            raise RuntimeError("too far up")

    def log_snr(self, t):
        return np.asarray(self.top * (1.0 - 2.0 * np.asarray(t, np.float64)))

    def time_at(self, log_snr):
        return np.asarray(0.5 * (1.0 - np.asarray(log_snr, np.float64) / self.top))

class Rising(Straight):
    def log_snr(self, t):
        return -super().log_snr(t)

class Inverted(Straight):
    def time_at(self, log_snr):
        return 1.0 - super().time_at(log_snr)

class Other(Straight):
    def alpha_sigma(self, t):
        return np.ones_like(t), np.exp(-self.log_snr(t))

class Failing(Straight):
    def network_time(self, t):
        raise ZeroDivisionError("none")

class Single(Straight):
    def log_snr(self, t):
        return super().log_snr(t).astype(np.float32)

class Misnamed(Straight):
    name = "other"

class NoPath:
    name = "straight"
"""


@pytest.fixture
def bring(tmp_path, monkeypatch):
    (tmp_path / "straight_path.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.setattr(extensions, "_claims", {})

    def bring(cls="Straight", packages=("zoo-straight",), name="straight"):
        described = zoo.PathKind(name=name, summary="a line", entry=f"straight_path:{cls}")
        records = [PluginRecord(name=p, distribution=p, version="1.0", module=p) for p in packages]
        plugins = [Plugin(record, {"path": (described,)}) for record in records]
        extensions.bring(plugins)
        return plugins

    yield bring
    sys.modules.pop("straight_path", None)


def test_a_plugins_path_is_found_by_name_and_makes_tables(bring):
    bring()
    path = path_from({"name": "straight", "top": 10.0})
    assert path.describe() == {"name": "straight", "top": 10.0, "package": "zoo-straight"}
    assert path_from(path.describe()) == path
    table = table_for(Iterate("step", path=path.describe()), "ddim", 5)
    assert np.isfinite(table.matrix).all()
    assert path_from("straight").top == 12.0


def test_without_the_plugin_its_description_says_which_package_brings_it(bring):
    bring()
    described = path_from("straight").describe()
    extensions.bring([])
    with pytest.raises(
        MissingDependencyError, match="'zoo-straight' is needed to make inputs of its graphs with"
    ) as caught:
        Iterate("step", path=described).row(0.5)
    assert caught.value.hint == "The path's description says that this package brings it as a plugin."
    with pytest.raises(UnknownNameError, match="there is no path named 'straight'") as caught:
        path_from(described)
    assert caught.value.hint == "Its description says that the package 'zoo-straight' brings it as a plugin."
    del described["package"]
    with pytest.raises(UnknownNameError) as caught:
        path_from(described)
    assert caught.value.hint == "A plugin may bring it: see `zoo plugins`."
    with pytest.raises(UnknownNameError) as caught:
        path_from({"name": "straight", "package": "x\n\x1b[31m" * 100})
    assert "\n" not in caught.value.hint
    assert len(caught.value.hint) < 200


@pytest.mark.parametrize(
    ("cls", "told"),
    [
        ("Rising", "log_snr must decrease in t"),
        ("Inverted", "time_at must be the inverse of log_snr"),
        ("Other", r"log_snr must be ln\(alpha²/sigma²\)"),
        ("Failing", "cannot be evaluated: ZeroDivisionError: none"),
        ("Single", "finite numbers in float64"),
        ("Misnamed", "not a GaussianPath of that name"),
        ("NoPath", "not a GaussianPath of that name"),
        ("Missing", "cannot be loaded: AttributeError"),
    ],
)
def test_what_is_no_path_is_refused_by_what_does_not_hold(bring, cls, told):
    bring(cls)
    with pytest.raises(PluginError, match=rf"path 'straight' of zoo-straight 1\.0.*{told}"):
        path_from("straight")


def test_its_own_errors_are_told_and_foreign_ones_do_not_escape(bring):
    bring()
    with pytest.raises(ConfigError, match="straight needs top above 0"):
        path_from({"name": "straight", "top": -1})
    with pytest.raises(ConfigError, match=r"path 'straight' of zoo-straight 1\.0: .*bogus"):
        path_from({"name": "straight", "bogus": 1})
    with pytest.raises(PluginError, match="cannot be built: RuntimeError: too far up"):
        path_from({"name": "straight", "top": 1e5})


def test_names_are_claimed_as_of_every_other_kind(bring):
    bring(packages=("one", "two"))
    with pytest.raises(NameConflictError, match=r"the path 'straight' is claimed by one 1\.0 .* and two 1\.0"):
        path_from("straight")
    # a built-in one keeps its name
    bring(name="vp-linear")
    assert path_from("vp-linear").describe()["beta_max"] == 20.0


def test_the_built_in_ones_are_registered_through_the_same_door():
    registry = Registry.discover(allowed=())
    items = registry.items("path")
    assert {item.description.name for item in items} == set(BUILTIN)
    assert all(registry.load_entry(item.description) is BUILTIN[item.description.name] for item in items)
