"""Models of a local Hub: pulled, pinned, run by their address; and every fault in one sentence, with nothing lost."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import zoo.runtime
from zoo.errors import BundleError, HubError, UsageError
from zoo.hub import Store, address_of, cached, pull

NAME = "lab/flow"
ADDRESS = f"hf:{NAME}"


def model_folder(files):
    """A model's folder: a card that names a bundle, with other things beside it."""
    from zoo.registry.cards import ModelCard

    card = ModelCard(name="shelved", family="flow", architecture="nice", event_shape=(2,), bundle="bundle")
    bundle = {f"bundle/{name}": content for name, content in files.items()}
    return {"card.json": card.to_json().encode(), **bundle}


def keys(tmp_path):
    return sorted(path.name for path in (tmp_path / "zoo-cache" / "models").glob("*--*"))


def test_a_model_is_pulled_pinned_and_run_by_its_address(hub, files, zoo, tmp_path):
    commit = hub.add(NAME, {**files, "README.md": b"# flow", ".gitattributes": b""})
    done = zoo("pull", ADDRESS)
    assert done.exit_code == 0, done.output
    assert f"pulled gaussian-flow from {ADDRESS}@{commit}, {len(files)} files" in done.stdout
    assert f"try `zoo run {ADDRESS}@{commit}`" in done.stderr
    entry = Store().find(f"hf--lab--flow--{commit}")
    assert {path.name for path in entry.model.iterdir()} == set(files)
    assert not any(path.is_symlink() for path in entry.model.iterdir())
    # what is there runs without another word to the hub
    hub.stop()
    done = zoo("run", ADDRESS, "-n", "3", "--seed", "1", "-o", "x.npy")
    assert done.exit_code == 0, done.output
    assert f"{ADDRESS} is {ADDRESS}@{commit}, as it was pulled" in done.stderr
    by_address = __import__("zoo").runtime.load(ADDRESS, "cpu").sample(3, seed=1)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), by_address)


def test_a_branch_stays_the_commit_that_it_was_until_it_is_pulled_again(hub, files):
    first = hub.add(NAME, files)
    assert pull(address_of(ADDRESS)).exact == address_of(f"{ADDRESS}@{first}")
    second = hub.repositories[NAME].commit({**files, "README.md": b"new"})
    assert cached(address_of(ADDRESS)).exact.revision == first
    again = pull(address_of(ADDRESS))
    assert (again.exact.revision, again.new) == (second, True)
    assert cached(address_of(ADDRESS)).exact.revision == second
    assert cached(address_of(f"{ADDRESS}@{first}")) is not None
    before = len(hub.requests)
    assert not pull(address_of(f"{ADDRESS}@{first}")).new
    assert len(hub.requests) == before


def test_a_tag_and_another_branch(hub, files):
    hub.add(NAME, {"README.md": b"nothing here"})
    commit = hub.repositories[NAME].commit(files, "refs/pr/1")
    assert pull(address_of(f"{ADDRESS}@refs/pr/1")).exact.revision == commit
    with pytest.raises(UsageError, match="hf:lab/flow holds no model of genzoo") as caught:
        pull(address_of(ADDRESS))
    assert "diffusers" in caught.value.hint


@pytest.mark.parametrize("layout", ["folder", "zip", "wrapped"])
def test_what_a_repository_may_hold(hub, files, pack, layout):
    if layout == "zip":
        content = {"model.zip": pack(files), "README.md": b"#"}
    elif layout == "folder":
        content = {**model_folder(files), "notes/secret.pkl": b"\x80", "checkpoint.bin": b"0" * 9}
    else:
        content = {f"bundle/{name}": content for name, content in files.items()}
    commit = hub.add(NAME, content)
    pulled = pull(address_of(ADDRESS))
    assert pulled.exact.revision == commit
    assert zoo.runtime.load(ADDRESS, "cpu").sample(2, seed=0).shape == (2, 2)
    assert zoo.runtime.load(f"{ADDRESS}@{commit}", "cpu").name == "gaussian-flow"
    # what the model does not name is not even downloaded
    assert not hub.asked("secret")
    assert not hub.asked("checkpoint")
    assert not list(pulled.folder.rglob("*.pkl"))


