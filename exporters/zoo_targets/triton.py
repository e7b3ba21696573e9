"""The target ``triton``: a model repository for NVIDIA Triton Inference Server's ONNX Runtime backend.

::

    repository/<model>-<graph>/config.pbtxt
    repository/<model>-<graph>/1/model.onnx, weights.safetensors
    client.py, sample.py      sample through the server, with the bundle's programs
    bundle/                   the proven bundle, for the client: manifest and tables
    README.md

Graphs whose inputs and outputs all begin with the batch are batched by the server across clients. The step of a
diffusion is not: each row is one request, for all samples of that run. It takes scalars, which the backend
supports since release 23.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from zoo.bundle import GOLDEN, WEIGHTS, Bundle, GraphInfo, Manifest, open_bundle
from zoo.errors import OutputError, ProofError
from zoo.files import copy_file, write_text
from zoo.programs.ports import Port
from zoo.runtime.session import Session
from zoo_targets.compare import options_shown, replay, write_parts
from zoo_targets.python import RUNTIME

CLIENT = Path(__file__).parent / "files" / "client.py"
REPOSITORY = "repository"
_LARGEST_BATCH = 256
_DELAY_MICROSECONDS = 500
_TYPES = {"float32": "TYPE_FP32", "int32": "TYPE_INT32", "int64": "TYPE_INT64"}


def pack(bundle: Bundle, folder: Path) -> None:
    """Write the repository beside the bundle.

    Raises:
        OutputError: the folder cannot be written.
    """
    manifest = bundle.manifest
    for name, graph in manifest.graphs.items():
        version = folder / REPOSITORY / model_name(manifest, name) / "1"
        try:
            version.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"cannot write {version}: {error.strerror}") from error
        write_text(version.parent / "config.pbtxt", config(manifest, name, graph))
        copy_file(bundle.folder / graph.file, version / "model.onnx")
        if WEIGHTS in manifest.files:
            copy_file(bundle.folder / WEIGHTS, version / WEIGHTS)
    for file in (CLIENT, RUNTIME):
        copy_file(file, folder / file.name)
    write_parts(bundle, folder)
    write_text(folder / "README.md", _readme(bundle))


def verify(folder: Path) -> str:
    """Run each model of the repository on the bundle's golden inputs, as the server's backend would.

    Raises:
        ProofError: a model has a different configuration or gives different outputs.
        BundleError, RuntimeFailure: it does not load.
    """
    bundle, cases = open_bundle(folder / "bundle"), 0
    for name, graph in bundle.manifest.graphs.items():
        model = folder / REPOSITORY / model_name(bundle.manifest, name)
        described = model / "config.pbtxt"
        if not described.is_file():
            raise ProofError(f"{described} is missing")
        if described.read_bytes() != config(bundle.manifest, name, graph).encode():
            raise ProofError(f"{described} does not describe graph {name}")
        session = Session(model / "1" / "model.onnx", inputs=graph.inputs, outputs=graph.outputs)
        cases += replay(session, name, bundle.manifest, bundle.folder / GOLDEN)
    return f"{cases} golden cases of {len(bundle.manifest.graphs)} models in the repository, without a server"


def model_name(manifest: Manifest, graph: str) -> str:
    """The name of a graph on the server."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(manifest.model.get("name") or "model"))
    return f"{name}-{graph}"


def config(manifest: Manifest, name: str, graph: GraphInfo) -> str:
    """``config.pbtxt`` of a graph, a ``ModelConfig`` in protobuf's text format."""
    ports = (*graph.inputs, *graph.outputs)
    batched = manifest.batch is None and all(port.shape[:1] == ("batch",) for port in ports)
    lines = [f'name: "{model_name(manifest, name)}"', 'backend: "onnxruntime"']
    lines.append(f"max_batch_size: {_LARGEST_BATCH if batched else 0}")
    for kind, group in (("input", graph.inputs), ("output", graph.outputs)):
        for port in group:
            lines += [f"{kind} [", "  {", *(f"    {line}" for line in _port(port, batched)), "  }", "]"]
    if batched:
        lines += ["dynamic_batching {", f"  max_queue_delay_microseconds: {_DELAY_MICROSECONDS}", "}"]
    lines += ["version_policy { latest { num_versions: 1 } }"]
    return "\n".join(lines) + "\n"


def _port(port: Port, batched: bool) -> Iterator[str]:
    shape = port.shape[1:] if batched else port.shape
    sizes = ", ".join(str(d) if isinstance(d, int) else "-1" for d in shape)
    yield f'name: "{port.name}"'
    yield f"data_type: {_TYPES[port.dtype]}"
    if shape:
        yield f"dims: [ {sizes} ]"
    else:  # a configuration cannot describe scalars
        yield "dims: [ 1 ]"
        if batched:  # for graphs without batching, the server rejects this and makes scalars itself
            yield "reshape { shape: [ ] }"


def _readme(bundle: Bundle) -> str:
    manifest = bundle.manifest
    name = str(manifest.model.get("name", "model"))
    models = "\n".join(
        f"- `{model_name(manifest, graph)}`: {', '.join(p.name for p in info.inputs)} → "
        f"{', '.join(p.name for p in info.outputs)}"
        for graph, info in manifest.graphs.items()
    )
    chosen = options_shown(bundle)
    draws = f"-n 4 --seed 0{chosen} -o samples.npy" if manifest.sample is not None else f"--score data.npy{chosen}"
    return f"""# {name} on NVIDIA Triton Inference Server

```sh
docker run --gpus all -p 8000:8000 -v "$PWD/{REPOSITORY}:/models" \\
    nvcr.io/nvidia/tritonserver:<release>-py3 tritonserver --model-repository=/models
pip install numpy onnxruntime 'tritonclient[http]'
python client.py --url localhost:8000 {draws}
```

{models}

`client.py` runs the bundle's program, including noise and step table, and leaves only the graphs to the server; the
same seed gives the same samples as genzoo. Requests of several clients are batched by the server where every input
begins with the batch. `<release>` is 23.10 or later, for graphs that take scalars. `bundle/MODEL_CARD.md` describes the
model.
"""
