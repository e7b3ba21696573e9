"""The models that are measured: two that ship with genzoo, and two whose weights are made from a seed.

``prepare`` writes bundles of the second kind, which takes minutes and needs the exporter, and keeps all but their
weights; ``restore`` makes the weights again, bit by bit the same, so that the digests in the manifest hold. They are
integers of NumPy's Philox generator, whose raw stream is fixed for all versions, times a power of two.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
WEIGHTS = "weights.safetensors"
#: the weights file without what a seed gives
REST = "weights.rest"
#: random weights are this many bits and a sign: float16, bfloat16 and TF32 hold them exactly
BITS = 7
#: of texts and sequences
LENGTH = 8


@dataclass(frozen=True)
class Model:
    """A model to measure.

    Attributes:
        name: in results.
        graph: the graph of its bundle that samples.
        architecture: as registered.
        config: of the architecture; None for a shipped model, whose card has it.
        shipped: the name of a shipped model, or None.
    """

    name: str
    graph: str
    architecture: str
    config: Mapping[str, Any] = field(default_factory=dict)
    shipped: str | None = None


#: the config of google/ddpm-cifar10-32, by the names of ``unet2d``
CIFAR = {
    "event_shape": [3, 32, 32],
    "block_out_channels": [128, 256, 256, 256],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2,
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1.0,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "path": "ddpm-linear",
    "prediction": "epsilon",
    "likelihood": False,
    "sampling": {"sampler": "ddim", "steps": 50},
}
MODELS = {
    model.name: model
    for model in (
        Model("mnist-unet", "step", "unet", shipped="mnist-unet"),
        Model("ddpm-cifar10-32", "step", "unet2d", CIFAR),
        Model("maf-64", "inverse", "maf", {"event_shape": [64], "transforms": 5, "hidden": [512, 512]}),
        Model("nsf-coupling-64", "inverse", "nsf-coupling", shipped="digits-nsf"),
    )
}


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The random weights of a tensor, float32: signed integers of :data:`BITS` bits times a power of two."""
    size, fan_in = math.prod(shape), max(math.prod(shape[1:]), 1)
    key = int.from_bytes(name.encode()[-16:], "little")
    raw = np.random.Philox(key=key).random_raw(-(-size // 8)).view(np.uint8)[:size].astype(np.int16)
    whole = (raw & (2 ** (BITS + 1) - 1)) - 2**BITS
    # uniform in ±√(3 / fan-in), rounded to a power of two, keeps activations of order 1
    bound = 2.0 ** round(math.log2(math.sqrt(3 / fan_in))) if len(shape) > 1 else 2.0**-4
    values = (whole.astype(np.float32) * np.float32(bound / 2**BITS)).reshape(shape)
    scales = len(shape) == 1 and name.endswith("weight")  # of a normalisation
    return values + np.float32(1) if scales else values


def build(model: Model, folder: Path | None = None) -> Any:
    """The PyTorch model, in evaluation mode.

    Args:
        model: which.
        folder: a restored bundle to take weights from; None for a shipped model or fresh seeded weights.
    """
    import torch

    from zoo import weights
    from zoo.models import building
    from zoo.registry import installed

    registry = installed()
    if model.shipped is not None:
        return building.load(registry, model.shipped)
    built = building.build(registry, model.architecture, model.config).eval()
    if folder is not None:
        weights.load_into(built, weights.read(folder / WEIGHTS), source=folder / WEIGHTS)
        return built.eval()
    with torch.no_grad():
        for name, value in built.named_parameters():
            value.copy_(torch.from_numpy(seeded(name, tuple(value.shape))))
    return built


def _print(told: str) -> None:
    print(told, flush=True)


def prepare(model: Model, folder: Path, say: Callable[[str], object] = _print) -> None:
    """Write a bundle of a model with seeded weights, and keep all but these weights in ``folder``.

    The bundle is not proven as ``zoo export`` proves one, which takes long for a large network, but its sampling graph
    is compared with PyTorch once.

    Raises:
        SystemExit: they differ, or the weights that are made again are not those of the bundle.
    """
    scratch, again = (folder.with_name(f".{folder.name}.{part}") for part in ("whole", "again"))
    built = build(model)
    say(f"{model.name}: writing its graphs")
    write(built, model, scratch)
    say(f"{model.name}: comparing them with PyTorch")
    compare(built, model, scratch)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scratch, folder, ignore=shutil.ignore_patterns(WEIGHTS))
    (folder / REST).write_bytes(b"".join(_shortened(scratch / WEIGHTS)))
    restore(model, folder, again)
    if (again / WEIGHTS).read_bytes() != (scratch / WEIGHTS).read_bytes():
        raise SystemExit(f"{model.name}: the weights that are made again are not those of the bundle")
    shutil.rmtree(scratch)
    shutil.rmtree(again)


def write(built: Any, model: Model, folder: Path, without: Sequence[str] = (), *, inverse: str | None = None) -> None:
    """Write a bundle without golden values and without a proof, by the parts of the exporter.

    Args:
        built: the PyTorch model.
        model: what it is.
        folder: of the bundle.
        without: directions to leave out.
        inverse: how a sequential direction is written, as by ``zoo export --inverse``.
    """
    from zoo.bundle import MANIFEST
    from zoo.exporting import card_of
    from zoo_onnx.draft import with_files
    from zoo_onnx.graph_writing import write
    from zoo_onnx.plan import planned
    from zoo_onnx.trace import trace

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options: dict[str, Any] = dict.fromkeys(("opset", "fused", "precision", "batch"))
    plan = planned(built, card_of(built, model.name), **options, inverse=inverse, quality=False, without=without)
    graphs = []
    for graph in plan.programs.graphs:
        way = plan.ways[graph.name]
        graphs.append(trace(graph, plan.opset) if way is None else write(graph, way, plan.opset))
    manifest = plan.draft.write(graphs, folder)
    (folder / MANIFEST).write_text(with_files(manifest, folder).to_json())


def compare(built: Any, model: Model, folder: Path) -> None:
    """Refuse a graph that does not compute what the module does."""
    import torch

    from zoo.bundle.differences import TOLERANCE, relative_difference
    from zoo.runtime import load

    graph = sampling_graph(built, model)
    inputs = feeds(graph, 2)
    with torch.no_grad():
        results = graph.module(*(torch.from_numpy(array) for array in inputs.values()))
    expected = results[0] if isinstance(results, tuple) else results
    name = graph.outputs[0].name
    actual = load(folder, "cpu").session(model.graph).run(inputs, [name])[name]
    difference = relative_difference(actual, expected.numpy(), 1.0)
    if not difference <= TOLERANCE:
        raise SystemExit(f"{model.name}: graph {model.graph} differs from PyTorch by {difference:.1e}")


def restore(model: Model, prepared: Path, folder: Path) -> Path:
    """The whole bundle of a prepared one, in ``folder``; returns it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(REST))
    with (prepared / REST).open("rb") as file, (folder / WEIGHTS).open("wb") as out:
        (size,) = struct.unpack("<Q", head := file.read(8))
        out.write(head + (header := file.read(size)))
        for name, entry in _ordered(json.loads(header)):
            flag, nbytes = file.read(1), entry["data_offsets"][1] - entry["data_offsets"][0]
            tensor = file.read(nbytes) if flag == b"\0" else seeded(name, tuple(entry["shape"])).tobytes()
            out.write(tensor)
    return folder


def _shortened(path: Path) -> Iterator[bytes]:
    """A safetensors file, each tensor preceded by whether it is left out, since a seed gives it."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", head := file.read(8))
        yield head + (header := file.read(size))
        for name, entry in _ordered(json.loads(header)):
            content = file.read(entry["data_offsets"][1] - entry["data_offsets"][0])
            seedable = entry["dtype"] == "F32" and seeded(name, tuple(entry["shape"])).tobytes() == content
            yield b"\1" if seedable else b"\0" + content


