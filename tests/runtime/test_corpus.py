"""Bundles written long ago are read, and give their golden values: see tests/bundles/README.md."""

from pathlib import Path

import pytest

from zoo.bundle import open_bundle
from zoo.runtime.check import check

BUNDLES = Path(__file__).parents[1] / "bundles"
CORPUS = sorted(path.parent.relative_to(BUNDLES).as_posix() for path in BUNDLES.glob("*/*/manifest.json"))


def test_the_corpus_is_whole_and_small():
    assert {name.split("/")[0] for name in CORPUS} == {"before-parts", "brought", "parts"}
    assert len(CORPUS) == 8
    assert sum(path.stat().st_size for path in BUNDLES.rglob("*") if path.is_file()) < 1_000_000


@pytest.mark.parametrize("name", CORPUS)
def test_a_bundle_gives_its_golden_values(name):
    report = check(open_bundle(BUNDLES / name), "cpu")
    assert report.ok, [row for row in report.rows if not row.ok]
    assert "sample" in {row.what for row in report.rows}
