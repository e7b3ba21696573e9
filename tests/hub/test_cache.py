"""The cache of pulled models: listed, verified, and removed from both caches."""

import json

import pytest

from zoo.hub import Store, address_of, pull


@pytest.fixture
def filled(hub, files, packed, tmp_path):
    """Two commits of a repository, and an archive."""
    (tmp_path / "x.zip").write_bytes(packed)
    pull(address_of(str(tmp_path / "x.zip")))
    commits = []
    for text in (b"one", b"two"):
        if not commits:
            commits.append(hub.add("lab/flow", {**files, "README.md": text}))
        else:
            commits.append(hub.repositories["lab/flow"].commit({**files, "README.md": text}))
        pull(address_of("hf:lab/flow"))
    return commits


def test_what_was_pulled_is_listed(zoo, filled, tmp_path):
    listed = json.loads(zoo("cache", "ls", "--json").stdout)
    addresses = {f"hf:lab/flow@{commit}" for commit in filled} | {str(tmp_path / "x.zip")}
    assert {each["address"] for each in listed["models"]} == addresses
    assert all(each["size"] > 10_000 and "manifest.json" in each["files"] for each in listed["models"])
    shown = zoo("cache", "ls").stdout
    assert all(address in shown for address in addresses)


def test_an_empty_cache(zoo):
    assert zoo("cache", "ls").stderr.startswith("there is nothing in ")
    done = zoo("cache", "verify")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("there is nothing in ")
    assert zoo("cache", "rm", "--all").exit_code == 0
    assert "takes addresses of `zoo cache ls`, or --all" in zoo("cache", "rm").stderr
    for arguments in (["rm", "hf:lab/flow"], ["verify", "hf:lab/flow"], ["rm", "hf:lab/flow@v1"]):
        done = zoo("cache", *arguments)
        assert (done.exit_code, "is not in the cache" in done.stderr) == (2, True)


def damages(entry):
    """What may happen to an entry, and what is said."""
    manifest, weights = entry.model / "manifest.json", entry.model / "weights.safetensors"
    return {
        "a byte": (lambda: weights.write_bytes(weights.read_bytes()[:-1] + b"\1"), "altered or damaged"),
        "cut off": (lambda: weights.write_bytes(b"123"), "altered or damaged"),
        "missing": (weights.unlink, "is missing"),
        "another manifest": (lambda: manifest.write_text("{}"), "altered or damaged"),
        "one more": (lambda: (entry.model / "more").write_text("x"), "was not pulled"),
        "its record": (lambda: (entry.folder / "pulled.json").write_text("{"), "cannot be read"),
    }


@pytest.mark.sample("a byte", "its record")
@pytest.mark.parametrize("what", ["a byte", "cut off", "missing", "another manifest", "one more", "its record"])
def test_damage_is_found_told_and_mended(zoo, filled, what):
    address = f"hf:lab/flow@{filled[1]}"
    assert zoo("cache", "verify").exit_code == 0
    entry = Store().find(f"hf--lab--flow--{filled[1]}")
    damage, told = damages(entry)[what]
    for path in list(entry.model.iterdir()):  # as on a disk without links: the library's own file stays whole
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    damage()
    done = zoo("cache", "verify")
    assert done.exit_code == 3
    assert [line for line in done.stdout.splitlines() if line.startswith("damaged")] != []
    assert told in done.stdout
    assert done.stdout.count("ok  ") == 2
    if what == "its record":
        assert "zoo cache rm" in zoo("run", address).stderr
    assert zoo("cache", "rm", entry.folder.name).exit_code == 0
    assert zoo("pull", address).exit_code == 0
    assert zoo("cache", "verify").exit_code == 0


def test_a_commit_a_repository_and_all_are_removed(zoo, hub, filled, tmp_path):
    blobs = tmp_path / "hf-cache" / "models--lab--flow"
    assert (blobs / "snapshots" / filled[0]).is_dir()
    assert zoo("cache", "rm", f"hf:lab/flow@{filled[0]}").exit_code == 0
    assert not (blobs / "snapshots" / filled[0]).exists()
    assert (blobs / "snapshots" / filled[1]).exists()
    assert zoo("cache", "rm", "hf:lab/flow").exit_code == 0
    assert not blobs.exists()
    assert [entry.folder.name.split("--")[0] for entry in Store().entries()] == ["sha256"]
    (Store().downloads).mkdir()
    (Store().downloads / "0.part").write_bytes(b"half")
    assert "unfinished: " in zoo("cache", "ls").stderr
    assert zoo("cache", "rm", "--all").exit_code == 0
    assert [path for path in Store().folder.rglob("*") if path.is_file()] == []


def test_a_pin_to_what_is_gone_is_no_pin(zoo, hub, filled):
    import shutil

    shutil.rmtree(Store().folder / f"hf--lab--flow--{filled[1]}")
    done = zoo("run", "hf:lab/flow", "-n", "2", "-o", "x.npy")
    assert done.exit_code == 0
    assert f"pulled gaussian-flow from hf:lab/flow@{filled[1]}" in done.stderr
