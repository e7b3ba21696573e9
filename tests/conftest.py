"""Two tiers of tests: the quick one, which is what runs, and the whole of each table with ``--full``.

A test marked ``full`` runs in the second only; of a parametrised test marked ``sample(*ids)`` the quick tier takes the
rows with these ids.

Where the distribution of the pretrained models is not installed, the modules that name one of them skip.
"""

import re
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

SHELF = Path(__file__).parents[1] / "plugins" / "zoo_models"


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the whole of every table, not a fixed sample of it")


def waits(item):
    """Whether a test is for the second tier."""
    if item.get_closest_marker("full"):
        return True
    sample = item.get_closest_marker("sample")
    return sample is not None and item.callspec.id not in sample.args


def has_models():
    """Whether the pretrained models are installed."""
    try:
        metadata.version("genzoo-models")
    except metadata.PackageNotFoundError:
        return False
    return True


@cache
def named_model(module):
    """A pretrained model that the source of a module of tests names, or its folder, or nothing."""
    names = "|".join(re.escape(card.parent.name) for card in SHELF.glob("*/card.json"))
    match = re.search(rf"\b({names or 'mnist-unet'}|zoo_models)\b", module.read_text("utf-8"))
    return match and match[1]


def pytest_collection_modifyitems(config, items):
    if not has_models():
        for item in items:
            if name := named_model(item.path):
                reason = (
                    f"it needs {name}, and the pretrained models are not installed (pip install ./plugins/zoo_models)"
                )
                item.add_marker(pytest.mark.skip(reason=reason))
    if config.getoption("--full"):
        return
    left_out = [item for item in items if waits(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not waits(item)]


def pytest_collection_finish(session):
    """A sample that names a row that is not there would be smaller than it says."""
    if session.config.getoption("--full"):
        rows = {}
        for item in session.items:
            if sample := item.get_closest_marker("sample"):
                rows.setdefault((item.path, item.originalname), (sample.args, set()))[1].add(item.callspec.id)
        missing = [f"{name}[{row}]" for (_, name), (named, there) in rows.items() for row in named if row not in there]
        part = session.config.getoption("keyword") or any("::" in argument for argument in session.config.args)
        if missing and not part:
            raise pytest.UsageError(f"samples of rows that are not there: {', '.join(missing)}")