def _ordered(header: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
    return sorted(entries, key=lambda each: each[1]["data_offsets"][0])


def bundle_of(model: Model, prepared: Path, scratch: Path) -> Path:
    """A copy of a model's bundle, which may be written to: the shipped one, or the prepared one with its weights.

    Raises:
        FileNotFoundError: it was not prepared.
    """
    if model.shipped is not None:
        source = ROOT / "plugins" / "zoo_models" / model.shipped / "bundle"
        return Path(shutil.copytree(source, scratch / model.name, dirs_exist_ok=True))
    if not (prepared / model.name / REST).is_file():
        raise FileNotFoundError(f"{prepared / model.name} was not prepared: scripts/gpu --prepare {prepared}")
    return restore(model, prepared / model.name, scratch / model.name)


def sampling_graph(built: Any, model: Model) -> Any:
    """The description of the graph that samples, with the torch module that it is traced from."""
    return next(graph for graph in built.programs().graphs if graph.name == model.graph)


def feeds(graph: Any, batch: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs of a graph: one state, no guidance, of ``batch`` samples; lengths are :data:`LENGTH`."""
    sizes = {"batch": batch, "slots": 1, "columns": 2, "wide_columns": 2, "evaluations": 1}
    draws = np.random.default_rng(seed)
    row = {"time": 0.5, "alpha": 0.8, "sigma": 0.6, "clip": 3e38, "noise_scale": 0.0, "rescale": 0.0}
    arrays = {}
    for port in graph.inputs:
        shape = tuple(sizes.get(size, LENGTH) if isinstance(size, str) else size for size in port.shape)
        if port.name in row:
            array = np.full(shape, row[port.name])
        elif port.name in ("weights", "mask"):
            array = np.ones(shape)
        elif port.name == "matrix":
            array = np.array([[0.6, 0.4]])
        elif port.name in ("noise", "known"):
            array = np.zeros(shape)
        else:
            array = draws.standard_normal(shape) if port.dtype == "float32" else np.zeros(shape)
        arrays[port.name] = np.ascontiguousarray(array).astype(port.dtype).reshape(shape)
    return arrays


def products(built: Any, model: Model, folder: Path) -> float:
    """Floating-point operations of the products (matrix products and convolutions) of one sample's call.

    PyTorch counts those of a network. A flow's are counted in its graph, where a weight is used once a sample.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    if model.graph != "step":
        return _weights_used(folder / f"{model.graph}.onnx")
    graph = sampling_graph(built, model)
    inputs = [torch.from_numpy(array) for array in feeds(graph, 1).values()]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        graph.module(*inputs)
    return float(counter.get_total_flops())


def _weights_used(path: Path) -> float:
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {each.name: list(each.dims) for each in graph.initializer}
    for each in graph.value_info:
        shapes[each.name] = [dim.dim_value for dim in each.type.tensor_type.shape.dim]
    total = 0
    for node in graph.node:
        if node.op_type in ("Gemm", "MatMul"):
            # the operand without a batch is the weight, or a part of it
            fixed = [shapes[name] for name in node.input[:2] if shapes.get(name) and 0 not in shapes[name]]
            total += math.prod(fixed[0]) if fixed else 0
    return 2.0 * total
