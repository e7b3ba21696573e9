"""What both targets are made of: a proven bundle, and files of ours as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from zoo.bundle import read_manifest
from zoo.cards import ModelCard
from zoo.errors import OutputError
from zoo.files import write_bytes
from zoo.manifest import Manifest
from zoo.model import GenerativeModel

FILES = Path(__file__).parent / "files"
#: the JavaScript runtime, which both targets have beside their own files
RUNTIME = ("genzoo.mjs", "errors.mjs", "files.mjs", "noise.mjs")
BUNDLE = "bundle"

Progress = Callable[[str, int, int], None]


def write_bundle(
    model: GenerativeModel, card: ModelCard, folder: Path, *, progress: Progress | None, options: dict[str, Any]
) -> Manifest:
    """Export the model into ``folder/bundle`` by the target ``onnx``, which proves it, and return its manifest.

    Args:
        model: the model.
        card: what is known of it.
        folder: exists, and has no such folder.
        progress: called before each part.
        options: those of the target ``onnx``.

    Raises:
        UsageError, ExportError, ProofError, OutputError: as the target ``onnx`` does.
    """
    from zoo_onnx.export import export  # torch and onnx are there: the target says that it requires them

    bundle = folder / BUNDLE
    make_folder(bundle)
    export(model, card, bundle, progress=progress, **options)
    return read_manifest(bundle)


def make_folder(path: Path) -> None:
    """Make a folder.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def copy_files(source: Path, names: Iterable[str], folder: Path) -> None:
    """Copy files of ``source`` into ``folder``.

    Raises:
        OutputError: they cannot be read or written.
    """
    for name in names:
        try:
            content = (source / name).read_bytes()
        except OSError as error:
            raise OutputError(f"cannot read {source / name}: {error.strerror}") from error
        write_bytes(folder / name, content)
