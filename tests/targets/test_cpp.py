"""The target ``cpp``: it builds without a warning, its headers can be embedded, and what is missing here is said."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import zoo_targets.cpp
from zoo.bundle import MANIFEST, file_info
from zoo.bundle import TABLES as TABLE_FILE
from zoo.errors import ExportError, MissingDependencyError, ProofError
from zoo.noise import philox4x32
from zoo.runtime import load
from zoo_targets.cpp import HEADERS, build, verify

PROBE = r"""
#include <genzoo.hpp>

#include <cstdio>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <thread>

int main(int count, char** values) {
  const std::string what = values[1];
  try {
    if (what == "json") {  // each file by itself: whether it is taken
      for (int i = 2; i < count; ++i) {
        std::ifstream file(values[i], std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        try {
          genzoo::json::parse(text);
          std::cout << "taken\n";
        } catch (const genzoo::Error& error) {
          std::cout << error.what() << '\n';
        }
      }
    } else if (what == "philox") {
      const genzoo::noise::Block block = genzoo::noise::philox4x32({1, 2, 3, 4}, 0x0123456789abcdefULL);
      for (const std::uint32_t word : block) std::cout << word << ' ';
    } else if (what == "noise") {  // distribution, seed, sample and number of the stream
      float numbers[8];
      genzoo::noise::draw(values[2], std::stoull(values[3]), static_cast<std::uint32_t>(std::stoull(values[4])), 8,
                          static_cast<std::uint32_t>(std::stoul(values[5])), numbers);
      for (const float number : numbers) std::cout << std::setprecision(9) << number << ' ';
    } else if (what == "sha256") {
      for (int i = 2; i < count; ++i) std::cout << genzoo::sha256(values[i]) << '\n';
    } else if (what == "threads") {  // eight threads sample from one model, whose session none has loaded yet
      const genzoo::Model model(values[2]);
      std::vector<genzoo::Array> found(8);
      std::vector<std::thread> threads;
      for (std::size_t i = 0; i < found.size(); ++i)
        threads.emplace_back([&, i] {
          genzoo::SampleOptions options;
          options.seed = i % 2;
          options.batch = 1 + i;
          found[i] = model.sample(9, options);
        });
      for (std::thread& thread : threads) thread.join();
      for (std::size_t i = 0; i < found.size(); ++i) genzoo::write_npy(std::to_string(i) + ".npy", found[i]);
    } else if (what == "vectors") {  // one vector for each sample
      genzoo::SampleOptions options;
      options.vector = {1, 2, 3, -1, -2, -3};
      const genzoo::Model model(values[2]);
      genzoo::write_npy("x.npy", model.sample(2, options));
      options.vector.push_back(0);
      model.sample(2, options);
    }
  } catch (const genzoo::Error& error) {
    std::cout << error.what() << '\n';
  }
}
"""
CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(probe LANGUAGES CXX)
add_subdirectory("{folder}" genzoo EXCLUDE_FROM_ALL)
add_executable(probe probe.cpp)
target_link_libraries(probe PRIVATE genzoo::genzoo)
target_compile_options(probe PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
"""


@pytest.fixture(scope="session")
def probe(built, packed, tmp_path_factory):
    """Somebody's program that uses the headers, built with every warning an error."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.cpp").write_text(PROBE)
    (folder / "CMakeLists.txt").write_text(CMAKE.format(folder=packed("cpp", "moons-nsf")))
    _, headers, library = zoo_targets.cpp._tools()
    where = [f"-DONNXRUNTIME_INCLUDE={headers}", f"-DONNXRUNTIME_LIBRARY={library}", "-DCMAKE_BUILD_TYPE=Debug"]
    for command in (["cmake", "-S", folder, "-B", folder / "build", *where], ["cmake", "--build", folder / "build"]):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(*arguments, cwd=folder):
        command = [str(c) for c in (folder / "build" / "probe", *arguments)]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(built.parent)}
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_what_is_packed(packed):
    folder = packed("cpp", "digits-nsf")
    top = {path.name for path in folder.iterdir()}
    assert top == {"CMakeLists.txt", "main.cpp", "include", "bundle", "README.md"}
    headers = sorted(path.name for path in (folder / "include" / "genzoo").iterdir())
    assert headers == sorted(path.name for path in (zoo_targets.cpp.PROGRAM / "include" / "genzoo").iterdir())
    readme = (folder / "README.md").read_text()
    assert 'options.classes = {"0"};' in readme
    assert "float32 [4, 1, 8, 8]" in readme
    for file in zoo_targets.cpp._sources(folder):
        assert max(map(len, file.read_text().splitlines())) <= 120, file.name
        assert len(file.read_text().splitlines()) <= 450, file.name


@pytest.mark.parametrize("name", ["moons-nsf", "digits-nsf", "vector", "stepped"])
def test_it_verifies(built, packed, name):
    assert verify(packed("cpp", name)) == "3 samples by the C++ program"


def test_it_is_built_once_for_the_same_sources(built, packed):
    assert build(packed("cpp", "digits-nsf")) == built


def test_it_builds_without_a_warning(built, packed):
    folder = packed("cpp", "moons-nsf")
    _, headers, _ = zoo_targets.cpp._tools()
    warnings = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-isystem", headers]
    command = [os.environ.get("CXX", "c++"), *warnings, "-I", folder / "include", folder / "main.cpp"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_its_philox_is_the_specified_one(probe):
    key = np.array([0x89ABCDEF, 0x01234567], np.uint32)
    expected = philox4x32(np.array([1, 2, 3, 4], np.uint32), key).tolist()
    assert [int(word) for word in probe("philox").split()] == expected


def test_its_noise_is_that_of_the_table(probe):
    path = Path(__file__).parents[1] / "core" / "golden" / "noise.json"
    for case in json.loads(path.read_text())["cases"]:
        found = probe("noise", *(case[name] for name in ("distribution", "seed", "sample", "step"))).split()
        np.testing.assert_allclose(np.float32(found), case["values"], rtol=1.2e-7, atol=1e-9)
    assert "noise of the distribution cauchy cannot be drawn here" in probe("noise", "cauchy", 0, 0, 0)


def test_its_digests_are_sha256(probe, tmp_path):
    import hashlib

    contents = [bytes(size) + b"x" for size in (0, 54, 55, 62, 63, 64, 119, 3_000_000)]
    for i, content in enumerate(contents):
        (tmp_path / str(i)).write_bytes(content)
    given = probe("sha256", *(tmp_path / str(i) for i in range(len(contents)))).split()
    assert given == [hashlib.sha256(content).hexdigest() for content in contents]


TAKEN = [
    b'{"a": [1, -2.5e-3, true, null, "\\u00e9\\ud83d\\ude00\\n"]}',
    b"  [] ",
    b"0",
    '"é😀"'.encode(),
    b"[" * 32 + b"]" * 32,
]
REFUSED = {
    b"": "has no digit",
    b'{"a": 1, "a": 2}': "has a key twice",
    b'{"a": 1, "\\u0061": 2}': "has a key twice",
    b"[1,]": "has no digit",
    b"[1] 2": "goes on after its end",
    b"NaN": "has no digit",
    b"1e999": "too large",
    b"01": "goes on after its end",
    b"+1": "has no digit",
    b"1.": "has no digit",
    b'"\x01"': "control character",
    b'"\\u001b[31m"': "control character",
    b'"\xc2\x85"': "control character",
    b'"\\ud800"': "half a character",
    b'"\\ud800\\u0041"': "half a character",
    b'"\\x41"': "escape",
    b'"\xc0\xaf"': "not UTF-8",
    b'"\xed\xa0\x80"': "not UTF-8",
    b'"\xff"': "not UTF-8",
    b'"abc': "ends inside a text",
    b'{"a" 1}': "lacks a ':'",
    b"[" * 40 + b"]" * 40: "nested too deep",
    b"[" * 1_000_000: "nested too deep",
    b"tru": "unknown word",
}


def test_its_json_is_strict(probe, tmp_path):
    for i, content in enumerate([*TAKEN, *REFUSED]):
        (tmp_path / str(i)).write_bytes(content)
    given = probe("json", *(tmp_path / str(i) for i in range(len(TAKEN) + len(REFUSED)))).splitlines()
    assert given[: len(TAKEN)] == ["taken"] * len(TAKEN)
    for (content, expected), said in zip(REFUSED.items(), given[len(TAKEN) :], strict=True):
        assert said.startswith("it is not JSON: it "), content[:40]
        assert expected in said, content[:40]


def test_eight_threads_share_a_model(probe, bundles, tmp_path):
    assert probe("threads", bundles("digits-nsf"), cwd=tmp_path) == ""
    model = load(bundles("digits-nsf"), "cpu")
    for i in range(8):
        np.testing.assert_allclose(np.load(tmp_path / f"{i}.npy"), model.sample(9, seed=i % 2), atol=1e-3)


def test_vectors_may_differ_from_sample_to_sample(probe, bundles, tmp_path):
    said = probe("vectors", bundles("vector"), cwd=tmp_path)
    assert "the model needs a condition of 3 numbers, for all samples or for each, not 7" in said
    condition = np.array([[1, 2, 3], [-1, -2, -3]], np.float32)
    expected = load(bundles("vector"), "cpu").sample(2, seed=0, condition=condition)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=1e-4)


def test_bad_arguments_are_said(cpp, bundles):
    for arguments, sentence in (
        (["--foo", "1"], "there is no option --foo"),
        (["-n"], "-n is unknown or lacks its value"),
        (["-n", "-1"], "-n takes a whole number, not -1"),
        (["--seed", str(2**64)], "--seed takes a whole number"),
        (["--guidance", "much"], "--guidance takes a number, not much"),
        (["--guidance", "nan"], "--guidance takes a number, not nan"),
        (["--threads", "5000"], "--threads takes at most 1024"),
    ):
        assert sentence in cpp.refuses(bundles("mnist-unet"), *arguments)
    assert "--guidance W" in cpp.run(bundles("mnist-unet"), "--help").stdout


def test_a_file_that_is_not_listed_is_refused(cpp, bundles, copied):
    folder = copied(bundles("moons-nsf"))
    (folder / "extra").write_text("")
    assert "extra is not listed by the bundle's manifest" in cpp.refuses(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(event_shape=[2, 0]), "its samples have no numbers"),
        (lambda m: m.update(event_shape=["n"]), "negative size"),
        (lambda m: m.update(event_shape=[2**28, 2**28]), "more numbers than fit into memory"),
        (lambda m: m.update(event_shape=[1.5]), "a number is not whole"),
        (lambda m: m.update(batch=0), "its batch has no samples"),
        (lambda m: m.update(condition={"kind": "classes", "size": 0}), "its condition has no size"),
        (lambda m: m.update(condition={"kind": "mood", "size": 1}), "of the unknown kind mood"),
        (lambda m: m.update(condition={"kind": "classes", "size": 1}), "graph inverse takes no condition"),
        (lambda m: m.update(graphs={}), "uses a missing graph inverse"),
        (lambda m: m["graphs"]["inverse"].update(file="other.onnx"), "in a file that is not listed"),
        (lambda m: m["graphs"]["inverse"].update(outputs=[]), "graph inverse has no output"),
        (lambda m: m["programs"]["sample"].update(noise="zz"), "graph inverse takes no zz"),
        (lambda m: m["programs"]["sample"].update(kind="dance"), "unknown kind dance"),
        (lambda m: m["programs"].pop("sample"), "its format, version 1, does not have"),
        (lambda m: (m["format"].update(version=2), m["programs"].pop("sample")), "moons-nsf only scores data"),
        (lambda m: m.update(files=3), "is not an object"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(cpp, bundles, copied, change, sentence):
    folder = copied(bundles("moons-nsf"))
    values = json.loads((folder / MANIFEST).read_text())
    change(values)
    (folder / MANIFEST).write_text(json.dumps(values))
    assert sentence in cpp.refuses(folder)


TABLES = {
    "cut off": b"\x07\0\0",
    "longer than the file": b"\xff\0\0\0\0\0\0\0{}",
    "of no depth": b"[" * 100,
    "elsewhere": {"a/time": {"dtype": "F64", "shape": [1], "data_offsets": [8, 16]}},
    "of other sizes": {"a/time": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}},
    "of all sizes": {"a/time": {"dtype": "F64", "shape": [2**28, 2**28, 2**28], "data_offsets": [0, 8]}},
    "of another type": {"a/time": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    "of one end": {"a/time": {"dtype": "F64", "shape": [1], "data_offsets": [0]}},
    "not a number": ({"a/time": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, np.array([np.nan])),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_is_not_whole_is_refused(cpp, bundles, copied, case):
    folder = copied(bundles("mnist-unet"))
    content, numbers = TABLES[case], np.zeros(1)
    if isinstance(content, tuple):
        content, numbers = content
    if isinstance(content, dict):
        header = json.dumps(content).encode()
        content = len(header).to_bytes(8, "little") + header + numbers.tobytes()
    (folder / TABLE_FILE).write_bytes(content)
    values = json.loads((folder / MANIFEST).read_text())
    values["files"][TABLE_FILE] = vars(file_info(folder / TABLE_FILE))
    (folder / MANIFEST).write_text(json.dumps(values))
    assert "tables.safetensors is not a whole safetensors file: " in cpp.refuses(folder)


@pytest.fixture
def nothing_built(monkeypatch):
    monkeypatch.setattr(zoo_targets.cpp, "_builds", {})


def test_what_is_missing_here_is_said(packed, tmp_path, monkeypatch, nothing_built):
    folder = packed("cpp", "moons-nsf")
    if shutil.which("cmake"):
        monkeypatch.delenv(HEADERS, raising=False)
        with pytest.raises(MissingDependencyError, match=f"in the folder that {HEADERS} names"):
            verify(folder)
        monkeypatch.setenv(HEADERS, str(tmp_path))
        with pytest.raises(ExportError, match=r"which does not contain onnxruntime_c_api.h"):
            verify(folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"CMake and a C\+\+ compiler"):
        verify(folder)


def test_a_program_that_does_not_build_or_gives_other_samples_fails_the_check(built, packed, tmp_path, nothing_built):
    folder = shutil.copytree(packed("cpp", "moons-nsf"), tmp_path / "packed")
    header = folder / "include" / "genzoo" / "noise.hpp"
    right = header.read_text()
    header.write_text(right.replace("0xD2511F53", "nonsense"))
    with pytest.raises(ProofError, match=r"does not build: .*noise.hpp.*nonsense"):
        verify(folder)
    header.write_text(right.replace("0xD2511F53", "0xD2511F51"))
    with pytest.raises(ProofError, match=r"the C\+\+ program gives samples that differ by"):
        verify(folder)
