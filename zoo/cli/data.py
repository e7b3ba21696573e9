"""``zoo data``: what a file or folder holds, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._data import NAMES, data_options, stated
from zoo.cli._text import echo, facts, table
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.arrays import Array
    from zoo.data import Dataset
    from zoo.reading.building import Built
    from zoo.reading.columns import Described
    from zoo.reading.finding import Opened


@click.command("data")
@click.argument("path", metavar="FILE")
@data_options
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Picture of the columns or of some samples: .png."
)
@click.option("--force", is_flag=True, help="Replace the picture.")
@json_option
@pass_app
def command(app: App, /, path: str, output: Path | None, force: bool, **parsed: Any) -> None:
    """Look at data to train on.

    FILE is a file, a folder, or module:function, whose code is then run. For a table this shows the kind of each column
    as `zoo train --data` would treat it, its missing cells, the grain of rounded numbers and its categories; for
    pictures, recordings and texts their shape and classes; and for all of them the sizes of the splits.

    \b
    zoo data people.csv
    zoo data people.csv --missing drop -o people.png
    zoo data photos/ --resize 32
    """
    from zoo.errors import DataError
    from zoo.reading import building, finding
    from zoo.reading.content import Rows
    from zoo.render.files import check_writable

    if output is not None:
        if output.suffix.lower() != ".png":
            raise UsageError(f"{output}: the picture is a .png")
        check_writable(output, replace=force)
    opened = finding.opened(path, stated(**{name: parsed[name] for name in NAMES}), app.registry)
    columns = building.recognised(opened.content, opened.options) if isinstance(opened.content, Rows) else []
    built: Built | None = None
    problem = ""
    try:
        built = opened.built()
    except DataError as error:  # the columns are shown all the same
        problem = f"{error}{f' {error.hint}' if error.hint else ''}"
    told = _told(opened, columns, built, problem, finding.digest(path))
    if output is not None:
        _draw(opened, columns, built, output)
        app.say(f"wrote {output}")
    if app.json:
        app.emit(told)
        return
    if columns:
        table(["column", "kind", "missing", "distinct", "grain", "values", ""], [_row(column) for column in columns])
        echo()
    hidden = ("columns", "notes", "problem")
    facts([(name.replace("_", " "), _words(value)) for name, value in told.items() if name not in hidden])
    if problem:
        app.say(f"not ready to train on: {problem}")
    elif built is not None:
        for note in built.notes:
            app.say(note)


def _told(opened: Opened, columns: list[Described], built: Built | None, problem: str, digest: str) -> dict[str, Any]:
    """Everything that is shown, as JSON values."""
    told: dict[str, Any] = {"name": opened.name, "reader": opened.reader, "sha256": digest}
    if columns:
        told |= {"rows": columns[0].rows, "columns": [column.describe() for column in columns]}
    if built is None:
        return {**told, "problem": problem}
    data = built.data
    sizes = {name: len(getattr(data, name)) for name in ("train", "validation", "test")}
    told |= {"event_shape": list(data.event_shape), "split": sizes}
    if data.levels is not None:
        told["levels"] = data.levels
    if data.modality is not None:
        told["modality"] = data.modality.kind
    if data.labels:
        told["classes"] = _counted(data)
    if isinstance(data.train.condition, Mapping):
        told["parts"] = {name: _form(part) for name, part in data.train.condition.items()}
    if "condition" in data.extra:
        told["condition"] = data.extra["condition"]
    told |= {name: data.extra[name] for name in ("bounds", "circular") if name in data.extra}
    return {**told, "notes": list(built.notes)}


def _words(value: object) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(_words, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _form(part: Array) -> str:
    """What the values of a part are, of one sample."""
    from zoo.arrays import is_ragged

    return "of lengths of their own" if is_ragged(part) else f"{part.dtype} [{', '.join(map(str, part.shape[1:]))}]"


def _counted(data: Dataset) -> dict[str, int]:
    """How many samples each class has."""
    import numpy as np

    parts = [split.condition for split in (data.train, data.validation, data.test)]
    classes = np.concatenate([part for part in parts if isinstance(part, np.ndarray)])
    counts = np.bincount(classes.astype(np.int64), minlength=len(data.labels))
    return {label: int(count) for label, count in zip(data.labels, counts, strict=True)}


def _row(column: Described) -> list[str]:
    values = ", ".join(value or "''" for value in column.values[:5]) + (", ..." if len(column.values) > 5 else "")
    if column.minimum is not None:
        low, high = (f"{v:g}" if isinstance(v, float) else str(v) for v in (column.minimum, column.maximum))
        values = f"{low} to {high}"
    grain = "" if column.grain is None else f"{column.grain:g}"
    note = column.note if column.used else f"left out{f': {column.note}' if column.note else ''}"
    return [column.name, column.kind, str(column.missing or ""), str(column.distinct), grain, values, note]


def _draw(opened: Opened, columns: list[Described], built: Built | None, path: Path) -> None:
    """Histograms of the columns, or some samples.

    Raises:
        UsageError: samples that cannot be drawn.
    """
    import numpy as np

    from zoo.files import atomic_file
    from zoo.reading.content import Rows
    from zoo.render import Extras, write

    if isinstance(opened.content, Rows):
        from zoo.reading.picturing import histograms

        content = histograms(opened.content, columns)
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
        return
    if built is None:
        raise UsageError(f"there is nothing to draw of {opened.name} yet")
    data = built.data
    first = slice(min(64, len(data.train)))
    condition = data.train.condition_at(first)
    extras = Extras(condition if isinstance(condition, Mapping) else None, levels=data.levels, modality=data.modality)
    write(np.asarray(data.train.x[first]), path, extras, replace=True)
