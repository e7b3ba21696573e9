"""Columns in Parquet files, whose values may be numbers, texts, or lists of one length; needs pyarrow."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError, MissingDependencyError
from zoo.files import reason_of

#: key of the metadata that says how samples were drawn, and of a column that says the shape of its lists
_ABOUT, _SHAPE = b"genzoo", b"shape"


def arrow_for(what: str) -> Any:
    """The module pyarrow.

    Raises:
        MissingDependencyError: it is not installed, and so one cannot do ``what``.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", what, extra="tables") from error
    return pyarrow


def encoded(columns: Mapping[str, Any], about: Mapping[str, object]) -> bytes:
    """The content of a file with arrays ``[rows, ...]``, or lists of texts and numbers, by name.

    The rows of an array of more dimensions become lists of a fixed length, whose shape the column states.
    """
    arrow = arrow_for("write Parquet files")
    fields, arrays = [], []
    for name, values in columns.items():
        array, shape = _column(arrow, values)
        fields.append(arrow.field(name, array.type, metadata={_SHAPE: json.dumps(shape)} if shape else None))
        arrays.append(array)
    metadata = {_ABOUT: json.dumps(dict(about))} if about else None
    buffer = io.BytesIO()
    arrow.parquet.write_table(arrow.table(arrays, schema=arrow.schema(fields, metadata=metadata)), buffer)
    return buffer.getvalue()


def _column(arrow: Any, values: Any) -> tuple[Any, Sequence[int]]:
    """A column, and the shape of its rows if they are lists."""
    if not isinstance(values, np.ndarray):
        return arrow.array(values), ()
    if values.ndim <= 1:
        return arrow.array(np.ascontiguousarray(values)), ()
    shape = values.shape[1:]
    flat = arrow.array(np.ascontiguousarray(values).reshape(-1))
    return arrow.FixedSizeListArray.from_arrays(flat, int(np.prod(shape))), shape


def decoded(path: Path) -> dict[str, Any]:
    """The columns of a file by name: arrays of numbers ``[rows, ...]``, lists of anything else.

    Raises:
        DataError: it is damaged.
    """
    arrow = arrow_for(f"read {path}")
    try:
        table = arrow.parquet.read_table(path)
        return {field.name: _values(table.column(field.name), field) for field in table.schema}
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is not a Parquet file that can be read: {reason_of(error)}") from error


def _values(column: Any, field: Any) -> Any:
    """The values of a column: an array, of lists of one length ``[rows, *shape]``, or a list of other things."""
    import pyarrow

    if pyarrow.types.is_fixed_size_list(field.type):
        shape = json.loads((field.metadata or {}).get(_SHAPE, f"[{field.type.list_size}]"))
        return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(column), *shape)
    plain = pyarrow.types.is_integer(field.type) or pyarrow.types.is_floating(field.type)
    return column.to_numpy() if plain and column.null_count == 0 else column.to_pylist()


def about(path: Path) -> dict[str, Any]:
    """How the samples of a file were drawn; empty if it does not say."""
    metadata = arrow_for(f"read {path}").parquet.read_schema(path).metadata or {}
    values = json.loads(metadata.get(_ABOUT, b"{}"))
    return values if isinstance(values, dict) else {}
