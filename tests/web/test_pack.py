"""What the targets ``web`` and ``node`` write, looked at from Python: no browser, no Node, no ONNX Runtime for them."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

import zoo
from zoo.bundle import open_bundle
from zoo.bundle.example import example_of
from zoo.errors import MissingDependencyError, UnknownNameError, UsageError
from zoo.exporting import pack
from zoo_targets.compare import golden_context
from zoo_web import onnxruntime_web, package, page
from zoo_web.parts import FILES

OURS = sorted(path for path in FILES.rglob("*") if path.is_file())
MODULES = [path for path in OURS if path.suffix == ".mjs"]
RUNTIME = {
    *("bundle.mjs", "conditions.mjs", "data.mjs", "errors.mjs", "files.mjs", "genzoo.mjs", "inline.mjs", "noise.mjs"),
    "parts.mjs",
    "tables.mjs",
}
WASM = {"ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "LICENSE"}
WEBGPU = {"ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"}


def short(path):
    return path.relative_to(FILES).as_posix()


def digests(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def ort(tmp_path, monkeypatch):
    """A stand-in for the npm package onnxruntime-web, with files of known digests."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name in onnxruntime_web.DIGESTS:
        content = f"// the file {name}".encode()
        (folder / "dist" / name).write_bytes(content)
        monkeypatch.setitem(onnxruntime_web.DIGESTS, name, hashlib.sha256(content).hexdigest())
    stated = {"name": "onnxruntime-web", "version": onnxruntime_web.VERSION}
    (folder / "package.json").write_text(json.dumps(stated))
    monkeypatch.delenv(onnxruntime_web.VARIABLE, raising=False)
    return folder


def web(shipped, registry, folder, name="moons-nsf", **options):
    return pack(shipped(name), folder, target="web", registry=registry, **options)


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "added"), [({}, WASM), ({"webgpu": True}, WASM | WEBGPU)], ids=["wasm", "webgpu"])
def test_the_page_is_whole(shipped, registry, ort, tmp_path, options, added):
    folder = web(shipped, registry, tmp_path / "page", ort=ort, **options)
    found = {short for short in digests(folder) if not short.startswith("bundle/")}
    pages = {f"page/{path.name}" for path in (FILES / "web" / "page").iterdir()}
    assert found == {
        "index.html",
        "style.css",
        "page.json",
        *pages,
        *(f"genzoo/{name}" for name in RUNTIME),
        *(f"ort/{name}" for name in added),
    }
    assert open_bundle(folder / "bundle").manifest == shipped("moons-nsf").manifest
    known = json.loads((folder / "page.json").read_text())["ort"]
    assert known.pop("version") == onnxruntime_web.VERSION
    assert {file for files in known.values() for file in files.values()} == added - {"LICENSE"}
    assert onnxruntime_web.VERSION in (folder / "ort" / "LICENSE").read_text()


def test_the_same_bundle_gives_the_same_bytes(shipped, registry, ort, tmp_path):
    first, second = (digests(web(shipped, registry, tmp_path / name, ort=ort)) for name in ("a", "b"))
    assert first == second
    first, second = (
        digests(pack(shipped("moons-nsf"), tmp_path / name, target="node", registry=registry)) for name in ("c", "d")
    )
    assert first == second


def test_the_variable_names_a_folder_of_packages(shipped, registry, ort, tmp_path, monkeypatch):
    monkeypatch.setenv(onnxruntime_web.VARIABLE, str(ort.parent))
    folder = web(shipped, registry, tmp_path / "page")
    name = "ort-wasm-simd-threaded.wasm"
    assert (folder / "ort" / name).read_bytes() == (ort / "dist" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"webpgu": True}, "has no option webpgu"),
        ({"webgpu": "yes"}, "webgpu is true or false, not 'yes'"),
        ({"ort": 3}, "ort is the folder of an npm package, not 3"),
        ({"ort": "nowhere"}, "nowhere is not the npm package onnxruntime-web"),
    ],
)
def test_a_bad_option_is_refused(shipped, registry, ort, tmp_path, options, said):
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        web(shipped, registry, tmp_path / "page", **options)
    assert caught.value.hint
    assert not (tmp_path / "page").exists()
    with pytest.raises(UsageError, match="the target node has no option threads"):
        pack(shipped("moons-nsf"), tmp_path / "page", target="node", registry=registry, threads=2)


def test_another_onnxruntime_is_refused(shipped, registry, ort, tmp_path):
    (ort / "package.json").write_text('{"name": "onnxruntime-web", "version": "0.0.1"}')
    with pytest.raises(UsageError, match=r"is the npm package onnxruntime-web 0\.0\.1, not onnxruntime-web 1\."):
        web(shipped, registry, tmp_path / "page", ort=ort)


