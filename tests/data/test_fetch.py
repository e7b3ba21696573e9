"""Files of data sets: where they are looked for, that they are checked, and what is said when they cannot be had."""

import gzip
import hashlib

import pytest

from zoo.data.fetch import Remote, cache_folder, fetch
from zoo.errors import DataError, OutputError

CONTENT = b"seven samples"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A cache of its own, nothing provided, and no network."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    return tmp_path


def published(folder, content=CONTENT, **digests):
    """A file "on the web", by a file: URL."""
    source = folder / "web" / "x.bin"
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(content)
    return Remote("x.bin", (source.as_uri(),), **(digests or {"sha256": SHA256}))


def test_a_file_is_fetched_once_and_then_found_in_the_cache(places):
    remote = published(places)
    path = fetch("toy", remote)
    assert path == places / "cache" / "data" / "toy" / "x.bin"
    assert path.read_bytes() == CONTENT
    (places / "web" / "x.bin").unlink()
    assert fetch("toy", remote) == path


def test_a_provided_file_is_used_where_it_is(places, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(places / "mine"))
    mine = places / "mine" / "toy" / "x.bin"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(CONTENT)
    assert fetch("toy", Remote("x.bin", (), sha256=SHA256)) == mine
    assert not (places / "cache").exists()


def test_a_provided_folder_without_the_file_falls_back_to_the_cache(places, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(places / "empty"))
    assert fetch("toy", published(places)).is_relative_to(places / "cache")


def test_a_provided_file_that_is_not_the_published_one_is_refused(places, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(places / "mine"))
    mine = places / "mine" / "toy" / "x.bin"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(CONTENT + b"!")
    with pytest.raises(DataError, match=r"x\.bin is not the published file: its sha256 differs"):
        fetch("toy", published(places))


def test_a_wrong_download_is_refused_and_not_kept(places):
    with pytest.raises(DataError, match=r"cannot be fetched .*sha256 differs") as caught:
        fetch("toy", published(places, content=b"a login page"))
    assert "ZOO_DATA" in caught.value.hint
    assert list((places / "cache").rglob("*.bin")) == []
    assert [p for p in (places / "cache").rglob("*") if p.is_file()] == []


def test_a_second_address_is_tried(places):
    good = published(places)
    absent = (places / "web" / "nowhere").as_uri()
    assert fetch("toy", Remote("x.bin", (absent, *good.urls), sha256=SHA256)).read_bytes() == CONTENT
    with pytest.raises(DataError, match="nowhere"):
        fetch("toy", Remote("y.bin", (absent,), sha256=SHA256))


def test_a_cache_that_cannot_be_written_is_an_error_of_its_own(places):
    (places / "cache").write_bytes(b"a file where the folder should be")
    with pytest.raises(OutputError, match="cannot write"):
        fetch("toy", published(places))


def test_offline_nothing_is_fetched(places, monkeypatch):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(DataError, match="ZOO_OFFLINE forbids fetching") as caught:
        fetch("toy", published(places))
    assert "folder toy below ZOO_DATA" in caught.value.hint


def test_md5_of_the_uncompressed_content(places):
    packed = gzip.compress(CONTENT)
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert fetch("toy", published(places, packed, md5_uncompressed=md5)).read_bytes() == packed
    with pytest.raises(DataError, match=f"its md5 is {md5}, not 0000"):
        fetch("other", published(places, packed, md5_uncompressed="0000"))
    with pytest.raises(DataError, match="is damaged"):
        fetch("third", published(places, packed[:-9], md5_uncompressed=md5))
    with pytest.raises(DataError, match="is damaged"):
        fetch("fourth", published(places, CONTENT, md5_uncompressed=md5))


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "genzoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "genzoo"
