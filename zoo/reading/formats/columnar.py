"""Parquet and Arrow: tables with typed columns, by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.errors import DataError, MissingDependencyError
from zoo.reading import objects
from zoo.reading.content import Rows


def parquet(path: Path) -> Rows:
    """The rows of a parquet file.

    Raises:
        DataError: damaged.
        MissingDependencyError: pyarrow is not installed.
    """
    return objects.of_frame(parquet_table(path))


def arrow(path: Path) -> Rows:
    """The rows of a file of Arrow or Feather. Raises as :func:`parquet` does."""
    return objects.of_frame(arrow_table(path))


def parquet_table(path: Path) -> Any:
    """The table of a parquet file; raises as :func:`parquet` does."""
    pyarrow(path)
    import pyarrow.parquet as pq

    return _guarded(path, lambda: pq.read_table(path))


def arrow_table(path: Path) -> Any:
    """The table of an Arrow file, of either of its two forms; raises as :func:`parquet` does."""
    arrow = pyarrow(path)

    def read() -> Any:
        with arrow.memory_map(str(path)) as file:
            try:
                return arrow.ipc.open_file(file).read_all()
            except arrow.ArrowInvalid:
                file.seek(0)
                return arrow.ipc.open_stream(file).read_all()

    return _guarded(path, read)


def pyarrow(path: Path) -> Any:
    """The package, or the error that says how to install it."""
    try:
        import pyarrow as package
        import pyarrow.ipc
    except ImportError as error:
        raise MissingDependencyError("pyarrow", f"read {path.name}", extra="tables") from error
    return package


def _guarded(path: Path, read: Any) -> Any:
    try:
        return read()
    except Exception as error:  # pyarrow raises exceptions of many classes
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error
