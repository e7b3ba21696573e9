"""Archives: of the web by their digest, and on this machine; honest, cut, wrong and hostile ones."""

import json
import resource
import zipfile

import pytest

import zoo.runtime
from zoo.errors import BundleError, HubError, UsageError
from zoo.hub import Store, address_of, pull


@pytest.fixture
def digits(server, packed):
    """An archive on the web: its address, and its digest."""
    from hashlib import sha256

    server.plain["digits.zip"] = packed
    return f"{server.endpoint}/files/digits.zip", sha256(packed).hexdigest()


def left(tmp_path):
    """What the cache holds beside whole entries."""
    folder = tmp_path / "zoo-cache" / "models"
    return sorted(
        p.name for p in folder.rglob("*") if p.is_file() and not p.parent.name.startswith(("sha256", "model"))
    )


def test_a_file_of_the_web_by_its_digest(server, digits, zoo, tmp_path):
    url, digest = digits
    done = zoo("pull", url, "--sha256", digest.upper())
    assert done.exit_code == 0, done.output
    assert f"pulled gaussian-flow from {url}#sha256={digest}" in done.stdout
    assert left(tmp_path) == []
    server.stop()
    assert zoo("run", f"{url}#sha256={digest}", "-n", "2", "-o", "x.npy").exit_code == 0
    loaded = __import__("zoo").runtime.load(f"{url}#sha256={digest}", "cpu")
    assert loaded.sample(3, seed=0).shape == (3, 2)
    assert "in the cache already" in zoo("pull", f"{url}#sha256={digest}").stdout


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("{url}", "is not fetched without the digest"),
        ("{url}#sha256=12", "64 hexadecimal digits"),
        ("{url}#md5=12", "may end with #sha256=DIGEST alone"),
        ("http://example.org/x.zip#sha256={digest}", "nobody can tell who answers at http"),
        ("https://user:word@example.org/x.zip#sha256={digest}", "is not an address"),
        ("https:///x.zip#sha256={digest}", "is not an address"),
        ("https://example.org:port/x.zip#sha256={digest}", "is not an address"),
    ],
)
def test_addresses_that_are_refused(server, digits, zoo, address, told):
    for command in ("pull", "run"):
        done = zoo(command, address.format(url=digits[0], digest=digits[1]))
        assert done.exit_code == 2
        assert told in done.stderr.splitlines()[0]
    assert server.requests == []


def test_a_digest_is_for_the_web_alone(zoo, tmp_path):
    for source in ("hf:lab/flow", tmp_path):
        assert "--sha256 is the digest of a file on the web" in zoo("pull", source, "--sha256", "0" * 64).stderr
    done = zoo("pull", "https://h/x#sha256=" + "0" * 64, "--sha256", "1" * 64)
    assert "states one digest, and --sha256 another" in done.stderr


def test_a_cut_connection_resumes_at_once(server, digits):
    url, digest = digits
    server.cut["digits.zip"] = 3
    pull(address_of(url, digest))
    ranges = [wanted for _, _, wanted in server.asked("digits.zip")]
    assert len(ranges) == 4
    assert ranges[0] is None
    starts = [int(wanted[len("bytes=") : -1]) for wanted in ranges[1:]]
    assert 0 < starts[0] < starts[1] < starts[2]


def test_a_connection_that_stays_cut_resumes_when_it_is_asked_for_again(server, digits, packed, zoo, tmp_path):
    url, digest = digits
    part = tmp_path / "zoo-cache" / "models" / "downloads" / f"{digest}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(packed[: len(packed) // 2])
    server.status = 503
    done = zoo("pull", url, "--sha256", digest)
    assert done.exit_code == 1
    host = server.endpoint.removeprefix("http://")
    assert done.stderr.splitlines() == [
        f"Error: {url} cannot be fetched: {host} answers 503 Service Unavailable",
        "What has been downloaded is kept: try again, and it goes on from there.",
    ]
    server.status = None
    server.requests.clear()
    assert zoo("pull", url, "--sha256", digest).exit_code == 0
    assert [wanted for _, _, wanted in server.requests] == [f"bytes={len(packed) // 2}-"]
    assert not part.exists()