@pytest.mark.full
def test_every_command_takes_an_address(hub, files, zoo):
    commit = hub.add(NAME, files)
    told = {
        ("show",): (0, "gaussian-flow"),
        ("check",): (1, "there is nothing to replay"),
        ("export", "-o", "copy"): (1, "architecture"),
        ("bench", "--seconds", "0.05", "--no-torch"): (0, "gaussian-flow"),
        ("eval",): (2, "data"),
        ("push", "hf:lab/copy", "--dry-run"): (0, "wrote gaussian-flow-hub"),
    }
    for (command, *rest), (code, words) in told.items():
        done = zoo(command, ADDRESS, *rest)
        assert done.exit_code == code, (command, done.output)
        assert words in done.output
        assert "internal error" not in done.output
        assert f"{ADDRESS}@{commit}" in done.stderr


def test_files_state_the_commit_that_made_them(hub, files, zoo):
    commit = hub.add(NAME, files)
    assert zoo("run", ADDRESS, "-n", "4", "-o", "x.csv").exit_code == 0
    assert f"zoo run {ADDRESS}@{commit} -n 4" in zoo("show", "x.csv").stdout


def test_a_cut_connection_resumes(hub, files, monkeypatch):
    from huggingface_hub import constants

    # of a chunk that is not whole nothing is kept, and a whole one has 10 MB
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.add(NAME, files)
    hub.cut["weights.safetensors"] = 2
    pull(address_of(ADDRESS))
    ranges = [wanted for method, path, wanted in hub.asked("/cdn/") if method == "GET" and wanted]
    assert len(ranges) >= 2
    assert all(wanted.startswith("bytes=") and wanted != "bytes=0-" for wanted in ranges)


def test_a_connection_that_stays_cut_keeps_what_is_complete(hub, files, zoo, tmp_path):
    hub.add(NAME, files)
    hub.cut["weights.safetensors"] = 1000
    done = zoo("pull", ADDRESS)
    assert done.exit_code == 1
    (sentence, hint) = done.stderr.splitlines()
    assert sentence.startswith(f"Error: {ADDRESS} cannot be pulled: the connection to {hub.endpoint} was cut")
    assert hint == "What is complete is kept: try again, and it goes on from there."
    assert keys(tmp_path) == []
    hub.cut.clear()
    asked = len(hub.asked("/cdn/"))
    assert zoo("pull", ADDRESS).exit_code == 0
    whole = sum(name.endswith((".onnx", ".safetensors")) for name in files)
    assert 1 <= len(hub.asked("/cdn/")) - asked <= whole


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json"])
def test_a_file_that_is_not_what_the_hub_states_is_removed(hub, files, zoo, tmp_path, name):
    hub.add(NAME, files)
    hub.wrong.add(name)
    done = zoo("pull", ADDRESS)
    assert done.exit_code == 1
    assert f"Error: {name} of {ADDRESS} is not the file that the hub states" in done.stderr
    assert keys(tmp_path) == []
    hub.wrong.clear()
    assert zoo("pull", ADDRESS).exit_code == 0


def test_a_file_that_is_not_what_the_manifest_states_is_refused(hub, files, zoo, tmp_path):
    weights = files["weights.safetensors"]
    hub.add(NAME, {**files, "weights.safetensors": weights[:-1] + bytes([weights[-1] ^ 1])})
    done = zoo("run", ADDRESS)
    assert done.exit_code == 1
    assert f"Error: {ADDRESS} is refused: weights.safetensors has been altered or damaged" in done.stderr
    assert keys(tmp_path) == []
    hub.add(NAME, {**files, "weights.safetensors": weights + b"0"})
    with pytest.raises(HubError, match=rf"has {len(weights) + 1} bytes, and {len(weights)} by the model's own"):
        pull(address_of(ADDRESS))


