"""The target ``cpp``: a bundle, and a C++17 program that runs it with ONNX Runtime's C API.

::

    CMakeLists.txt, main.cpp      the program `sample`
    include/genzoo.hpp, genzoo/   the header library that it uses
    bundle/                       the proven bundle
    README.md

To check it, the program is built against the headers in the folder named by :data:`HEADERS` and linked to the
library of the installed package ``onnxruntime``.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from zoo.bundle import Bundle, open_bundle
from zoo.errors import ExportError, MissingDependencyError, OutputError, ProofError
from zoo.files import copy_file, write_text
from zoo.runtime import BundledModel
from zoo_targets.compare import (
    EXAMPLES,
    SAMPLES,
    SEED,
    agree,
    agree_on_densities,
    chosen,
    class_shown,
    last_line,
    options_shown,
    shown_parts,
    vector_shown,
    write_parts,
)

PROGRAM = Path(__file__).parent / "files" / "cpp"
#: environment variable: the folder of onnxruntime_c_api.h, which the Python package does not contain
HEADERS = "GENZOO_ONNXRUNTIME_INCLUDE"
_HEADER = "onnxruntime_c_api.h"
_BUILD_SECONDS = 600
#: folders of programs built by this process, by their sources
_builds: dict[tuple[str, str, str], Path] = {}


def pack(bundle: Bundle, folder: Path) -> None:
    """Add the program to a folder that has the bundle.

    Raises:
        OutputError: the folder cannot be written.
    """
    for source in _sources(PROGRAM):
        target = folder / source.relative_to(PROGRAM)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {target.parent}: {error.strerror}") from error
        copy_file(source, target)
    write_parts(bundle, folder)
    write_text(folder / "README.md", _readme(bundle))


def verify(folder: Path) -> str:
    """Build the program, run it, and compare its samples with those of :mod:`zoo.runtime`.

    Raises:
        MissingDependencyError: there is no compiler, CMake, header or library here.
        ProofError: it does not build, fails, or gives different samples.
    """
    program = build(folder)
    model = BundledModel(open_bundle(folder / "bundle"), "cpu")
    if model.manifest.sample is None:
        return agree_on_densities("the C++ program", [str(program), "--bundle", str(folder / "bundle")], model)
    with tempfile.TemporaryDirectory(prefix="genzoo-") as scratch:
        condition, arguments = chosen(model, Path(scratch))
        output = Path(scratch) / "x.npy"
        command = [
            str(program),
            "--bundle",
            str(folder / "bundle"),
            "-n",
            str(SAMPLES),
            "--seed",
            str(SEED),
            *arguments,
        ]
        done = subprocess.run([*command, "-o", str(output)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProofError(f"the C++ program fails: {last_line(done.stderr)}")
        samples = np.load(output)
    agree("the C++ program", samples, model.sample(SAMPLES, seed=SEED, condition=condition), model)
    return f"{SAMPLES} samples by the C++ program"


def build(folder: Path) -> Path:
    """The program of a packed folder, built outside of it, once for the same sources, and kept until Python exits.

    Raises:
        MissingDependencyError: there is no compiler, CMake, header or library here.
        ProofError: it does not build.
    """
    cmake, headers, library = _tools()
    content = hashlib.sha256()
    for source in _sources(folder):
        content.update(f"{source.relative_to(folder)}\0".encode() + source.read_bytes())
    key = (content.hexdigest(), headers, library)
    if key not in _builds:
        _builds[key] = _build(folder, cmake, headers, library)
    return _builds[key] / "sample"


def _build(folder: Path, cmake: str, headers: str, library: str) -> Path:
    build = Path(tempfile.mkdtemp(prefix="genzoo-"))
    atexit.register(shutil.rmtree, build, ignore_errors=True)
    where = [f"-DONNXRUNTIME_INCLUDE={headers}", f"-DONNXRUNTIME_LIBRARY={library}"]
    configure = [cmake, "-S", str(folder), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release", *where]
    for command in (configure, [cmake, "--build", str(build)]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise ProofError(f"the C++ program does not build within {_BUILD_SECONDS} s") from error
        if done.returncode:
            said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()]
            raise ProofError(f"the C++ program does not build: {said[0] if said else last_line(done.stderr)}")
    return build


def _tools() -> tuple[str, str, str]:
    """CMake, the folder of ONNX Runtime's headers, and its library."""
    cmake = shutil.which("cmake")
    compilers = (os.environ.get("CXX") or "no", "c++", "g++", "clang++")
    if cmake is None or not any(map(shutil.which, compilers)):
        raise _missing("CMake and a C++ compiler", "Install them, or build the program on another machine.")
    headers = os.environ.get(HEADERS)
    if not headers:
        raise _missing(
            f"the header {_HEADER}, in the folder that {HEADERS} names,",
            f"Unpack a release of ONNX Runtime and set {HEADERS} to its folder `include`.",
        )
    if not (Path(headers) / _HEADER).is_file():
        raise ExportError(f"{HEADERS} is {headers}, which does not contain {_HEADER}")
    spec = find_spec("onnxruntime")
    places = list(spec.submodule_search_locations or ()) if spec else []
    libraries = [
        path
        for place in places
        for pattern in ("libonnxruntime.so*", "libonnxruntime*.dylib")
        for path in sorted((Path(place) / "capi").glob(pattern))
    ]
    if not libraries:
        raise _missing("ONNX Runtime's shared library, from its package for Linux or macOS,", "pip install onnxruntime")
    return cmake, str(Path(headers).resolve()), str(libraries[0])


