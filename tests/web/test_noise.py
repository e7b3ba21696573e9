"""Random numbers, digests and safetensors in JavaScript: those that Python gives, to the last bit where that can be."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from zoo import noise
from zoo.noise import Stream

SEEDS = [0, 5, 2**31, 2**32 + 7, 2**53 - 1, 2**63 + 12345678901, 2**64 - 1]


def tensors(header, data=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(text)) + text + data


def test_philox_gives_the_published_values(node, package):
    """Known answers of Salmon et al.'s Random123."""
    cases = [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ]
    given = [case[:2] for case in cases]
    found = node(package, "return given.cases.map(([c, k]) => genzoo.philox4x32(c, k));", cases=given)
    assert [" ".join(f"{word:08x}" for word in words) for words in found] == [case[2] for case in cases]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_noise_is_that_of_python(node, package, size):
    script = """return given.seeds.map((seed) => ["uniform", "normal", "gumbel"].map((kind) =>
        genzoo[kind](BigInt(seed), 3, given.size, { first: 4294967290, step: 7, stream: 3 })));"""
    found = node(package, script, seeds=[str(seed) for seed in SEEDS], size=size)
    for seed, (uniform, normal, gumbel) in zip(SEEDS, found, strict=True):
        place = {"first": 4294967290, "step": 7, "stream": Stream.DEQUANTIZE}
        expected = noise.uniform(seed, 3, (size,), **place)
        np.testing.assert_array_equal(np.array(uniform, np.float32).reshape(3, size), expected)
        # logarithms and cosines of two libraries differ by a unit in the last place of a float64
        z = np.array(normal, np.float32).reshape(3, size)
        np.testing.assert_allclose(z, noise.normal(seed, 3, (size,), **place), rtol=1.2e-7, atol=1e-9)
        g = np.array(gumbel, np.float32).reshape(3, size)
        np.testing.assert_allclose(g, noise.gumbel(seed, 3, (size,), **place), rtol=1.2e-7, atol=1e-9)


def test_noise_is_that_of_the_table(node, package):
    cases = json.loads((Path(__file__).parents[1] / "core" / "golden" / "noise.json").read_text())["cases"]
    given = [{**case, "seed": str(case["seed"])} for case in cases]
    script = """return given.cases.map(({ distribution, seed, sample, step }) =>
        Array.from(genzoo[distribution](BigInt(seed), 1, 8, { first: sample, step })));"""
    for case, found in zip(cases, node(package, script, cases=given), strict=True):
        np.testing.assert_allclose(np.float32(found), case["values"], rtol=1.2e-7, atol=1e-9)


def test_noise_is_that_of_the_specification(node, package):
    z = node(package, "return genzoo.normal(0, 1, 4);")
    np.testing.assert_allclose(z, [0.991138, -0.924663, -0.617609, -0.482068], atol=5e-7)


@pytest.mark.parametrize(
    ("seed", "said"), [("-1", "0 to"), ("0.5", "whole number"), ("2 ** 53", "whole"), ("2n ** 64n", "0 to")]
)
def test_what_is_no_seed_is_refused(node, package, seed, said):
    name, message, _ = node(package, f"return refused(() => genzoo.normal({seed}, 1, 1));")
    assert name == "ZooError"
    assert said in message


def test_digests_without_the_platforms_help(node, package):
    """Browsers keep crypto.subtle from pages that came without https, such as those of a machine next door."""
    script = """return Promise.all(given.lengths.map(async (n) => {
        const bytes = Uint8Array.from({ length: n }, (_, i) => (i * 7 + 3) % 251);
        return [await genzoo.sha256(bytes), await genzoo.sha256(bytes, null)];
    }));"""
    lengths = [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 70000]
    for n, (ours, plain) in zip(lengths, node(package, script, lengths=lengths), strict=True):
        expected = hashlib.sha256(bytes((i * 7 + 3) % 251 for i in range(n))).hexdigest()
        assert (ours, plain) == (expected, expected)


def test_safetensors_are_read_wherever_they_lie(node, package):
    """The third tensor is not aligned to its eight bytes."""
    arrays = {"a": np.array([1.5, -2.0], "<f4"), "b": np.array([[7]], "<i4"), "c": np.array([2**40, -1], "<i8")}
    header, data = {"__metadata__": {"made": "here"}}, b""
    for name, array in arrays.items():
        kind = {"f4": "F32", "i4": "I32", "i8": "I64"}[array.dtype.str[1:]]
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    # a Buffer of Node that begins inside its memory, as small files do
    script = """const bytes = Buffer.concat([Buffer.from("some"), Buffer.from(given.hex, "hex")]).subarray(4);
        return Array.from(genzoo.readSafetensors(bytes));"""
    found = dict(node(package, script, hex=tensors(header, data).hex()))
    assert {name: np.array(t["data"]).reshape(t["shape"]).tolist() for name, t in found.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"short", "fewer than 8 bytes"),
        (struct.pack("<Q", 1 << 40) + b"{}", "longer than the file"),
        (tensors(b"{]"), "JSON"),
        (tensors(b"null"), None),
        (
            tensors({"a": {"dtype": "constructor", "shape": [], "data_offsets": [0, 4]}}, bytes(4)),
            "of type constructor",
        ),
        (tensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(8)), "does not lie in it"),
        (tensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(8)), "does not lie in it"),
        (tensors({"a": {"dtype": "F32", "shape": [1]}}, bytes(8)), "does not lie in it"),
    ],
)
def test_a_damaged_file_of_tensors_is_refused(node, package, content, said):
    script = 'return refused(() => genzoo.readSafetensors(Uint8Array.from(Buffer.from(given.hex, "hex"))));'
    found = node(package, script, hex=content.hex())
    if said is None:
        assert found is None  # nothing in it, and nothing wrong
    else:
        assert found[0] == "ZooError"
        assert said in found[1]