def test_a_hostile_graph_meets_the_same_reader(hub, files):
    import hashlib
    import json

    (graph, *_) = (name for name in files if name.endswith(".onnx"))
    hostile = b"\x00" * 100
    manifest = json.loads(files["manifest.json"])
    manifest["files"][graph] = {"size": 100, "sha256": hashlib.sha256(hostile).hexdigest()}
    hub.add(NAME, {**files, graph: hostile, "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(BundleError, match="hf:lab/flow is refused: it cannot be opened"):
        pull(address_of(ADDRESS))


def test_a_full_disk(hub, files, zoo, tmp_path):
    """The limit on a file's size stands for the disk: the system refuses the write all the same."""
    hub.add(NAME, files)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, files.values())) - 1, limit[1]))
    try:
        done = zoo("pull", ADDRESS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: cannot write ")
    assert "file too large" in done.stderr
    assert keys(tmp_path) == []
    assert zoo("pull", ADDRESS).exit_code == 0


def test_a_disk_that_may_be_full_is_not_warned_of_twice(hub, files, zoo, monkeypatch):
    """huggingface_hub warns by a line of its own code; what fails is told by the error."""
    hub.add(NAME, files)
    monkeypatch.setattr("huggingface_hub.file_download.shutil.disk_usage", lambda path: SimpleNamespace(free=1))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert zoo("pull", ADDRESS).exit_code == 0
    assert [each for each in warned if "disk space" in str(each.message)] == []


def test_a_disk_without_room_for_the_copy(hub, files, monkeypatch, tmp_path):
    """Files that cannot be linked are copied, onto a disk that is full."""
    hub.add(NAME, files)

    def refuse(*arguments):
        raise OSError(errno.EXDEV, "another disk")

    def fill(source, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.link", refuse)
    with monkeypatch.context() as full:
        full.setattr(shutil, "copyfile", fill)
        with pytest.raises(Exception, match=r"cannot write .*no space left on device"):
            pull(address_of(ADDRESS))
    assert keys(tmp_path) == []
    assert pull(address_of(ADDRESS)).new


def test_no_network(hub, files, zoo, tmp_path):
    hub.add(NAME, files)
    endpoint = hub.endpoint
    hub.stop()
    done = zoo("pull", ADDRESS)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0].startswith(f"Error: {ADDRESS} cannot be pulled: {endpoint} cannot be reached")


def test_without_a_network_the_last_commit_is_told_and_used(hub, files, zoo, monkeypatch):
    commit = hub.add(NAME, files)
    assert zoo("pull", ADDRESS).exit_code == 0
    hub.stop()
    done = zoo("pull", ADDRESS)
    assert done.exit_code == 0, done.output
    assert "Warning:" in done.stderr
    assert "cannot be reached" in done.stderr
    assert f"in the cache already: gaussian-flow from {ADDRESS}@{commit}" in done.stdout
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    done = zoo("pull", ADDRESS)
    assert "Warning: ZOO_OFFLINE forbids asking the hub; this is what was pulled last\n" in done.stderr


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "ZOO_OFFLINE"])
def test_offline(hub, files, zoo, monkeypatch, how):
    from huggingface_hub import constants

    hub.add(NAME, files)
    hub.add("lab/other", files)
    assert zoo("pull", ADDRESS).exit_code == 0
    before = len(hub.requests)
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert zoo("run", ADDRESS, "-n", "2", "-o", "x.npy").exit_code == 0
    done = zoo("run", "hf:lab/other")
    assert done.exit_code == 1
    assert done.stderr == f"Error: hf:lab/other is not in the cache, and {how} forbids asking the hub\n"
    assert len(hub.requests) == before
    # what huggingface_hub has in its own cache is enough
    shutil.rmtree(Store().folder)
    assert zoo("run", ADDRESS, "-n", "2", "-o", "y.npy").exit_code == 0
    assert len(hub.requests) == before


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda hub, env: None, "there is no hf:lab/flow, or it is private"),
        (lambda hub, env: env("HF_TOKEN", "old"), "does not accept the token, which may have expired"),
        (lambda hub, env: hub.add(NAME, {}, private=True), "there is no hf:lab/flow, or it is private"),
        (lambda hub, env: hub.add(NAME, {}, gated=True), "open only to those who asked for it"),
        (lambda hub, env: hub.add(NAME, {}), "hf:lab/flow holds no model of genzoo"),
        (lambda hub, env: setattr(hub, "status", 503), "answers 503"),
        (lambda hub, env: setattr(hub, "status", 429), "was asked too often"),
    ],
    ids=["missing", "stale token", "private", "gated", "empty", "down", "asked too often"],
)
def test_what_the_hub_refuses_is_one_sentence(hub, zoo, monkeypatch, tmp_path, prepare, told):
    prepare(hub, monkeypatch.setenv)
    for command in ("pull", "run"):
        done = zoo(command, ADDRESS)
        assert done.exit_code in (1, 2)
        sentence, *hint = done.stderr.splitlines()
        assert sentence.startswith("Error: ")
        assert told in sentence
        assert len(hint) <= 1
    assert keys(tmp_path) == []


