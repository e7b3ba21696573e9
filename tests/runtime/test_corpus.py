"""Bundles written long ago are read, and give their golden values: see tests/bundles/README.md."""

import json
from pathlib import Path

import pytest

from zoo.bundle import MANIFEST, Manifest, open_bundle
from zoo.errors import BundleError
from zoo.runtime import load
from zoo.runtime.check import check

BUNDLES = Path(__file__).parents[1] / "bundles"
CORPUS = sorted(path.parent.relative_to(BUNDLES).as_posix() for path in BUNDLES.glob("*/*/manifest.json"))


def test_the_corpus_is_whole_and_small():
    assert {name.split("/")[0] for name in CORPUS} == {"before-parts", "brought", "columns", "parts"}
    assert len(CORPUS) == 9
    assert sum(path.stat().st_size for path in BUNDLES.rglob("*") if path.is_file()) < 1_000_000


@pytest.mark.parametrize("name", CORPUS)
def test_its_version_is_the_oldest_that_has_all_that_it_states(name):
    """So that a reader of version 1 is asked for no more, and says that it is too old where it is."""
    text = (BUNDLES / name / MANIFEST).read_text("utf-8")
    version = json.loads(text)["format"]["version"]
    assert version == (1 if name.startswith("before-parts/") else 2)
    assert json.loads(Manifest.from_json(text).to_json())["format"]["version"] == version
    other = text.replace(f'"version": {version}', f'"version": {3 - version}', 1)
    if version == 1:
        assert json.loads(Manifest.from_json(other).to_json())["format"]["version"] == 1
    else:
        with pytest.raises(BundleError, match="is not a valid manifest"):
            Manifest.from_json(other)


def test_a_column_for_d_before_it_is_clipped_decides_its_samples():
    model = load(BUNDLES / "columns" / "unclipped", "cpu")
    assert model.table().matrix.shape == (4, 1, 3)
    assert abs(model.sample(4, seed=1) - model.sample(4, seed=1, epsilon="clipped")).max() > 0.01


@pytest.mark.parametrize("name", CORPUS)
def test_a_bundle_gives_its_golden_values(name):
    report = check(open_bundle(BUNDLES / name), "cpu")
    assert report.ok, [row for row in report.rows if not row.ok]
    assert "sample" in {row.what for row in report.rows}
