"""The models of tests/conditioned_models.py by every target: the samples of PyTorch, and the encoder called once.

Each is trained by its recipe and exported once; what a target packs then runs as its users run it: the programs on the
command line, the package in Node, the page's modules in Chromium, the client of a server of the repository, and the
graphs in ORT format in the loop of zoo.runtime. Calls of the encoder are counted by their rows.
"""

import importlib.util
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from zoo.bundle import open_bundle
from zoo.exporting import export, pack
from zoo.models.building import load as load_model
from zoo.registry import Registry
from zoo.runtime import load, session
from zoo.runtime.session import Session
from zoo_targets import mobile, triton

ROOT = Path(__file__).parents[2]
N, SEED, SECONDS = 5, 3, 120


def _loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


deployed = _loaded(ROOT / "tests" / "conditioned_models.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Model in PyTorch and folder of the bundle by name, once."""
    known = {}

    def both(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            model = load_model(Registry.discover(), str(deployed.trained(name, folder / "model"))).eval()
            known[name] = model, export(model, folder / "bundle")
        return known[name]

    return both


def counting(calls, session, name):
    """A session of ONNX Runtime that notes the rows of each call of the encoder."""

    def run(outputs, feeds):
        if name == "condition":
            calls.append(len(next(iter(feeds.values()))))
        return session.run(outputs, feeds)

    return SimpleNamespace(run=run)


def listed(condition):
    """As JSON can say it."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in condition.items()}


def words(condition, folder):
    """As a command line says it: texts as they are, all else by a file."""
    arguments = []
    for name, value in condition.items():
        text = value
        if not isinstance(value, str):
            text = folder / f"{name}.npy"
            np.save(text, np.asarray(value))
        arguments += ["--condition", f"{name}={text}"]
    return arguments


# -- the targets: each gives samples and the rows of the encoder's calls ----------------------------------------------


def by_python(folder, condition, tmp_path):
    """sample.py as a command, and its class for the calls."""
    output = tmp_path / "x.npy"
    command = [sys.executable, "-I", folder / "sample.py", "-n", N, "--seed", SEED, "-o", output]
    done = subprocess.run(
        [str(word) for word in (*command, *words(condition, tmp_path))], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    calls, program = [], runpy.run_path(str(folder / "sample.py"))["Model"](folder / "bundle")
    for name in program.manifest["graphs"]:
        program.sessions[name] = counting(calls, program.graph(name)[0], name)
    x = program.sample(N, seed=SEED, condition=listed(condition))
    np.testing.assert_array_equal(np.load(output), x)
    return x, calls


def by_cpp(folder, condition, tmp_path):
    """The C++ program, with a line more in its header that says which graph is called."""
    from zoo_targets.cpp import build

    shutil.copytree(folder, tmp_path / "cpp")
    header = tmp_path / "cpp" / "include" / "genzoo" / "session.hpp"
    source = header.read_text("utf-8")
    begin = "const std::vector<std::string>& outputs) const {\n"
    assert source.count(begin) == 1
    said = 'std::fprintf(stderr, "called %s\\n", name_.c_str());\n'
    header.write_text("#include <cstdio>\n" + source.replace(begin, begin + said), "utf-8")
    output = tmp_path / "x.npy"
    command = [build(tmp_path / "cpp"), "--bundle", folder / "bundle", "-n", N, "--seed", SEED, "-o", output]
    done = subprocess.run(
        [str(word) for word in (*command, *words(condition, tmp_path))], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    called = re.findall(r"^called (.*)$", done.stderr, re.M)
    assert called
    # the program says no rows: one call of the encoder for one condition, and another for the null
    return np.load(output), [1 for name in called if "condition" in name]


SCRIPT = """
const model = await opened(), calls = [], session = model._bundle.session.bind(model._bundle);
model._bundle.session = async (graph) => {
  const loaded = await session(graph);
  return { run: (feeds, outputs) => {
    if (graph === "condition") calls.push(Object.values(feeds)[0].dims[0]);
    return loaded.run(feeds, outputs);
  } };
};
const { data, shape } = await model.sample(given.n, { seed: given.seed, condition: given.condition });
"""


def asked(condition):
    return json.dumps({"n": N, "seed": SEED, "condition": listed(condition)})


def told(said):
    return np.array(said["data"], np.float32).reshape(said["shape"]), said["calls"]


def by_node(folder, condition, tmp_path):
    """The package in Node."""
    modules = os.environ.get("GENZOO_NODE_MODULES")
    if not modules or shutil.which("node") is None:
        pytest.skip("Node is not installed, or GENZOO_NODE_MODULES names no folder with onnxruntime-node")
    source = f"""
        import {{ open as opened }} from {json.dumps((folder / "index.mjs").as_uri())};
        const given = JSON.parse(process.env.GIVEN);
        {SCRIPT}
        process.stdout.write(JSON.stringify({{ data: Array.from(data), shape, calls }}), () => process.exit(0));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", source],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "GIVEN": asked(condition)},
    )
    assert done.returncode == 0, done.stderr
    return told(json.loads(done.stdout))


def by_web(folder, condition, tmp_path):
    """The modules of the page, in Chromium."""
    from zoo_web.browser import Browser, find_browser, served

    program = find_browser()
    if program is None:
        pytest.skip("Chromium is not installed, and CHROMIUM names no other")
    module, wasm = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
    (folder / "blank.html").write_text("<!doctype html><title>blank</title>", "utf-8")
    expression = f"""(async () => {{
        const given = {asked(condition)};
        const {{ fetchReader, load }} = await import("./genzoo/genzoo.mjs");
        const ort = await import("./ort/{module}");
        ort.env.wasm.numThreads = 1;
        ort.env.wasm.wasmPaths = {{ wasm: new URL("./ort/{wasm}", location.href).href }};
        const read = fetchReader(new URL("./bundle/", location.href));
        const opened = () => load(read, ort, {{ session: {{ executionProviders: ["wasm"] }} }});
        {SCRIPT}
        return {{ data: Array.from(data), shape, calls }};
    }})()"""
    with served(folder) as address, Browser(program) as browser:
        browser.open(f"{address}blank.html")
        browser.wait("document.readyState === 'complete'", 20)
        return told(browser.evaluate(expression))


def by_mobile(folder, condition, tmp_path):
    """The graphs in ORT format, in the loop of zoo.runtime."""
    calls, run = [], Session.run

    class Converted(Session):
        def __init__(self, graph, *given, **options):
            super().__init__(folder / f"{Path(graph).stem}.ort", *given, **options)

        def run(self, feeds, outputs=None):
            if self.graph.stem == "condition":
                calls.append(len(next(iter(feeds.values()))))
            return run(self, feeds, outputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "Session", Converted)
        x = load(by_mobile.bundle, "cpu").sample(N, seed=SEED, condition=condition)
    assert mobile.verify(folder)
    return x, calls


class Server:
    """What ``tritonclient.http`` offers, over the models of a repository."""

    InferRequestedOutput = staticmethod(lambda name: name)

    def __init__(self, repository):
        self.repository, self.calls = repository, []
        self.InferenceServerClient = lambda url: self

    class InferInput:
        def __init__(self, name, shape, datatype):
            self.name = name

        def set_data_from_numpy(self, array):
            self.array = array

    def infer(self, model, inputs, outputs):
        session = onnxruntime.InferenceSession(self.repository / model / "1" / "model.onnx")
        scalars = {port.name for port in session.get_inputs() if not port.shape}
        feeds = {one.name: one.array.reshape(()) if one.name in scalars else one.array for one in inputs}
        if model.endswith("-condition"):
            self.calls.append(len(next(iter(feeds.values()))))
        return SimpleNamespace(as_numpy=dict(zip(outputs, session.run(outputs, feeds), strict=True)).get)


def by_triton(folder, condition, tmp_path):
    """The client, and a server in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.delitem(sys.modules, "sample", raising=False)
        client = runpy.run_path(str(folder / "client.py"))["ServedModel"]
        patch.delitem(sys.modules, "sample")
    server = Server(folder / triton.REPOSITORY)
    x = client(folder / "bundle", "somewhere:8000", server).sample(N, seed=SEED, condition=listed(condition))
    assert triton.verify(folder)
    return x, server.calls


TARGETS = {
    "python": by_python,
    "cpp": by_cpp,
    "node": by_node,
    "web": by_web,
    "mobile": by_mobile,
    "triton": by_triton,
}


@pytest.mark.slow  # an export a model
@pytest.mark.sample("picture-python")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", deployed.MODELS)
def test_a_target_samples_what_pytorch_does_and_encodes_once(name, target, made, tmp_path):
    model, bundle = made(name)
    if target == "cpp" and not os.environ.get("GENZOO_ONNXRUNTIME_INCLUDE"):
        pytest.skip("GENZOO_ONNXRUNTIME_INCLUDE names no folder with ONNX Runtime's C header")
    folder = pack(open_bundle(bundle), tmp_path / "packed", target=target)
    by_mobile.bundle = bundle
    for given in (deployed.MODELS[name][2], deployed.OTHER[name]):
        scratch = tmp_path / str(len(list(tmp_path.iterdir())))
        scratch.mkdir()
        x, calls = TARGETS[target](folder, given, scratch)
        expected = model.sample(N, condition=given, seed=SEED).detach().numpy()
        np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-4)
        # N samples of one condition are one row, and the null of guidance is one more
        assert calls == [1] * (2 if name == "text" else 1)