def test_a_beginning_of_another_file_is_fetched_anew(server, digits, packed, tmp_path):
    url, digest = digits
    part = tmp_path / "zoo-cache" / "models" / "downloads" / f"{digest}.part"
    part.parent.mkdir(parents=True)
    for beginning in (b"something else", b"0" * 10 * len(packed)):
        part.write_bytes(beginning)
        assert pull(address_of(url, digest)).new
        Store().remove(f"sha256--{digest}")


def test_a_wrong_digest(server, digits, zoo, tmp_path):
    url, digest = digits
    server.wrong.add("digits.zip")
    done = zoo("pull", url, "--sha256", digest)
    assert done.exit_code == 1
    assert f"Error: {url} is not the file that was asked for: its sha256 is" in done.stderr
    assert "It was not opened, and has been removed." in done.stderr
    assert left(tmp_path) == []


def test_no_network_and_no_such_file(server, digits, zoo, monkeypatch, tmp_path):
    url, digest = digits
    host = server.endpoint.removeprefix("http://")
    done = zoo("pull", url + "x", "--sha256", digest)
    assert done.stderr == f"Error: {url}x cannot be fetched: {host} answers 404 Not Found\n"
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    done = zoo("pull", f"{url}?key=secret", "--sha256", digest)
    assert done.stderr == f"Error: {url} is not in the cache, and ZOO_OFFLINE forbids fetching it\n"
    monkeypatch.delenv("ZOO_OFFLINE")
    server.stop()
    done = zoo("pull", url, "--sha256", digest)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"Error: {url} cannot be fetched: {host} cannot be reached (" in done.stderr
    assert left(tmp_path) == []