def test_an_altered_onnxruntime_is_refused(shipped, registry, ort, tmp_path):
    (ort / "dist" / "ort-wasm-simd-threaded.wasm").write_bytes(b"something else")
    with pytest.raises(UsageError, match=r"ort-wasm-simd-threaded\.wasm is not the file of .*: its sha256 differs"):
        web(shipped, registry, tmp_path / "page", ort=ort)
    (ort / "dist" / "ort-wasm-simd-threaded.wasm").unlink()
    with pytest.raises(UsageError, match="no such file"):
        web(shipped, registry, tmp_path / "page", ort=ort)


def test_without_npm_the_page_cannot_be_written(shipped, registry, tmp_path, monkeypatch):
    monkeypatch.delenv(onnxruntime_web.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"^onnxruntime-web is needed to write a page and is") as caught:
        web(shipped, registry, tmp_path / "page")
    assert "It cannot be fetched: npm is not installed." in caught.value.hint
    assert onnxruntime_web.VARIABLE in caught.value.hint


def test_npm_that_fails_says_why(shipped, registry, tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code E404' >&2\necho 'npm error no such package' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.delenv(onnxruntime_web.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(MissingDependencyError) as caught:
        web(shipped, registry, tmp_path / "page")
    assert "npm says 'npm error no such package'." in caught.value.hint


def test_the_real_package_has_the_stated_digests(modules):
    """What is pinned is what npm gives; ort's own code names no address but one in a message."""
    with onnxruntime_web.obtained(("wasm", "webgpu"), modules / "onnxruntime-web") as folder:
        for module, _ in onnxruntime_web.BACKENDS.values():
            text = (folder / "dist" / module).read_text("utf-8")
            assert set(re.findall(r"https?://[\w.-]+", text)) <= {"https://web.dev"}


# -- what the files say -----------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """Everything that a page loads, and its meta tags."""

    def __init__(self):
        super().__init__()
        self.found, self.meta, self.inline = [], {}, []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.found += [given[name] for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "meta":
            self.meta[given.get("http-equiv") or given.get("name")] = given.get("content")


def test_everything_that_is_loaded_is_there(shipped, registry, ort, tmp_path):
    folder = web(shipped, registry, tmp_path / "page", ort=ort)
    links = Links()
    links.feed((folder / "index.html").read_text("utf-8"))
    loaded = {folder / link for link in links.found if not link.startswith("data:")}
    assert {path.name for path in loaded} == {"style.css", "app.mjs", "unserved.js"}
    for module in [*(folder / "page").iterdir(), *(folder / "genzoo").iterdir()]:
        text = module.read_text("utf-8")
        found = re.findall(r'^(?:import|export) .*?from "([^"]+)";', text, re.M)
        found += re.findall(r'new URL\("([^"]+)", import\.meta\.url\)', text)
        loaded |= {module.parent / name for name in found}
    assert len(loaded) > 15
    assert [path for path in loaded if not path.exists()] == []


def test_the_page_may_load_nothing_from_elsewhere():
    links = Links()
    links.feed((FILES / "web" / "index.html").read_text("utf-8"))
    policy = dict(part.strip().split(" ", 1) for part in links.meta["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {source for part in policy.values() for source in part.split()} == {
        *("'none'", "'self'", "'wasm-unsafe-eval'", "data:", "blob:")
    }
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert links.inline == []


@pytest.mark.parametrize("path", OURS, ids=short)
def test_no_file_names_a_remote_address(path):
    assert re.findall(r"(?:https?:|wss?:)?//[a-z0-9-]+\.[a-z]", path.read_text("utf-8"), re.I) == []


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_no_module_makes_markup_or_code_of_texts(path):
    text = path.read_text("utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"):
        assert word not in text
    assert "@license Apache-2.0" in text
    assert len(text.splitlines()) < 400


def luminance(colour):
    """Relative luminance as WCAG 2.2 defines it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in bytes.fromhex(colour))
    ]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        *[("ink", "page"), ("ink", "surface"), ("quiet", "page"), ("quiet", "surface")],
        *[("warning", "surface"), ("on-accent", "accent")],
    ],
)
def test_texts_can_be_read(ink, paper, mode):
    """Contrast of at least 4.5 to 1, WCAG 2.2 level AA."""
    style = (FILES / "web" / "style.css").read_text("utf-8")
    colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", re.findall(r":root \{(.*?)\}", style, re.S)[mode]))
    dark, light = sorted((luminance(colours[ink]), luminance(colours[paper])))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


# -- the package ------------------------------------------------------------------------------------------------------


def test_the_package_is_one_that_npm_takes(shipped, registry, tmp_path):
    folder = pack(shipped("mnist-unet"), tmp_path / "package", target="node", registry=registry)
    described = json.loads((folder / "package.json").read_text("utf-8"))
    assert re.fullmatch(r"[a-z0-9-]+", described["name"])
    assert described["version"] == zoo.__version__
    assert described["type"] == "module"
    assert described["license"] == "Apache-2.0 AND CC-BY-SA-3.0"
    assert described["dependencies"] == {"onnxruntime-node": onnxruntime_web.VERSION}
    listed = {*described["files"], "package.json", "README.md"}
    assert listed == {path.name for path in folder.iterdir()}
    assert (folder / described["bin"][described["name"]]).read_text("utf-8").startswith("#!/usr/bin/env node\n")
    assert all((folder / path).exists() for path in described["exports"].values() if "*" not in path)
    assert {path.name for path in (folder / "genzoo").iterdir()} == RUNTIME
    readme = (folder / "README.md").read_text("utf-8")
    assert "--class 0" in readme
    assert "CC-BY-SA-3.0" in readme


def test_a_vector_is_at_first_one_that_the_model_knows(bundle, registry, ort, tmp_path):
    """Zeros may be far from all of them: contexts have units of their own."""
    opened = bundle("plane-fixed")
    known = golden_context(opened)
    assert known.any()
    pack(opened, tmp_path / "page", target="web", registry=registry, ort=ort)
    vector = json.loads((tmp_path / "page" / "page.json").read_text())["vector"]
    np.testing.assert_array_equal(np.array(vector, np.float32), known)
    readme = (pack(opened, tmp_path / "package", target="node", registry=registry) / "README.md").read_text("utf-8")
    assert f"--vector={','.join(map(str, vector))} " in readme


def test_a_page_begins_with_no_words_drawn_at_random(bundle, registry, ort, tmp_path):
    letters = bundle("policy")
    copy = shutil.copytree(letters.folder, tmp_path / "words")
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    prompt = next(part for part in manifest["condition"]["parts"] if part["name"] == "prompt")
    del prompt["alphabet"]
    prompt["labels"] = ["", "a", "b", "cat"]
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    for name, opened, expected in (("a", letters, ["state", "prompt"]), ("b", open_bundle(copy), ["state"])):
        page = pack(opened, tmp_path / name, target="web", registry=registry, ort=ort)
        assert list(json.loads((page / "page.json").read_text("utf-8"))["condition"]) == expected


def test_a_page_begins_with_the_example_of_its_bundle(shipped, registry, ort, tmp_path):
    for name, parts in (("emoji-text", ["style", "prompt"]), ("maze-policy", ["picture", "place"])):
        opened = shipped(name)
        page = pack(opened, tmp_path / name, target="web", registry=registry, ort=ort)
        shown = json.loads((page / "page.json").read_text("utf-8"))["condition"]
        assert sorted(shown) == sorted(parts)
        if name == "maze-policy":
            bytes_ = np.frombuffer(base64.b64decode(shown["picture"]), np.uint8)
            np.testing.assert_array_equal(bytes_.reshape(3, 32, 32), example_of(opened)["picture"])


@pytest.mark.parametrize(("name", "expected"), [("Größe 3/β", "gr-e-3"), ("a--b", "a-b"), ("β", "genzoo-model")])
def test_any_name_becomes_one_that_npm_takes(shipped, name, expected):
    manifest = shipped("moons-nsf").manifest
    changed = type(manifest)(**{**vars(manifest), "model": {**manifest.model, "name": name}})
    assert package.package_name(changed) == expected


# -- what is missing to check with ------------------------------------------------------------------------------------


def test_the_targets_can_be_had_by_name(registry, shipped, tmp_path):
    assert all(registry.exporter(name).packs and registry.exporter(name).verify for name in ("web", "node"))
    with pytest.raises(UnknownNameError):
        registry.exporter("webb")


def test_checking_says_what_is_missing(shipped, registry, ort, tmp_path, monkeypatch):
    folder = web(shipped, registry, tmp_path / "page", ort=ort)
    other = pack(shipped("moons-nsf"), tmp_path / "package", target="node", registry=registry)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(MissingDependencyError, match=r"^Chromium is needed to run the page and is not inst") as one:
        page.verify(folder)
    with pytest.raises(
        MissingDependencyError, match=r"(?m)^Node is needed to run the package and is not installed$"
    ) as two:
        package.verify(other)
    assert one.value.hint
    assert two.value.hint


def test_checking_says_that_the_package_has_no_runtime(shipped, registry, tmp_path, monkeypatch):
    folder = pack(shipped("moons-nsf"), tmp_path / "package", target="node", registry=registry)
    fake = tmp_path / "node"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(onnxruntime_web.VARIABLE, raising=False)
    with pytest.raises(MissingDependencyError, match=r"^onnxruntime-node is needed to run the package") as caught:
        package.verify(folder)
    assert "npm install" in caught.value.hint
