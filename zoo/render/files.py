"""Samples written to a file in the format of its extension. Every file appears complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import OutputError, PluginError, UsageError, ZooError
from zoo.files import atomic_file, check_free
from zoo.lengths import Length
from zoo.modality import Audio, Column, Foreign, Modality
from zoo.registry.cards import Format
from zoo.render import modalities, pairs
from zoo.render.formats import format_of, load, origin
from zoo.render.metadata import write_beside

#: what the names of parts of a condition begin with in files
PART = "condition/"

Density = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True)
class Extras:
    """Metadata of samples; formats omit what they cannot store.

    Attributes:
        condition: int ``[n]`` or float ``[n, d]``; arrays ``[n, ...]``, or ``[1, ...]`` for one value of all samples,
            by the names of parts; or None.
        labels: names of the classes, or of the numbers of a vector.
        part_labels: names of the classes of parts, by the names of these.
        given_columns: columns of the user's table that the condition was made of, in their order; or none.
        levels: number of values of discrete data; samples then lie in [0, levels).
        modality: the meaning of a sample's numbers, where its shape does not tell.
        value_range: (black, white) of a picture; None takes [0, levels - 1], or the samples' own range.
        density: log-density of points, drawn behind samples in one or two dimensions; or None.
        density_seconds: time limit for the density, which determines its resolution; None for no limit.
        columns: of a picture of images; None chooses automatically.
        length: how events of variable length say where they end, or None.
        about: how the samples were drawn, as JSON values; see :mod:`zoo.render.metadata` for where it goes.
    """

    condition: Array | Mapping[str, Array] | None = None
    labels: Sequence[str] = ()
    levels: int | None = None
    modality: Modality | None = None
    value_range: tuple[float, float] | None = None
    density: Density | None = None
    density_seconds: float | None = None
    columns: int | None = None
    length: Length | None = None
    about: Mapping[str, object] = field(default_factory=dict)
    part_labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    given_columns: Sequence[Column] = ()


def named(condition: Array | Mapping[str, Array] | None, n: int) -> dict[str, Array]:
    """The condition of ``n`` samples as arrays of a file by name: ``condition``, or ``condition/<part>``.

    A part with one value for all samples loses its first axis.
    """
    if condition is None:
        return {}
    if isinstance(condition, Mapping):
        values = {name: value[0] if len(value) == 1 != n else value for name, value in condition.items()}
        # not np.ascontiguousarray, which gives a class an axis
        return {f"{PART}{name}": np.asarray(value, order="C") for name, value in values.items()}
    return {"condition": np.ascontiguousarray(condition)}


def condition_in(arrays: Mapping[str, Array]) -> Array | dict[str, Array] | None:
    """The condition among the arrays of a file, as :func:`named` stores it."""
    parts = {name.removeprefix(PART): array for name, array in arrays.items() if name.startswith(PART)}
    return parts or arrays.get("condition")


def write(samples: Array, path: Path, extras: Extras | None = None, *, replace: bool = False) -> None:
    """Write samples in the format that the extension of ``path`` names, see :mod:`zoo.render.formats`.

    Args:
        samples: ``[n, *event]``.
        path: the file.
        extras: metadata to write or to draw with.
        replace: whether to replace an existing file.

    Raises:
        UsageError: unknown extension, or samples of a shape that a picture cannot show.
        PluginError: the writer of a plugin cannot be loaded, or fails.
        OutputError: the file exists and may not be replaced, or cannot be written.
    """
    path, extras = Path(path), extras or Extras()
    check_output(path, samples.shape[1:], extras.modality, replace=replace, length=extras.length)
    content = _written(samples, format_of(path), extras)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    write_beside(path, extras.about)


def content(samples: Array, name: str, extras: Extras | None = None) -> bytes:
    """The content of a file of samples ``[n, *event]``, for a pipe.

    Args:
        samples: ``[n, *event]``.
        name: of the file, whose extension names the format.
        extras: as for :func:`write`.

    Raises:
        UsageError, PluginError: as for :func:`write`.
    """
    return _written(samples, format_of(Path(name)), extras or Extras())


def _written(samples: Array, described: Format, extras: Extras) -> bytes:
    """The content of a file."""
    writer = load(described, "writer")
    try:
        content = writer(samples, extras)
    except ZooError:
        raise
    except Exception as error:
        told = f"the writer of .{described.name}{origin(described)} failed: {type(error).__name__}: {error}"
        raise PluginError(told, hint="Write another format instead.") from error
    if not isinstance(content, bytes):
        kind = type(content).__name__
        raise PluginError(f"the writer of .{described.name}{origin(described)} returned a {kind}, not bytes")
    return content


def check_output(
    path: Path,
    event_shape: tuple[int, ...],
    modality: Modality | None = None,
    *,
    replace: bool = False,
    length: Length | None = None,
) -> None:
    """Refuse, before any work is done, a file that :func:`write` could not write.

    Raises:
        UsageError: unknown extension, events of a shape that a picture cannot show, or of another modality.
        OutputError: the file exists and may not be replaced, or its folder is missing or cannot be written.
    """
    path = Path(path)
    described = format_of(path, lambda each: each.writer)
    if length is not None and isinstance(modality, Audio):
        event_shape = length.content_shape(event_shape)
    if described.modality and described.modality != getattr(modality, "kind", None):
        raise UsageError(
            f"these samples are not {modalities.called(described.modality)}",
            hint=f"Write them to {path.with_suffix(default_suffix(event_shape, modality)).name} instead.",
        )
    if described.fits and (reason := load(described, "fits")(event_shape, modality)) is not None:
        safe = " or ".join(path.with_suffix(suffix).name for suffix in (".npy", ".safetensors"))
        raise UsageError(reason, hint=f"Write them to {safe} instead.")
    check_writable(path, replace=replace)


def check_numbers(path: Path, *, replace: bool = False) -> None:
    """Refuse a file that cannot hold plain numbers, such as log-densities or noise; raises as :func:`check_output`."""
    path = Path(path)
    described = format_of(path, lambda each: each.writer and not each.picture and not each.modality)
    if described.fits and (reason := load(described, "fits")((), None)) is not None:
        raise UsageError(reason)
    check_writable(path, replace=replace)


def check_writable(path: Path, *, replace: bool) -> None:
    """Refuse a file that exists and may not be replaced, or a folder that is missing or cannot be written.

    Raises:
        OutputError: with the reason.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder")
    check_free(path, replace=replace)
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {folder}", hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: the folder {folder} cannot be written")


def picture_of(event_shape: tuple[int, ...], modality: Modality | None = None) -> str | None:
    """The type of picture for such events, or None: ``"images"``, ``"sequences"``, ``"scatter"``, ``"histogram"``,
    ``"pairs"``, or ``"own"`` for a modality that draws itself, such as recordings."""
    described = modalities.kind_of(modality)
    if described is not None and described.draw:
        return "own"
    if len(event_shape) == 3 and event_shape[0] in (1, 3):
        return "images"
    # the axes of a plugin's samples may mean anything
    if len(event_shape) == 2 and not isinstance(modality, Foreign):
        return "sequences"
    if event_shape == (2,):
        return "scatter"
    if event_shape in ((), (1,)):
        return "histogram"
    return "pairs" if pairs.fits(event_shape, modality) else None


def default_suffix(event_shape: tuple[int, ...], modality: Modality | None = None) -> str:
    """The default extension of such samples: their modality's, else ``".png"`` if a picture shows all that they are, or
    ``".npy"``."""
    described = modalities.kind_of(modality)
    if described is not None and described.suffix:
        return described.suffix
    foreign = modality if isinstance(modality, Foreign) else None
    return ".npy" if picture_of(event_shape, foreign) in (None, "pairs") else ".png"
