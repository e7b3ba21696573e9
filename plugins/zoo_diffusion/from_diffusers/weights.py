"""The tensors of a network of diffusers, under the names that ours has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zoo import weights
from zoo.errors import WeightsError
from zoo.weights import Arrays
from zoo_diffusion.from_diffusers.folder import read_json

_STEM = "diffusion_pytorch_model"
_WEIGHTS, _LIST = f"{_STEM}.safetensors", f"{_STEM}.safetensors.index.json"
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
#: variants that are the same weights in another precision; any other is another set of weights
_PRECISIONS = ("fp16", "bf16", "fp32", "float16", "bfloat16", "float32")
_VARIANT = re.compile(
    rf"{_STEM}\.(?:(?P<file>[^.]+)\.safetensors|safetensors\.index\.(?P<list>[^.]+)\.json|"
    r"safetensors\.(?P<old>[^.]+)\.index\.json)$"
)
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_SHOWN = 8


def variant_of(folder: Path, variant: str | None) -> str | None:
    """The variant whose weights are taken: the one that is asked for; else none, unless there is only one.

    Raises:
        WeightsError: the variant that is asked for does not exist.
    """
    there = _variants(folder)
    if variant is not None and variant not in there:
        raise WeightsError(f"{folder} has no variant {variant} of its weights; available: {', '.join(there) or 'none'}")
    if variant is not None or (folder / _LIST).is_file() or (folder / _WEIGHTS).is_file():
        return variant
    return there[0] if len(there) == 1 and there[0] in _PRECISIONS else None


def read_weights(folder: Path, variant: str | None = None) -> tuple[Arrays, Path]:
    """All tensors of a network's folder in float32, and the file that they (or their list) are in.

    Of several files the one is taken that diffusers takes: a list of shards before a single file.

    Args:
        folder: the network's.
        variant: which of several sets of weights; None for the one without a name.

    Raises:
        WeightsError: there are none, only pickles, or a file that cannot be read.
    """
    chosen = variant_of(folder, variant)
    dotted = "" if chosen is None else f".{chosen}"
    # the current name of the list first, then its name of 2024
    lists = [f"{_WEIGHTS}.index{dotted}.json", f"{_WEIGHTS}{dotted}.index.json"]
    listed = next((folder / name for name in lists if (folder / name).is_file()), None)
    single = folder / f"{_STEM}{dotted}.safetensors"
    if listed is not None:
        return _read_shards(listed), listed
    if single.is_file():
        return weights.read_float32(single), single
    raise _missing(folder)


def _variants(folder: Path) -> list[str]:
    variants = set()
    for path in folder.iterdir():
        if path.is_file() and (match := _VARIANT.match(path.name)):
            name = match["file"] or match["list"] or match["old"]
            # a shard alone is not a set of weights, and the list without a name is not a variant
            if not _SHARD.search(name) and path.name != _LIST:
                variants.add(name)
    return sorted(variants)


def _read_shards(listed: Path) -> Arrays:
    arrays: Arrays = {}
    for file in _shards(listed):
        if not file.is_file():
            raise WeightsError(
                f"{listed} lists {file.name}, which does not exist",
                hint="Fetch it; or, if the weights were saved again in one file, remove the list: it is read first.",
            )
        read = weights.read_float32(file)
        if twice := sorted(arrays.keys() & read.keys()):
            raise WeightsError(f"{file} has {twice[0]}, which another file of {listed} has, too")
        arrays.update(read)
    return arrays


def _shards(listed: Path) -> list[Path]:
    names = read_json(listed).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise WeightsError(f"{listed} does not say which tensor is in which file")
    files = sorted(set(names.values()))
    if outside := [name for name in files if Path(name).name != name or "\\" in name]:
        raise WeightsError(f"{listed} names {outside[0]!r}, which is not in its folder")
    return [listed.parent / name for name in files]


def _missing(folder: Path) -> WeightsError:
    names = sorted(path.name for path in folder.iterdir())
    if there := _variants(folder):
        return WeightsError(
            f"{folder} has no {_WEIGHTS}, but the variant{'s' if len(there) > 1 else ''} {', '.join(there)}, "
            "which may be other weights",
            hint=f"Say which: -I variant={there[0]}.",
        )
    if shards := [name for name in names if name.endswith(".safetensors") and _SHARD.search(name.split(".")[-2])]:
        return WeightsError(f"{folder} has shards such as {shards[0]}, but no {_LIST} that lists them")
    if (folder / _WEIGHTS).is_symlink():
        return WeightsError(f"{folder / _WEIGHTS} is a link to a file that is not there", hint="Fetch it again.")
    if pickles := [name for name in names if Path(name).suffix in _PICKLES]:
        return WeightsError(
            f"{folder} has its weights only as a pickle ({', '.join(pickles[:3])}), which is never loaded here: "
            "unpickling runs whatever code is in the file",
            hint="Where you trust it, load it with diffusers and write it again: save_pretrained writes safetensors.",
        )
    return WeightsError(f"{folder} has no {_WEIGHTS}")


# -- the U-Net has the same names, except in old files -----------------------------------------------------------------

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD = re.compile(r"(?<=\.)(query|key|value|proj_attn)(?=\.(?:weight|bias)$)")


def unet2d(arrays: Arrays) -> Arrays:
    """The tensors of a ``UNet2DModel`` under today's names."""
    renamed = {_OLD.sub(lambda match: _OLD_ATTENTION[match[1]], name): array for name, array in arrays.items()}
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
