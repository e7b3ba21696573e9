"""How samples were drawn, in the files that hold them: in a chunk of PNG and WAV, an array of NPZ, or a file beside.

A file of a format that has no place for it (.csv, .npy, .txt, those of plugins) gets one beside it, named
``x.csv.about.json``, with the digest of ``x.csv``, so that it does not speak of another file of that name.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.files import sha256, write_text

#: keyword of the text in a PNG
_KEY = b"genzoo"
_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST = 1 << 20  # of what is read, in bytes


def in_png(content: bytes, values: Mapping[str, object]) -> bytes:
    """A PNG with ``values`` as a chunk iTXt behind its header (PNG specification, third edition, 11.3.3.4)."""
    body = b"iTXt" + _KEY + b"\0\0\0\0\0" + json.dumps(dict(values)).encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    header = len(_PNG) + 25  # a chunk of 13 bytes
    return content[:header] + chunk + content[header:]


def of_png(path: Path) -> dict[str, Any]:
    """What :func:`in_png` put into a file, in one chunk or several; empty for other files."""
    values: dict[str, Any] = {}
    with path.open("rb") as file:
        if file.read(len(_PNG)) != _PNG:
            return values
        while len(start := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", start)
            if kind == b"IDAT":
                break
            if kind == b"iTXt" and size <= _LARGEST:
                key, _, rest = file.read(size).partition(b"\0")
                if key == _KEY:
                    values |= _parsed(rest[4:])
                file.seek(4, io.SEEK_CUR)
            else:
                file.seek(size + 4, io.SEEK_CUR)
    return values


def in_wav(content: bytes, values: Mapping[str, object]) -> bytes:
    """A .wav file with ``values`` as its comment, the chunk ``ICMT`` of a list ``INFO`` (RIFF 1991, chapter 2)."""
    text = json.dumps(dict(values)).encode() + b"\0"
    comment = b"INFO" + b"ICMT" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    chunk = b"LIST" + struct.pack("<I", len(comment)) + comment
    return content[:4] + struct.pack("<I", len(content) - 8 + len(chunk)) + content[8:] + chunk


def _of_wav(path: Path) -> dict[str, Any]:
    for kind, content in _riff(path):
        if kind == b"LIST" and content[:8] == b"INFOICMT":
            (size,) = struct.unpack("<I", content[8:12])
            return _parsed(content[12 : 12 + size].rstrip(b"\0"))
    return {}


def _riff(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The small chunks of a RIFF file."""
    with path.open("rb") as file:
        file.seek(12)
        while len(start := file.read(8)) == 8:
            kind, size = struct.unpack("<4sI", start)
            if size <= _LARGEST:
                yield kind, file.read(size)
            else:
                file.seek(size, io.SEEK_CUR)
            file.seek(size % 2, io.SEEK_CUR)


def _of_npz(path: Path) -> dict[str, Any]:
    import numpy as np

    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return _parsed(str(file["about"]).encode()) if "about" in file.files else {}


def _of_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return {name: _value(text) for name, text in (file.metadata() or {}).items()}


def _of_parquet(path: Path) -> dict[str, Any]:
    from zoo.render import columnar

    return columnar.about(path)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


#: extension -> reads what a file says itself
_INSIDE: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    ".png": lambda path: of_png(path).get("about") or {},
    ".wav": _of_wav,
    ".npz": _of_npz,
    ".safetensors": _of_safetensors,
    ".parquet": _of_parquet,
}


def beside(path: Path) -> Path:
    """The file that says how the samples of another were drawn."""
    return path.with_name(path.name + ".about.json")


def write_beside(path: Path, values: Mapping[str, object]) -> None:
    """Write that file for formats that cannot say it themselves, and for others none."""
    if values and path.suffix.lower() not in _INSIDE:
        write_text(beside(path), json.dumps({"sha256": sha256(path), "about": dict(values)}, indent=2) + "\n")


def about(path: Path) -> dict[str, Any]:
    """How the samples of a file were drawn; empty if nothing says it.

    Raises:
        DataError: it cannot be read, or has changed since.
    """
    try:
        inside = _INSIDE.get(path.suffix.lower())
        if inside is not None:
            return inside(path)
        if not beside(path).is_file():
            return {}
        values = _parsed(beside(path).read_bytes())
    except Exception as error:  # of many classes, as those of NumPy and safetensors
        raise DataError(f"cannot read {path}: {error}") from error
    if values.get("sha256") != sha256(path):
        raise DataError(f"{path} has changed since {beside(path).name} was written", hint="Draw the samples again.")
    told = values.get("about")
    return told if isinstance(told, dict) else {}
