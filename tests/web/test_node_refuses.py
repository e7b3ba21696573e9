"""What is wrong with a bundle or a call, said by genzoo.mjs in one sentence."""

import json
import os
import shutil

import numpy as np
import pytest

from zoo.runtime import BundledModel

OPEN = 'return refused(() => genzoo.open({ folder: given.folder, runtime: "onnxruntime-web" }));'


@pytest.fixture
def copy(bundle, tmp_path):
    """Copies a bundle, to be damaged."""

    def make(name="moons-nsf"):
        return shutil.copytree(bundle(name).folder, tmp_path / "copy")

    return make


def restated(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), "utf-8")


def said(found):
    """The message of an error of ours, which is one sentence."""
    name, message, _ = found
    assert name == "ZooError", message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("file", ["weights.safetensors", "inverse.onnx"])
def test_a_file_that_was_altered(node, package, copy, file):
    folder = copy()
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    assert said(node(package, OPEN, folder=str(folder))) == f"{file} has been altered or damaged: its sha256 differs"


def test_a_model_that_only_scores_scores_and_does_not_sample(node, package, copy, bundle):
    folder = copy()
    restated(folder, second(lambda manifest: manifest["programs"].update(sample=None)))
    script = """const model = await genzoo.open({ folder: given.folder, runtime: "onnxruntime-web" });
        return [await refused(() => model.sample(2, { seed: 0 })), await model.logProb(given.x), model.tables];"""
    x = [0.1, 0.2, 1.0, -0.5]
    refusal, found, tables = node(package, script, folder=str(folder), x=x)
    assert said(refusal) == "moons-nsf only scores data: it cannot sample"
    expected = BundledModel(bundle("moons-nsf"), "cpu").log_prob(np.array(x, np.float32).reshape(2, 2))
    np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-4)
    assert tables == []


def second(change):
    """A change of a manifest that is of version 2 of the format, which has what is changed."""
    return lambda manifest: (manifest["format"].update(version=2), change(manifest))


def test_noise_that_cannot_be_drawn_here(node, package, copy):
    folder = copy()
    noise = [{"name": "z", "distribution": "cauchy"}]
    restated(folder, second(lambda manifest: manifest["programs"]["sample"].update(noise=noise)))
    script = """const model = await genzoo.open({ folder: given.folder, runtime: "onnxruntime-web" });
        return refused(() => model.sample(2, { seed: 0 }));"""
    message = said(node(package, script, folder=str(folder)))
    assert message == "noise of the distribution cauchy cannot be drawn here"


def test_a_table_that_was_altered(node, package, copy):
    folder = copy("mnist-unet")
    path = folder / "tables.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "tables.safetensors has been altered or damaged" in said(node(package, OPEN, folder=str(folder)))


def test_a_file_that_was_cut_off_or_lost(node, package, copy):
    folder = copy()
    path = folder / "weights.safetensors"
    size = path.stat().st_size
    os.truncate(path, size - 1)
    message = said(node(package, OPEN, folder=str(folder)))
    assert message == f"weights.safetensors has {size - 1} bytes, expected {size}"
    path.unlink()
    assert "weights.safetensors cannot be read" in said(node(package, OPEN, folder=str(folder)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["format"].update(version=3), "the bundle is of format 3; this module reads 1 and 2"),
        (lambda m: m["format"].update(name="other"), "manifest.json is not that of a genzoo bundle"),
        (lambda m: m.update(condition={"parts": []}), "the manifest has parts, which format 1 does not have"),
        (
            lambda m: (m.update(length={"end": 0}), m["programs"].update(sample=None)),
            "the manifest has length, a model that only scores, which format 1 does not have",
        ),
        (
            lambda m: m["programs"]["sample"].update(condition_encoder="c", noise=[]),
            "the manifest has condition_encoder, several noises, which format 1 does not have",
        ),
        (second(lambda m: m.update(condition={"parts": []})), "the manifest has a condition without parts"),
        (
            second(lambda m: m.update(condition={"parts": [{"name": "a", "modality": "smell", "shape": []}]})),
            "part a of the condition is of the unknown kind smell",
        ),
        (
            second(lambda m: m.update(condition={"parts": [{"name": "a", "modality": "numbers", "shape": [2]}]})),
            "graph inverse takes no a",
        ),
        (second(lambda m: m["programs"]["sample"].update(condition_encoder="c")), "graph inverse encodes no condition"),
        (lambda m: m.update(novelty=1), "the manifest has the fields novelty, which format 1 does not have"),
        (lambda m: m.pop("programs"), "the manifest has no programs"),
        (lambda m: m["noise"].update(generator="pcg64"), "noise of pcg64 by box-muller is not supported here"),
        (lambda m: m["programs"]["sample"].update(kind="walk"), "a program of kind walk cannot be run here"),
        (lambda m: m["programs"]["sample"].update(graph="constructor"), "the bundle has no graph constructor"),
        (lambda m: m["graphs"]["inverse"].update(file="../x.onnx"), "the bundle has no file ../x.onnx"),
        (lambda m: m["graphs"]["inverse"].update(file="golden.safetensors"), "a graph is not ONNX"),
        (lambda m: m.update(graphs=None), "the bundle is not whole"),
    ],
)
def test_a_manifest_that_cannot_be_followed(node, package, copy, change, message):
    folder = copy()
    restated(folder, change)
    assert message in said(node(package, OPEN, folder=str(folder)))


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"null", b"[]"])
def test_a_manifest_that_is_none(node, package, copy, text):
    folder = copy()
    (folder / "manifest.json").write_bytes(text)
    assert "manifest.json is not" in said(node(package, OPEN, folder=str(folder)))


