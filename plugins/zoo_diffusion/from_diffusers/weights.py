"""The tensors of a network of diffusers, under the names that ours has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import weights
from zoo.errors import WeightsError
from zoo.weights import Arrays
from zoo_diffusion.from_diffusers.folder import read_json

_STEM = "diffusion_pytorch_model"
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_SHOWN = 8


def read_weights(folder: Path) -> tuple[Arrays, Path]:
    """All tensors of a network's folder in float32, and the file that they (or their list) are in.

    Raises:
        WeightsError: there are none, only pickles, or a file that cannot be read.
    """
    single, listed = folder / f"{_STEM}.safetensors", folder / f"{_STEM}.safetensors.index.json"
    halves = sorted(folder.glob(f"{_STEM}.*.safetensors"))
    if single.is_file():
        files = [single]
    elif listed.is_file():
        files = _shards(listed)
    elif len(halves) == 1:  # a variant, such as .fp16.
        files = halves
    else:
        raise _missing(folder)
    arrays: Arrays = {}
    for file in files:
        arrays.update({name: _single(array) for name, array in weights.read(file).items()})
    return arrays, listed if len(files) > 1 else files[0]


def _single(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _shards(listed: Path) -> list[Path]:
    names = read_json(listed).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise WeightsError(f"{listed} does not say which tensor is in which file")
    files = sorted(set(names.values()))
    if outside := [name for name in files if Path(name).name != name or "\\" in name]:
        raise WeightsError(f"{listed} names {outside[0]!r}, which is not in its folder")
    return [listed.parent / name for name in files]


def _missing(folder: Path) -> WeightsError:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        return WeightsError(
            f"{folder} has its weights only as a pickle ({', '.join(pickles[:3])}), which is never loaded here: "
            "unpickling runs whatever code is in the file",
            hint="Where you trust it, load it with diffusers and write it again: save_pretrained writes safetensors.",
        )
    return WeightsError(f"{folder} has no {_STEM}.safetensors")


# -- the U-Net has the same names, but for those of old files ----------------------------------------------------------

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD = re.compile(r"(?<=\.)(query|key|value|proj_attn)(?=\.(?:weight|bias)$)")


def unet2d(arrays: Arrays) -> Arrays:
    """The tensors of a ``UNet2DModel`` under today's names."""
    renamed = {_OLD.sub(lambda found: _OLD_ATTENTION[found[1]], name): array for name, array in arrays.items()}
    # the frequencies of a fourier embedding were once saved under two names
    if (frequencies := renamed.pop("time_proj.W", None)) is not None:
        renamed.setdefault("time_proj.weight", frequencies)
    return renamed


# -- the DiT, whose names are those of its first publication -----------------------------------------------------------

_LAYERS = ("weight", "bias")
_DIT_OUTER = {
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
_DIT_BLOCK = {
    "adaLN_modulation.1": "norm1.linear",
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}
#: copied into every block
_DIT_EMBEDDINGS = {
    "t_embedder.mlp.0.weight": "timestep_embedder.linear_1.weight",
    "t_embedder.mlp.0.bias": "timestep_embedder.linear_1.bias",
    "t_embedder.mlp.2.weight": "timestep_embedder.linear_2.weight",
    "t_embedder.mlp.2.bias": "timestep_embedder.linear_2.bias",
    "y_embedder.embedding_table.weight": "class_embedder.embedding_table.weight",
}


def dit(arrays: Arrays, depth: int, source: Path) -> Arrays:
    """The tensors of a ``DiTTransformer2DModel`` with ``depth`` blocks, without positions, which it does not store.

    Raises:
        WeightsError: missing or unexpected names, or embeddings that differ between blocks, where ours has one.
    """
    copies = {
        ours: [f"transformer_blocks.{block}.norm1.emb.{theirs}" for block in range(depth)]
        for ours, theirs in _DIT_EMBEDDINGS.items()
    }
    plain = {f"{ours}.{part}": [f"{theirs}.{part}"] for ours, theirs in _DIT_OUTER.items() for part in _LAYERS}
    joined = {}
    for block in range(depth):
        inside = f"transformer_blocks.{block}"
        for part in _LAYERS:
            plain |= {f"blocks.{block}.{o}.{part}": [f"{inside}.{t}.{part}"] for o, t in _DIT_BLOCK.items()}
            joined[f"blocks.{block}.attn.qkv.{part}"] = [f"{inside}.attn1.to_{each}.{part}" for each in "qkv"]
    _check_names(
        arrays, (name for names in (*copies.values(), *plain.values(), *joined.values()) for name in names), source
    )
    for names in copies.values():
        if different := [name for name in names if not np.array_equal(arrays[name], arrays[names[0]])]:
            raise WeightsError(f"{source}: {different[0]} differs from {names[0]}, but a DiT has only one embedding")
    translated = {ours: arrays[names[0]] for ours, names in (copies | plain).items()}
    # one after the other: rows of queries, keys, values
    return translated | {ours: np.concatenate([arrays[name] for name in names]) for ours, names in joined.items()}


def _check_names(arrays: Arrays, expected: Iterable[str], source: Path) -> None:
    wanted = set(expected)
    problems = [
        f"{what} {', '.join(sorted(names)[:_SHOWN])}{f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", wanted - arrays.keys()), ("unexpected", arrays.keys() - wanted))
        if names
    ]
    if problems:
        raise WeightsError(f"{source} does not fit the model: {'; '.join(problems)}")