def test_a_full_disk(server, digits, packed, zoo, tmp_path):
    url, digest = digits
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(packed) - 1, limit[1]))
    try:
        done = zoo("pull", url, "--sha256", digest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: cannot write ")
    assert done.stderr.count("\n") == 1
    assert Store().find(f"sha256--{digest}") is None
    assert zoo("pull", url, "--sha256", digest).exit_code == 0  # and what was fetched is not fetched again


@pytest.mark.parametrize("top", ["", "digits/", "deep/er/"])
def test_an_archive_on_this_machine_is_pulled_and_run(files, pack, zoo, tmp_path, top):
    path = tmp_path / "x.zip"
    path.write_bytes(pack({"README.txt": b"hello", **{f"{top}{name}": content for name, content in files.items()}}))
    # the bundle's own folder may hold nothing else once it is unpacked, and does not
    assert zoo("run", path, "-n", "2", "-o", "x.npy").exit_code == 0
    assert zoo("pull", path, "-o", "unpacked").exit_code == 0
    assert {each.name for each in (tmp_path / "unpacked").iterdir()} == set(files)
    assert zoo("show", "unpacked").exit_code == 0
    assert "unpacked exists already" in zoo("pull", path, "-o", "unpacked").stderr
    assert zoo("pull", path, "-o", "unpacked", "--force").exit_code == 0


def test_a_folder_is_pulled_without_what_lies_beside_the_model(flow, zoo, tmp_path):
    import shutil

    shutil.copytree(flow, tmp_path / "mine" / "inner")
    (tmp_path / "mine" / "notes.txt").write_text("private")
    assert zoo("pull", tmp_path / "mine", "-o", "copy").exit_code == 0
    assert {p.name for p in (tmp_path / "copy").iterdir()} == {p.name for p in flow.iterdir()}
    (tmp_path / "copy" / "log_prob.onnx").unlink()
    assert "lacks log_prob.onnx, which its manifest lists" in zoo("pull", "copy").stderr
    assert "there is no model at nowhere" in zoo("pull", "nowhere").stderr


def hostile(files, pack):
    """Archives by what is wrong with them, each with a word of the error."""
    manifest = json.loads(files["manifest.json"])
    huge = {**manifest, "files": {**manifest["files"], "weights.safetensors": {"size": 2 << 30, "sha256": "0" * 64}}}
    outside = {**manifest, "files": {**manifest["files"], "../evil": {"size": 1, "sha256": "0" * 64}}}
    lying = {**manifest, "files": {**manifest["files"], "weights.safetensors": {"size": 5, "sha256": "0" * 64}}}
    encoded = {name: json.dumps(v).encode() for name, v in (("huge", huge), ("outside", outside), ("lying", lying))}
    return {
        "no archive": (b"PK\x03\x04 and so on", "cannot be read as a .zip"),
        "cut off": (pack(files)[:-100], "cannot be read as a .zip"),
        "empty": (pack({}), "holds no model of genzoo"),
        "two models": (pack({f"{a}/{n}": c for a in "ab" for n, c in files.items()}), "holds more than one model"),
        "leaves its folder": (pack({**files, "manifest.json": encoded["outside"], "../evil": b"x"}), "manifest"),
        "lies about a size": (pack({**files, "manifest.json": encoded["lying"]}), "more bytes than the 5"),
        "misses a file": (pack({n: c for n, c in files.items() if n != "log_prob.onnx"}), "lacks log_prob.onnx"),
        "altered": (pack({**files, "log_prob.onnx": files["log_prob.onnx"][:-1] + b"\0"}), "altered or damaged"),
        "a card that leaves": (
            pack({"card.json": b'{"format": 1, "name": "x", "family": "f", "architecture": "", "bundle": "../up"}'}),
            "leaves the model's folder",
        ),
        "no json": (pack({"card.json": b"\xff"}), "is not JSON"),
    }


def test_hostile_archives_are_refused_and_leave_nothing(files, pack, zoo, tmp_path):
    for what, (content, told) in hostile(files, pack).items():
        path = tmp_path / "x.zip"
        path.write_bytes(content)
        for command in ("pull", "run"):
            done = zoo(command, path)
            assert done.exit_code in (1, 2), what
            sentence, *hint = done.stderr.splitlines()
            assert sentence.startswith("Error: "), what
            assert told in sentence, what
            assert len(hint) <= 1
    assert not list((tmp_path / "zoo-cache").rglob("pulled.json"))
    assert not (tmp_path / "evil").exists()


def test_an_archive_that_unpacks_to_far_more_than_it_is(files, pack, tmp_path, monkeypatch):
    from zoo.hub import contents

    monkeypatch.setattr(contents, "_UNPACKED", 1000)
    zeros = bytes(5 << 20)
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["weights.safetensors"] = {"size": len(zeros), "sha256": "0" * 64}
    path = tmp_path / "x.zip"
    path.write_bytes(pack({**files, "weights.safetensors": zeros, "manifest.json": json.dumps(manifest).encode()}))
    with pytest.raises(BundleError, match=r"is not unpacked: its .* bytes would become"):
        pull(address_of(str(path)))


def test_an_archive_with_two_files_of_a_name_or_a_secret_one(files, pack, tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(pack(files))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(BundleError, match="two files of the same name"):
        pull(address_of(str(path)))
    content = bytearray(pack(files))
    at = content.rindex(b"PK\x01\x02")  # the last entry of the directory says that it is encrypted
    content[at + 8] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="is encrypted"):
        pull(address_of(str(path)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("manifest.json", files["manifest.json"])
    with pytest.raises(BundleError, match="compressed by a method"):
        pull(address_of(str(path)))


def test_the_runtime_takes_archives_and_says_what_is_wrong(files, pack, tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(pack(files))
    assert zoo.runtime.load(path, "cpu").name == "gaussian-flow"
    (tmp_path / "damaged.zip").write_bytes(b"PK")
    with pytest.raises(BundleError, match=r"damaged\.zip cannot be read as a \.zip"):
        zoo.runtime.load(tmp_path / "damaged.zip")
    with pytest.raises(UsageError, match="without the digest"):
        zoo.runtime.load("https://example.org/x.zip")
    with pytest.raises(HubError, match="cannot be fetched"):
        zoo.runtime.load(f"http://127.0.0.1:9/x.zip#sha256={'0' * 64}")
