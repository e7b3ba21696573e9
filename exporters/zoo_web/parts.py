"""Parts shared by both targets: copying files, and errors for missing tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.arrays import Array
from zoo.bundle import Bundle
from zoo.errors import MissingDependencyError, OutputError, UsageError
from zoo.files import copy_file
from zoo_targets.compare import golden_context, golden_parts

FILES = Path(__file__).parent / "files"
#: folder of the runtime in the output of both targets, and in :data:`FILES`
RUNTIME = "genzoo"


def copy_folder(source: Path, folder: Path) -> None:
    """Copy a folder's files recursively into an existing folder.

    Raises:
        OutputError: they cannot be read or written.
    """
    for path in sorted(source.iterdir()):
        if path.is_dir():
            copy_folder(path, make_folder(folder / path.name))
        else:
            copy_file(path, folder / path.name)


def make_folder(path: Path) -> Path:
    """Make a folder, and return it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return path


def refuse_unknown(target: str, options: Mapping[str, object], known: tuple[str, ...] = ()) -> None:
    """Refuse options that a target does not have.

    Raises:
        UsageError: there are unknown options.
    """
    if options:
        has = f"Its options are {', '.join(known)}." if known else "It has no options."
        raise UsageError(f"the target {target} has no option {', '.join(options)}", hint=has)


def missing(what: str, purpose: str, hint: str) -> MissingDependencyError:
    """The error for a tool that is not a Python package."""
    error = MissingDependencyError(what, purpose, extra="")
    error.hint = hint
    return error


def some_condition(bundle: Bundle) -> list[float] | dict[str, Any] | None:
    """A vector such as the model was trained with, in the fewest digits of float32, or such values of named parts.

    Zeros may be far from all of them: contexts have units of their own. None for a model of classes, or of nothing.
    """
    condition = bundle.manifest.condition
    if condition is None or condition.kind == "classes":
        return None
    if condition.kind == "vector":
        return [float(str(number)) for number in golden_context(bundle)]
    return {name: _short(value) for name, value in golden_parts(bundle).items()}


def _short(value: Array) -> Any:
    """An array as JSON values in the fewest digits of its type."""
    if value.ndim:
        return [_short(each) for each in value]
    return int(value) if value.dtype.kind in "iu" else float(str(value))