CALLS = {
    "digits-nsf": [
        ("sample(0)", "the number of samples is a whole number, 1 or more, not 0"),
        ("sample(1.5)", "the number of samples is a whole number, 1 or more, not 1.5"),
        ("sample(1, { seed: -1 })", "a seed lies in 0 to 2**64 - 1, not -1"),
        ("sample(1, { condition: 'ten' })", "there is no class ten"),
        ("sample(1, { condition: 10 })", "there is no class 10"),
        ("sample(3, { condition: [1, 2] })", "3 samples need one class or 3 classes, not 2"),
        ("sample(1, { guidance: 2 })", "digits-nsf samples in one call and takes no guidance"),
        ("sample(1, { preview: () => {} })", "digits-nsf samples in one call and takes no preview"),
        ("sample(1, { steps: 3 })", "sampling has no option steps"),
        ("sample(1, { batchSize: 0 })", "a batch has 1 sample or more, not 0"),
        ("sample(1, { fused: true })", "digits-nsf has no fused graph"),
        ("logProb(new Float32Array(63), { condition: 1 })", "63 numbers are not events of 64 numbers each"),
        ("logProb(new Float32Array(64))", "scoring with digits-nsf needs the classes of the data"),
        ("logProb(new Float32Array(64).fill(NaN), { condition: 1 })", "values that are not finite"),
        ("logProb(new Uint8Array(64).fill(17), { condition: 1 })", "the data has values outside 0 to 16"),
    ],
    "mnist-unet": [
        ("sample(1, { table: 'euler-3' })", "there is no step table euler-3"),
        ("sample(1, { guidance: NaN })", "guidance must be a finite number, not NaN"),
        ("sample(1, { guidance: { weight: 2, interval: [2, 1] } })", "a guidance interval is two noise levels"),
        ("sample(1, { guidance: { weight: 2, rescale: 2 } })", "guidance rescale lies in [0, 1], not 2"),
        ("sample(1, { negative: 11 })", "there is no class 11"),
        ("logProb(new Float32Array(784))", "mnist-unet does not score in one call"),
    ],
    "plane-fixed": [
        ("sample(2)", "2 samples need a condition of 3 numbers, for all or for each"),
        ("sample(2, { condition: [1, 2] })", "2 samples need a condition of 3 numbers, for all or for each"),
        ("sample(1, { condition: [1, 2, NaN] })", "1 samples need a condition of 3 numbers"),
        ("sample(1, { condition: 1 })", "1 samples need a condition of 3 numbers"),
    ],
    "moons-nsf": [("sample(1, { condition: 1 })", "moons-nsf takes no condition")],
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_makes_no_sense(packed, node, name):
    calls = CALLS[name]
    lines = ",\n".join(f"await refused(() => model.{call})" for call, _ in calls)
    found = node(packed(name, "node"), f"const model = await genzoo.open();\nreturn [{lines}];")
    for (call, message), error in zip(calls, found, strict=True):
        assert error is not None, call
        assert message in said(error), call


def test_hints_name_what_there_is(packed, node):
    script = """const model = await genzoo.open();
        return [await refused(() => model.sample(1, { condition: "x" })), await refused(() => model.table("x"))];"""
    classes, tables = node(packed("mnist-unet", "node"), script)
    assert classes[2] == "The classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9."
    assert tables[2] == "There are: ddim-50, ddim-10, ddim-20, ddpm-100."


@pytest.mark.parametrize("hex", ["0a", "3aff01", "3a020a7f", "3b", "3a0480808080"])
def test_a_graph_that_is_no_protobuf(node, package, hex):
    """Digests guard files from damage, not from their author."""
    script = """const { inlined } = await import(given.module);
        return refused(() => inlined(Uint8Array.from(Buffer.from(given.hex, "hex")), new Map()));"""
    module = (package / "genzoo" / "inline.mjs").as_uri()
    assert "a graph is not ONNX" in said(node(package, script, module=module, hex=hex))


def test_graphs_without_inner_weights_are_left_as_they_are(node, package, bundle):
    script = """const { inlined } = await import(given.module), { readFileSync } = await import("node:fs");
        return given.files.map((file) => readFileSync(file)).map((bytes) => inlined(bytes, new Map()) === bytes);"""
    folders = [bundle(name).folder for name in ("moons-nsf", "mnist-unet", "digits-nsf")]
    files = [str(path) for folder in folders for path in folder.glob("*.onnx")]
    assert set(node(package, script, module=(package / "genzoo" / "inline.mjs").as_uri(), files=files)) == {True}
