"""The writers of the built-in formats: samples and what is known of them to the bytes of a file."""

from __future__ import annotations

import csv as csv_files
import io
import json
from collections.abc import Mapping

import numpy as np

from zoo.arrays import Array
from zoo.modality import Audio, Modality, Table, Text
from zoo.render import audio, conditional, modalities, pairs, tables, text
from zoo.render.files import Extras, named, picture_of
from zoo.render.metadata import in_png, in_wav
from zoo.weights import serialized

#: the name of the array or column that holds a log-density for each sample
SCORES = "log_prob"


def unpictured(event_shape: tuple[int, ...], modality: Modality | None) -> str | None:
    """Why such events cannot be drawn, or None if they can."""
    if picture_of(event_shape, modality) is not None:
        return None
    shape = " x ".join(map(str, event_shape)) or "none"
    drawn = f"images [1 or 3, height, width], sequences, points, and up to {pairs.MOST} numbers"
    return f"samples of shape {shape} cannot be drawn, only {drawn}"


def png(samples: Array, extras: Extras) -> bytes:
    """Images, sequences, points, a few numbers, or samples of a modality that draws itself; see :func:`picture_of`."""
    content = _picture(samples, extras)
    return in_png(content, {"about": dict(extras.about)}) if extras.about else content


def _picture(samples: Array, extras: Extras) -> bytes:
    described = modalities.kind_of(extras.modality)
    if described is not None and described.draw:
        return modalities.drawn(described, samples, extras)
    picture = picture_of(samples.shape[1:])
    classes = _classes(extras)
    if picture == "images":
        from zoo.render.images import draw_images

        return draw_images(
            samples, classes=classes, levels=extras.levels, value_range=extras.value_range, columns=extras.columns
        )
    if picture == "sequences":
        from zoo.render.sequences import draw_sequences

        return draw_sequences(samples, extras)
    table = extras.modality if isinstance(extras.modality, Table) else None
    if pairs.fits(samples.shape[1:], table):
        return pairs.draw_pairs(samples, table)
    from zoo.render.points import draw_histogram, draw_scatter

    if picture == "scatter":
        names = [] if table is None else [column.name for column in table.columns]
        return draw_scatter(samples, extras.density, extras.density_seconds, names)
    return draw_histogram(samples, extras.density, extras.density_seconds)


def recordings(samples: Array, extras: Extras) -> bytes:
    """Recordings as a picture."""
    from zoo.render.spectrograms import draw_recordings

    assert isinstance(extras.modality, Audio)
    if extras.length is not None:
        samples = extras.length.content(samples)
    rate, labels = extras.modality.sample_rate, extras.labels
    return draw_recordings(samples, rate, classes=_classes(extras), labels=labels, columns=extras.columns)


def _name(samples: Array) -> str:
    """What an array is called in a file of several: a number for each sample is its log-density."""
    return "samples" if samples.ndim > 1 else SCORES


def _classes(extras: Extras) -> Array | None:
    """The class of each sample, if that is their condition."""
    plain = None if isinstance(extras.condition, Mapping) else extras.condition
    return plain if plain is not None and plain.ndim == 1 else None


def wav(samples: Array, extras: Extras) -> bytes:
    """Recordings, one after another."""
    assert isinstance(extras.modality, Audio)
    if extras.length is None:
        content = audio.encoded(samples, extras.modality)
    else:
        content = audio.encoded(extras.length.content(samples), extras.modality, extras.length.lengths(samples))
    return in_wav(content, extras.about) if extras.about else content


def npy(samples: Array, extras: Extras) -> bytes:
    """One array."""
    buffer = io.BytesIO()
    np.save(buffer, samples, allow_pickle=False)
    return buffer.getvalue()


def npz(samples: Array, extras: Extras) -> bytes:
    """Arrays by name."""
    buffer = io.BytesIO()
    arrays = {_name(samples): samples, "about": np.array(json.dumps(dict(extras.about)))}
    arrays |= named(extras.condition, len(samples))
    if extras.length is not None:
        arrays["length"] = extras.length.lengths(samples)
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def safetensors(samples: Array, extras: Extras) -> bytes:
    """Tensors by name."""
    arrays = {_name(samples): samples, **named(extras.condition, len(samples))}
    if extras.length is not None:
        arrays["length"] = extras.length.lengths(samples)
    return tensors(arrays, extras.about)


def tensors(arrays: Mapping[str, Array], about: Mapping[str, object]) -> bytes:
    """The content of a safetensors file with arrays by name, and how they were made."""
    return serialized(arrays, {key: json.dumps(value) for key, value in about.items()})


def csv(samples: Array, extras: Extras) -> bytes:
    """The columns of a table, or x0, x1, ... (x_0_1 for element [0, 1] of an event); then condition."""
    event_shape = samples.shape[1:]
    if isinstance(extras.modality, Table):
        columns, rows = tables.texts(samples, extras.modality)
    elif isinstance(extras.modality, Text) and len(event_shape) == 1:
        columns, rows = ["text"], [[line] for line in text.texts(samples, extras.modality)]
    else:
        columns = ["x" + "_".join(map(str, index)) for index in np.ndindex(event_shape)] if event_shape else [SCORES]
        rows = [[_shortest(v) for v in sample] for sample in samples.reshape(len(samples), -1)]
    if extras.length is not None:
        columns += ["length"]
        for row, value in zip(rows, extras.length.lengths(samples), strict=True):
            row += [str(value)]
    for name, cells in conditional.columns(len(samples), extras).items():
        _add(columns, rows, name, cells)
    file = io.StringIO()
    csv_files.writer(file, lineterminator="\n").writerows([columns, *rows])
    return file.getvalue().encode()


def _add(columns: list[str], rows: list[list[str]], name: str, cells: conditional.Cells) -> None:
    """Columns of a condition: its words, or its numbers if :func:`conditional.in_row` says so."""
    if isinstance(cells, list):
        columns.append(name)
        for row, cell in zip(rows, cells, strict=True):
            row.append("" if cell is None else cell if isinstance(cell, str) else _shortest(cell))
    elif conditional.in_row(cells):
        places = ["_".join(map(str, index)) for index in np.ndindex(cells.shape[1:])]
        columns += [name] if cells.ndim == 1 else [f"{name}/{place}" for place in places]
        for row, value in zip(rows, cells.reshape(len(cells), len(places)), strict=True):
            row += [_shortest(v) for v in value]


def txt(samples: Array, extras: Extras) -> bytes:
    """Texts, one a line."""
    assert isinstance(extras.modality, Text)
    return "".join(f"{line}\n" for line in text.texts(samples, extras.modality)).encode()


def _shortest(value: float) -> str:
    """The shortest decimal that reads back as the same number of the same type."""
    return np.format_float_positional(value, trim="-") if 1e-5 < abs(value) < 1e16 else str(value)
