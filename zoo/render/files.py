"""Samples written to a file in the format of its extension. Every file appears complete or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import OutputError, UsageError
from zoo.files import atomic_file, check_free
from zoo.modality import Audio, Modality, Table, Text
from zoo.render import audio, tables, text

#: extension -> content
FORMATS = {
    ".csv": "one flattened sample per row, with a header",
    ".npy": "one NumPy array",
    ".npz": "NumPy arrays: samples, condition, and how they were drawn",
    ".png": "a picture",
    ".txt": "one text per line, for models of texts",
    ".safetensors": "tensors samples and condition, and how they were drawn as metadata",
    ".wav": "recordings, one after another",
}

Density = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True)
class Extras:
    """Metadata of samples; formats omit what they cannot store.

    Attributes:
        condition: int ``[n]`` or float ``[n, d]``, or None.
        labels: names of the classes.
        levels: number of values of discrete data; samples then lie in [0, levels).
        modality: the meaning of a sample's numbers, where its shape does not tell.
        value_range: (black, white) of a picture; None takes [0, levels - 1], or the samples' own range.
        density: log-density of points, drawn behind samples in one or two dimensions; or None.
        density_seconds: time limit for the density, which determines its resolution; None for no limit.
        columns: of a picture of images; None chooses automatically.
        about: how the samples were drawn, as JSON values.
    """

    condition: NDArray[Any] | None = None
    labels: Sequence[str] = ()
    levels: int | None = None
    modality: Modality | None = None
    value_range: tuple[float, float] | None = None
    density: Density | None = None
    density_seconds: float | None = None
    columns: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def write(samples: NDArray[Any], path: Path, extras: Extras | None = None, *, replace: bool = False) -> None:
    """Write samples in the format that the extension of ``path`` names, one of :data:`FORMATS`.

    Args:
        samples: ``[n, *event]``.
        path: the file.
        extras: metadata to write or to draw with.
        replace: whether to replace an existing file.

    Raises:
        UsageError: unknown extension, or samples of a shape that a picture cannot show.
        OutputError: the file exists and may not be replaced, or cannot be written.
    """
    path, extras = Path(path), extras or Extras()
    check_output(path, samples.shape[1:], extras.modality, replace=replace)
    content = _WRITERS[path.suffix.lower()](samples, extras)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def check_output(
    path: Path, event_shape: tuple[int, ...], modality: Modality | None = None, *, replace: bool = False
) -> None:
    """Refuse, before any work is done, a file that :func:`write` could not write.

    Raises:
        UsageError: unknown extension, events of a shape that a picture cannot show, or of another modality.
        OutputError: the file exists and may not be replaced, or its folder is missing or cannot be written.
    """
    path = Path(path)
    check_suffix(path, FORMATS)
    if path.suffix.lower() == ".txt" and not isinstance(modality, Text):
        raise UsageError(
            "these samples are not texts",
            hint=f"Write them to {path.with_suffix(default_suffix(event_shape, modality)).name} instead.",
        )
    if path.suffix.lower() == ".wav" and not isinstance(modality, Audio):
        raise UsageError(
            "these samples are not recordings",
            hint=f"Write them to {path.with_suffix(default_suffix(event_shape, modality)).name} instead.",
        )
    if path.suffix.lower() == ".png" and picture_of(event_shape, modality) is None:
        shape = " x ".join(map(str, event_shape)) or "none"
        raise UsageError(
            f"samples of shape {shape} cannot be drawn, only images [1 or 3, height, width], points, numbers, "
            "recordings",
            hint=f"Write them to {path.with_suffix('.npy').name} or {path.with_suffix('.safetensors').name} instead.",
        )
    check_writable(path, replace=replace)


def check_suffix(path: Path, known: Mapping[str, str]) -> None:
    """Refuse an unknown extension.

    Raises:
        UsageError: with a list of known ones.
    """
    if path.suffix.lower() not in known:
        what = (
            f"the extension {path.suffix!r} of {path.name}" if path.suffix else f"{path.name} has no extension, which"
        )
        told = f"{what} determines the format" if not path.suffix else f"{what} is not a known format"
        raise UsageError(told, hint="There are: " + "; ".join(f"{s} ({meaning})" for s, meaning in known.items()) + ".")


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
    """The type of picture for such events: ``"images"``, ``"scatter"``, ``"histogram"``, ``"recordings"``, or None."""
    if isinstance(modality, Audio):
        return "recordings"
    if len(event_shape) == 3 and event_shape[0] in (1, 3):
        return "images"
    if event_shape == (2,):
        return "scatter"
    return "histogram" if event_shape in ((), (1,)) else None


def default_suffix(event_shape: tuple[int, ...], modality: Modality | None = None) -> str:
    """The default extension of such samples: ``".png"`` if they can be drawn, else ``".npy"``."""
    if isinstance(modality, Audio):
        return ".wav"
    if isinstance(modality, Table):
        return ".csv"
    if isinstance(modality, Text):
        return ".txt"
    return ".npy" if picture_of(event_shape) is None else ".png"


def _png(samples: NDArray[Any], extras: Extras) -> bytes:
    picture = picture_of(samples.shape[1:], extras.modality)
    classes = extras.condition if extras.condition is not None and extras.condition.ndim == 1 else None
    if isinstance(extras.modality, Audio):
        from zoo.render.spectrograms import draw_recordings

        rate, labels = extras.modality.sample_rate, extras.labels
        return draw_recordings(samples, rate, classes=classes, labels=labels, columns=extras.columns)
    if picture == "images":
        from zoo.render.images import draw_images

        return draw_images(
            samples, classes=classes, levels=extras.levels, value_range=extras.value_range, columns=extras.columns
        )
    from zoo.render.points import draw_histogram, draw_scatter

    return (draw_scatter if picture == "scatter" else draw_histogram)(samples, extras.density, extras.density_seconds)


def _wav(samples: NDArray[Any], extras: Extras) -> bytes:
    assert isinstance(extras.modality, Audio)
    return audio.encoded(samples, extras.modality)


def _npy(samples: NDArray[Any], extras: Extras) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, samples, allow_pickle=False)
    return buffer.getvalue()


def _npz(samples: NDArray[Any], extras: Extras) -> bytes:
    buffer = io.BytesIO()
    arrays = {"samples": samples, "about": np.array(json.dumps(dict(extras.about)))}
    if extras.condition is not None:
        arrays["condition"] = extras.condition
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _safetensors(samples: NDArray[Any], extras: Extras) -> bytes:
    from safetensors.numpy import save

    arrays = {"samples": np.ascontiguousarray(samples)}
    if extras.condition is not None:
        arrays["condition"] = np.ascontiguousarray(extras.condition)
    return save(arrays, metadata={key: json.dumps(value) for key, value in extras.about.items()} or None)


def _csv(samples: NDArray[Any], extras: Extras) -> bytes:
    """The columns of a table, or x0, x1, ... (x_0_1 for element [0, 1] of an event); then condition."""
    event_shape = samples.shape[1:]
    if isinstance(extras.modality, Table):
        columns, rows = tables.texts(samples, extras.modality)
    else:
        columns = ["x" + "_".join(map(str, index)) for index in np.ndindex(event_shape)]
        rows = [[_shortest(v) for v in sample] for sample in samples.reshape(len(samples), -1)]
    condition = extras.condition
    if condition is not None:
        columns += ["condition"] if condition.ndim == 1 else [f"condition{i}" for i in range(condition.shape[1])]
        names = np.array(extras.labels) if condition.ndim == 1 and extras.labels else None
        for row, value in zip(rows, condition, strict=True):
            row += [str(names[value])] if names is not None else [_shortest(v) for v in np.atleast_1d(value)]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    return file.getvalue().encode()


def _txt(samples: NDArray[Any], extras: Extras) -> bytes:
    assert isinstance(extras.modality, Text)
    return "".join(f"{line}\n" for line in text.texts(samples, extras.modality)).encode()


def _shortest(value: Any) -> str:
    """The shortest decimal that reads back as the same number of the same type."""
    return np.format_float_positional(value, trim="-") if 1e-5 < abs(value) < 1e16 else str(value)


_WRITERS: dict[str, Callable[[NDArray[Any], Extras], bytes]] = {
    ".csv": _csv,
    ".npy": _npy,
    ".npz": _npz,
    ".png": _png,
    ".txt": _txt,
    ".safetensors": _safetensors,
    ".wav": _wav,
}
