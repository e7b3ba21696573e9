"""Python objects as data: arrays, data frames of pandas, polars or pyarrow, and torch data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.conditions import Condition
from zoo.data import Split, ragged
from zoo.errors import DataError
from zoo.parts import Part
from zoo.reading.cells import of_values
from zoo.reading.columns import STEPS, Described, described
from zoo.reading.content import Cells, Rows, Samples
from zoo.render.files import PART

#: mapped arrays that take more bytes than this stay in their file
IN_MEMORY = 1 << 28
#: arrays of more columns than this are not looked at column by column
_WIDEST = 4096
#: numbers of a large array that are looked at at once, and the fewest rows
_LOOKED_AT, _FEWEST = 1 << 20, 100
_SAMPLES = ("samples", "x", "X", "data", "theta", "arr_0")
_CONDITIONS = ("condition", "conditions", "y", "labels", "c", "context")


def content_of(value: Any, *, condition: Any = None) -> Rows | Samples:
    """An array, a frame, arrays by name, a pair of samples and conditions, or a torch data set.

    Args:
        value: the data.
        condition: conditions ``[n]`` or ``[n, d]``, a mapping of them by the names of parts, or None.

    Raises:
        DataError: anything else.
    """
    if isinstance(value, (Rows, Samples)):
        content = value
    elif is_frame(value):
        content = of_frame(value)
    elif isinstance(value, Mapping):
        content = of_arrays({str(name): _numpy(each, str(name)) for name, each in value.items()})
    elif isinstance(value, tuple) and len(value) == 2:
        content, condition = of_array(_numpy(value[0], "the samples")), value[1] if condition is None else condition
    elif not hasattr(value, "__array__") and hasattr(value, "__getitem__") and hasattr(value, "__len__"):
        content = _of_items(value)
    else:
        content = of_array(_numpy(value, "the data"))
    if isinstance(condition, Mapping):
        return with_parts(content, condition)
    return content if condition is None else with_condition(content, _numpy(condition, "given"))


def is_frame(value: Any) -> bool:
    """Whether it is a table of pandas, polars or pyarrow."""
    return type(value).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow") and hasattr(value, "columns")


def of_frame(frame: Any) -> Rows:
    """The columns of a table of pandas, polars or pyarrow."""
    columns: dict[str, Cells] = {}
    names = frame.column_names if hasattr(frame, "column_names") else list(frame.columns)
    for name in names:
        heading = str(name)
        if heading in columns:
            raise DataError(f"the table has two columns with the heading {heading!r}")
        columns[heading] = of_values(_column(frame, name), heading)
    return Rows(columns)


def _column(frame: Any, name: Any) -> Array:
    """A column as an array of numbers, or of Python objects with None for what is missing."""
    module = type(frame).__module__.partition(".")[0]
    series = frame.column(name) if module == "pyarrow" else frame[name]
    if module == "pyarrow" and series.null_count == 0 and str(series.type) in ("double", "float", "int64", "int32"):
        numbers: Array = series.to_numpy()
        return numbers
    if module == "pandas":
        values: Array = series.to_numpy()
        return values
    if module == "polars" and series.null_count() == 0 and series.dtype.is_numeric():
        return np.asarray(series.to_numpy())
    listed = series.to_pylist() if module == "pyarrow" else series.to_list()
    objects = np.empty(len(listed), object)
    objects[:] = listed
    return objects


def of_array(array: Array) -> Rows | Samples:
    """Samples ``[n, ...]``: rows of numbers, or samples with more axes.

    Raises:
        DataError: no axis of samples, or neither numbers nor a structured array.
    """
    if array.dtype.names:
        return Rows({name: of_values(np.asarray(array[name]), name) for name in array.dtype.names})
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise DataError(f"the samples are numbers [n, ...], not {array.dtype} of shape {array.shape}")
    if not len(array):
        raise DataError("there are no samples")
    samples = array if array.ndim > 1 else array[:, None]
    pixels = samples.ndim > 2 or samples.shape[1] > _WIDEST
    if pixels:
        levels = 256 if array.dtype == np.uint8 else None
        # whole numbers are rounded; bytes of pictures say so by their levels
        return Samples(samples, levels=levels, grain=1.0 if array.dtype.kind in "iu" and levels is None else None)
    if isinstance(array, np.memmap):
        grain, notes = _rounding(samples)
        return Samples(samples, grain=grain, notes=notes)
    return Rows({f"x{i}": of_values(samples[:, i], f"x{i}") for i in range(samples.shape[1])}, headed=False)


def _rounding(array: Array) -> tuple[float | None, tuple[str, ...]]:
    """The width that the numbers ``[n, d]`` of a large array are rounded to, or None; and notes.

    It is that of the columns of some rows, spread over the array, and holds for all rows, or it is none.
    """
    if array.dtype.kind not in "fiu":
        return None, ()
    count = min(len(array), max(_FEWEST, _LOOKED_AT // array.shape[1]))
    some = np.array(array[np.linspace(0, len(array) - 1, count).astype(np.int64)])
    grain, notes = _common([described(f"x{i}", of_values(some[:, i], f"x{i}")) for i in range(some.shape[1])])
    rows = max(_LOOKED_AT // array.shape[1], 1)
    if grain is not None and all(_multiples(array[i : i + rows], grain) for i in range(0, len(array), rows)):
        return grain, ()
    return (None, notes) if array.dtype.kind == "f" else (1.0, ())


def _multiples(x: Array, grain: float) -> bool:
    """Whether numbers that are not missing are multiples of a width, but for the last digits of their type."""
    quotients = x.astype(np.float64) / grain
    steps = np.round(quotients)
    last = float(np.finfo(x.dtype).eps) if x.dtype.kind == "f" else 0.0
    near = np.abs(quotients - steps) <= 4 * last * np.maximum(np.abs(steps), 1.0)
    # beyond so many, float32 cannot resolve them
    return bool((near & (np.abs(steps) <= STEPS))[np.isfinite(quotients)].all())


def _common(columns: Sequence[Described]) -> tuple[float | None, tuple[str, ...]]:
    """The width that the numbers of all columns are rounded to, or None, and a note if these differ."""
    grains = {column.grain for column in columns if column.kind != "constant"}
    if len(grains) <= 1:
        return next(iter(grains), None), ()
    names = [repr(column.name) for column in columns if column.grain is not None]
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return None, (f"columns are rounded to different steps, and {listed} get no noise within theirs",)


def of_arrays(arrays: Mapping[str, Array], *, samples: str = "", condition: str = "") -> Rows | Samples:
    """Arrays by name: samples and their condition, or the parts of it, or the columns of a table.

    Parts have names like ``condition/arm``, as in files of samples.

    Args:
        arrays: by name.
        samples: the name of the samples; empty to recognise it.
        condition: the name of the condition; empty to recognise it.

    Raises:
        DataError: no such array, or it is not clear which are the samples.
    """
    arrays = {name: each for name, each in arrays.items() if name != "about"}
    parts: dict[str, Array] = {}
    if not condition:
        parts = {name.removeprefix(PART): each for name, each in arrays.items() if name.startswith(PART)}
        arrays = {name: each for name, each in arrays.items() if not name.startswith(PART)}
    for name in filter(None, (samples, condition)):
        if name not in arrays:
            raise DataError(f"there is no array {name!r}; there are {', '.join(arrays)}")
    one_column = all(each.ndim == 1 for each in arrays.values())
    known = samples or next((name for name in _SAMPLES if name in arrays), "")
    if len(arrays) == 1:
        known = next(iter(arrays))
    if parts and known:
        whole = with_parts(of_array(arrays[known]), _unpadded(parts))
        return replace(whole, notes=(*whole.notes, *_unused([name for name in arrays if name != known])))
    if one_column and len(arrays) > 1 and not samples:
        return Rows({name: of_values(each, name) for name, each in arrays.items()})
    if not known:
        raise DataError(
            f"it is not clear which array holds the samples: there are {', '.join(arrays)}",
            hint="Name it: -D samples=NAME, and -D condition=NAME for the condition.",
        )
    others = condition or next((name for name in _CONDITIONS if name in arrays and name != known), "")
    content = of_array(arrays[known])
    content = with_condition(content, arrays[others]) if others else content
    unused = [name for name in arrays if name not in (known, others)]
    return replace(content, notes=(*content.notes, *_unused(unused)))


def _unused(names: Sequence[str]) -> tuple[str, ...]:
    return (f"the arrays {', '.join(names)} are not used",) if names else ()


def _unpadded(parts: Mapping[str, Array]) -> dict[str, Array]:
    """Parts without their masks ``NAME_mask``, which say where tokens and sequences end."""
    unpadded = {}
    for name, values in parts.items():
        mask = parts.get(f"{name}_mask")
        if name.endswith("_mask") and name.removesuffix("_mask") in parts:
            continue
        unpadded[name] = values if mask is None else _cut(name, values, mask)
    return unpadded


def _cut(name: str, values: Array, mask: Array) -> Array:
    fits = mask.ndim == 2 and mask.dtype.kind in "biuf" and values.shape[:2] == mask.shape
    lengths = mask.sum(1) if fits else np.zeros(0)
    if not fits or not np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None]):
        raise DataError(
            f"the mask {name}_mask of part {name} of the conditions is [n, length], and 1 up to an end and then 0"
        )
    return ragged(values, lengths)


def with_parts(content: Rows | Samples, parts: Mapping[str, Any]) -> Samples:
    """Samples with named parts of a condition for each, as :class:`zoo.data.Split` takes them.

    Raises:
        DataError: the numbers of values and samples differ, or values that are no arrays.
    """
    samples = content if isinstance(content, Samples) else plain(content)
    arrays = {str(name): _numpy(each, str(name)) if hasattr(each, "detach") else each for name, each in parts.items()}
    checked = Split(np.zeros(len(samples)), arrays).condition
    return replace(samples, condition=checked, labels=())


def parts_of(values: Mapping[str, Array]) -> Condition | None:
    """The parts that arrays by name are: whole numbers ``[n]`` are classes, and numbers ``[n, d]`` are such.

    None where one of them could be more than one thing, such as a picture or a text, and has to be described.
    """
    parts = []
    for name, each in values.items():
        if each.ndim == 1 and each.dtype.kind in "iu" and each.min() >= 0:
            parts.append(Part(name, "classes", size=int(each.max()) + 1))
        elif each.ndim == 2 and each.dtype.kind == "f":
            parts.append(Part(name, "numbers", (each.shape[1],)))
        else:
            return None
    return Condition(tuple(parts))


def with_condition(content: Rows | Samples, condition: Array) -> Samples:
    """Samples with a condition for each: classes ``[n]`` as whole numbers or texts, or numbers ``[n]``, ``[n, d]``.

    Raises:
        DataError: the numbers of conditions and samples differ, or the conditions are neither classes nor numbers.
    """
    if len(condition) != len(content):
        raise DataError(f"{len(content)} samples come with {len(condition)} conditions")
    samples = content if isinstance(content, Samples) else plain(content)
    labels: tuple[str, ...] = ()
    if condition.ndim == 1 and condition.dtype.kind in "UOb":
        names, condition = np.unique(condition.astype(str), return_inverse=True)
        labels, condition = tuple(map(str, names)), condition.astype(np.int32)
    elif condition.ndim == 1 and condition.dtype.kind == "f":
        condition = condition[:, None]
    if condition.ndim > 2 or condition.dtype.kind not in "fiu" or (condition.ndim == 1 and condition.min() < 0):
        raise DataError(
            f"conditions are classes [n] from 0 up or numbers [n, d], not {condition.dtype} {condition.shape}"
        )
    if condition.ndim == 1 and len(condition) and int(condition.max()) >= 2**31:
        raise DataError(f"classes count from 0 up, below 2^31, and one is {int(condition.max())}")
    condition = condition.astype(np.int32) if condition.ndim == 1 else condition.astype(np.float32)
    return replace(samples, condition=condition, labels=labels)


def plain(rows: Rows) -> Samples:
    """The columns of a table as one array."""
    for name, cells in rows.columns.items():
        if cells.missing.any() or cells.values.dtype.kind not in "fiub":
            raise DataError(
                f"column {name!r} holds more than numbers: name the given columns instead of passing an array"
            )
    columns = [described(name, cells) for name, cells in rows.columns.items()]
    grain, told = _common(columns)
    notes = (f"{each}: name the given columns instead of passing an array, and they do" for each in told)
    return Samples(
        np.stack([cells.values for cells in rows.columns.values()], 1).astype(np.float32),
        grain=grain,
        splits=rows.splits,
        notes=(*rows.notes, *notes),
        headings=tuple(rows.columns),
    )


def _of_items(items: Any) -> Rows | Samples:
    """A torch data set with an item for each sample, or pairs of a sample and its condition."""
    if not len(items):
        raise DataError("there are no samples")
    each = [items[i] for i in range(len(items))]
    if isinstance(each[0], Mapping):
        names = list(each[0])
        return of_arrays({str(n): _numpy([item[n] for item in each], str(n)) for n in names})
    if isinstance(each[0], (tuple, list)) and isinstance(items, (list, tuple)) is False and len(each[0]) <= 2:
        x = _numpy([np.asarray(item[0]) for item in each], "the samples")
        if len(each[0]) == 1:
            return of_array(x)
        return with_condition(of_array(x), _numpy([np.asarray(item[1]) for item in each], "the conditions"))
    return of_array(_numpy([np.asarray(item) for item in each], "the samples"))


def _numpy(value: Any, what: str) -> Array:
    """A value as an array; a tensor is copied to the CPU."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        large = isinstance(value, np.memmap) and value.nbytes > IN_MEMORY
        array: Array = value if large else np.asarray(value)
    except Exception as error:  # whatever NumPy or a library raises
        told = " ".join(str(error).split())[:200]
        raise DataError(f"{what} cannot be converted to an array: {told}") from error
    if array.dtype.kind == "O" and array.ndim != 1:
        raise DataError(
            f"{what} holds Python objects or arrays of different shapes, which cannot be converted to one array"
        )
    return array
