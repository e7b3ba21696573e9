"""Weights in safetensors files: read with all the checks that the format leaves to its users, written atomically.

safetensors checks structure only. Here a file must also have the expected digest, finite values, and exactly the
expected names, shapes and dtypes; all mismatches are reported at once. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from zoo.arrays import Array
from zoo.errors import WeightsError
from zoo.files import atomic_file, sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

Arrays = dict[str, Array]

#: prefix of tensors in a bundle's weights file that only its graphs need
DERIVED = "graph:"
_LFS = b"version https://git-lfs"
_SHOWN = 8


T = TypeVar("T")


def read(path: Path, *, digest: str | None = None) -> Arrays:
    """All tensors of a safetensors file as NumPy arrays.

    Args:
        path: the file.
        digest: expected SHA-256, or None.

    Raises:
        WeightsError: missing, not safetensors, wrong digest, or values that are not finite.
    """
    from safetensors.numpy import load_file

    check_digest(path, digest)
    return _finite(_opened(path, load_file), path)


def read_float32(path: Path) -> Arrays:
    """All tensors of a safetensors file, with floating-point ones of any precision converted to float32; needs torch.

    NumPy has no bfloat16, which many files of other projects use.

    Raises:
        WeightsError: missing, not safetensors, or values that are not finite.
    """
    from safetensors.torch import load_file

    check_digest(path, None)
    tensors = _opened(path, load_file)
    return _finite({n: (t.float() if t.is_floating_point() else t).numpy() for n, t in tensors.items()}, path)


def _opened(path: Path, load: Callable[[Path], dict[str, T]]) -> dict[str, T]:
    from safetensors import SafetensorError

    try:
        return load(path)
    except (SafetensorError, ValueError, KeyError, OSError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a safetensors file that can be read: {_diagnose(path, error)}") from error


def _finite(arrays: Arrays, path: Path) -> Arrays:
    broken = [n for n, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
    if broken:
        raise WeightsError(f"{path} has values that are not finite in {_listing(broken)}")
    return arrays


def check_digest(path: Path, digest: str | None) -> None:
    """Refuse a file that is missing or does not have the expected SHA-256.

    Raises:
        WeightsError: with the digests, and an explanation if the content suggests one.
    """
    if not path.is_file():
        raise WeightsError(f"the weights file {path} does not exist")
    if digest is not None and (actual := sha256(path)) != digest:
        looks = _pretender(path)
        raise WeightsError(
            f"{path} {looks or 'has been altered or damaged'}: its sha256 is {actual[:16]}…, expected {digest[:16]}…",
            hint="Fetch or export it again.",
        )


def metadata(path: Path) -> dict[str, str]:
    """The string metadata in a safetensors header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file that can be read: {_diagnose(path, error)}") from error


def write(path: Path, arrays: Mapping[str, Array], *, metadata: Mapping[str, str] | None = None) -> str:
    """Write tensors atomically and return the file's SHA-256. The same tensors give the same bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    content = serialized(arrays, metadata)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
        return sha256(temporary)


def serialized(arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file. The same tensors and metadata give the same bytes."""
    from safetensors.numpy import save

    # `ascontiguousarray` would turn a scalar into a vector
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    content = save(ordered, metadata=dict(metadata) if metadata else None)
    if not metadata:
        return content
    # safetensors writes metadata in an order that is another in each process
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def state_arrays(module: nn.Module) -> Arrays:
    """A module's state dict as NumPy arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def load_into(module: nn.Module, arrays: Mapping[str, Array], *, source: Path | str) -> None:
    """Copy arrays into a module; names, shapes and dtypes must match exactly, or nothing is copied.

    Tensors whose names begin with :data:`DERIVED` belong to a bundle's graphs and are skipped. Buffers that older
    files lack (see :class:`zoo.models.contexts.StandardizedContext`) may be missing, and buffers of modules that are
    ``sized_by_file`` may have another last axis, which they then get.

    Raises:
        WeightsError: with all mismatches.
    """
    import torch

    own = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if not name.startswith(DERIVED)}
    load_tensors(module, own, source=source)


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], *, source: Path | str) -> None:
    """:func:`load_into` of tensors, which may be kept in parts as the module's own are.

    Raises:
        WeightsError: with all mismatches.
    """
    state: dict[str, Tensor] = module.state_dict()
    problems, resized = [], _resized(module, tensors)
    if missing := sorted(state.keys() - tensors.keys() - _dispensable(module, tensors)):
        problems.append(f"missing {_listing(missing)}")
    if unexpected := sorted(tensors.keys() - state.keys()):
        problems.append(f"unexpected {_listing(unexpected)}")
    for name in sorted(state.keys() & tensors.keys()):
        want, have = state[name], tensors[name]
        want_dtype, have_dtype = (str(each.dtype).removeprefix("torch.") for each in (want, have))
        if (want.shape != have.shape and name not in resized) or want_dtype != have_dtype:
            problems.append(f"{name} is {have_dtype}{list(have.shape)}, expected {want_dtype}{list(want.shape)}")
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise WeightsError(f"{source} does not fit the model: {shown}{more}")
    for name in resized:
        owner, _, buffer = name.rpartition(".")
        setattr(module.get_submodule(owner), buffer, tensors[name].to(state[name].device))
    module.load_state_dict(dict(tensors))
    mark_loaded(module)


def mark_loaded(module: nn.Module) -> None:
    """Mark a module's weights as loaded, so that training does not fit its constants to other data."""
    module.__dict__["_weights_loaded"] = True


def is_loaded(module: nn.Module) -> bool:
    """Whether :func:`mark_loaded` was called for the module, or for the module it was copied from."""
    return bool(module.__dict__.get("_weights_loaded", False))


def _dispensable(module: nn.Module, tensors: Mapping[str, object]) -> set[str]:
    """Names of buffers that older files lack, for modules of which the file has none."""
    dispensable: set[str] = set()
    for prefix, part in module.named_modules():
        if getattr(part, "absent_in_older_files", False):
            names = {f"{prefix}.{name}" if prefix else name for name, _ in part.named_buffers(recurse=False)}
            dispensable |= set() if names & tensors.keys() else names
    return dispensable


def _resized(module: nn.Module, tensors: Mapping[str, Tensor]) -> set[str]:
    """Names of buffers that a file holds with another last axis, of modules that allow it."""
    resized: set[str] = set()
    for prefix, part in module.named_modules():
        if not getattr(part, "sized_by_file", False):
            continue
        for name, buffer in part.named_buffers(prefix, recurse=False):
            stored = tensors.get(name)
            if stored is not None and stored.ndim == buffer.ndim > 1 and stored.shape[:-1] == buffer.shape[:-1]:
                resized |= {name} if stored.shape != buffer.shape else set()
    return resized


def encode_json(value: object) -> str:
    """Compact JSON with sorted keys, for safetensors metadata."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _pretender(path: Path) -> str | None:
    """What a file really is if it is not safetensors, judged by its first bytes."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_LFS):
        return "is a Git LFS pointer, not the file itself (run `git lfs pull`)"
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "is a web page, not weights"
    if head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04")):
        return "is a pickle, which is never loaded here"
    return None


def _diagnose(path: Path, error: Exception) -> str:
    try:
        return _pretender(path) or str(error)
    except OSError:
        return str(error)