def test_a_revision_that_is_not_there(hub, files, zoo):
    hub.add(NAME, files)
    assert "Error: hf:lab/flow has no revision v9\n" in zoo("pull", f"{ADDRESS}@v9").stderr
    assert "has no revision " + "0" * 40 in zoo("pull", f"{ADDRESS}@{'0' * 40}").stderr


def test_a_process_of_its_own_with_the_settings_of_the_environment(hub, files, tmp_path):
    """huggingface_hub reads them when it is imported, and the other tests have done that."""
    hub.add(NAME, files, private=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ZOO_"))},
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "ZOO_CACHE": str(tmp_path / "zoo-cache"),
        "HF_TOKEN": "reader",
        "HF_HUB_DISABLE_XET": "1",
    }

    def run(*arguments, **settings):
        command = [sys.executable, "-m", "zoo", *arguments]
        told = {**environment, **settings}
        return subprocess.run(command, env=told, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    done = run("run", ADDRESS, "-n", "2", "-o", "x.npy", HF_HUB_OFFLINE="1")
    assert done.stderr == f"Error: {ADDRESS} is not in the cache, and HF_HUB_OFFLINE forbids asking the hub\n"
    done = run("run", ADDRESS, "-n", "2", "-o", "x.npy")
    assert (done.returncode, done.stderr.splitlines()[0][:28]) == (0, "pulled gaussian-flow from hf"), done.stderr
    assert run("-q", "run", ADDRESS, "-n", "2", "-o", "y.npy", HF_HUB_OFFLINE="1").stderr == ""


def test_without_huggingface_hub(zoo, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    done = zoo("run", ADDRESS)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "Error: huggingface_hub is needed to pull from and push to the Hugging Face Hub and is not installed",
        "pip install 'genzoo[hub]'",
    ]


def test_what_is_installed_need_not_be_pulled(zoo):
    done = zoo("pull", "moons-nsf")
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: moons-nsf is installed here, and need not be pulled\nTry `zoo run moons-nsf`.\n",
    )


@pytest.mark.sample("hf:lab/flow@../../x", "hf:../x")
@pytest.mark.parametrize(
    "address",
    ["hf:flow", "hf:lab/flow/more", "hf:../x", "hf:lab/..", "hf:lab/flow@", "hf:lab/flow@../../x", "hf://lab/flow"],
)
def test_what_is_no_address_of_the_hub(zoo, address):
    for command in ("pull", "run", "show"):
        done = zoo(command, address)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"Error: {address} is not an address of the Hub\n")