def _missing(what: str, hint: str) -> MissingDependencyError:
    missing = MissingDependencyError(what, "build the C++ program", extra="cpu")
    missing.hint = hint
    return missing


def _sources(folder: Path) -> list[Path]:
    headers = sorted((folder / "include").rglob("*.hpp"))
    return [folder / "CMakeLists.txt", folder / "main.cpp", *headers]


def _readme(bundle: Bundle) -> str:
    name = bundle.manifest.model.get("name", "this model")
    shape = f"[{', '.join(map(str, (4, *bundle.manifest.event_shape)))}]"
    return f"""# {name} in C++

A C++17 program for the bundle in `bundle/`, on ONNX Runtime's C API (1.17 or newer, for graphs of opset 18; a
[release](https://github.com/microsoft/onnxruntime/releases) has the library and its headers):

```sh
cmake -S . -B build -DONNXRUNTIME_ROOT=/path/to/onnxruntime-linux-x64-<version>
cmake --build build
build/sample {_use(bundle)}{options_shown(bundle)}
build/sample --help
```

If `onnxruntime_c_api.h` and the library are elsewhere, give `-DONNXRUNTIME_INCLUDE=<folder>` and
`-DONNXRUNTIME_LIBRARY=<file>`; the library in the Python package `onnxruntime` (`capi/libonnxruntime.so.*`) works.

In a program of your own, `add_subdirectory` of this folder gives the header library `genzoo::genzoo`:

```cpp
#include <genzoo.hpp>

genzoo::Model model("bundle");                 // checks every file against the manifest
genzoo::SampleOptions options;
options.seed = 0;{_embedded(bundle)}
{_line(bundle, shape)}
```

Threads may share a model. All errors are of type `genzoo::Error`, with a message of one sentence. The same seed gives
the same samples in PyTorch and in every other runtime of the bundle. `bundle/MODEL_CARD.md` describes the model.
"""


def _use(bundle: Bundle) -> str:
    return "--score data.npy" if bundle.manifest.sample is None else "-o samples.npy -n 4 --seed 0"


def _line(bundle: Bundle, shape: str) -> str:
    if bundle.manifest.sample is None:
        return 'std::vector<double> nats = model.log_prob(genzoo::read_npy("data.npy"), options);'
    return f"genzoo::Array x = model.sample(4, options);    // float32 {shape}, in data units"


def _embedded(bundle: Bundle) -> str:
    condition = bundle.manifest.condition
    if condition is None:
        return ""
    if not condition.plain:
        files = [(name, f"{EXAMPLES}/{name}.npy") for name in shown_parts(bundle)]
        lines = [f'options.condition["{name}"] = {{{{}}, genzoo::read_npy("{file}")}};' for name, file in files]
        return "".join(f"\n{line}" for line in lines)
    if condition.kind == "classes":
        return f"\noptions.classes = {{{json.dumps(class_shown(bundle), ensure_ascii=False)}}};"
    numbers = ", ".join(f"{float(number)}f" for number in vector_shown(bundle).split(","))
    return f"\noptions.vector = {{{numbers}}};"
