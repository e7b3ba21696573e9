"""What ``--condition`` stands for: a file or a value, or the named parts of a condition, each a file or a value.

A file may hold one value, which serves all samples, or several: ``k`` values and ``k·m`` samples are ``m`` samples of
each value, one value after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Array
from zoo.bundle import Manifest
from zoo.bundle.example import has_example
from zoo.cli._part_files import as_texts, in_rows, read_json, read_part
from zoo.conditions import Condition, ConditionLike, Part, StoredCondition
from zoo.errors import ConditionError, UsageError
from zoo.render import delimited
from zoo.render.files import PART
from zoo.render.read import TABLES, read_labelled, table_in

if TYPE_CHECKING:
    from zoo.modality import Column
    from zoo.models.sources import Facts
    from zoo.render.delimited import Delimited
    from zoo.samplers.options import Composition

#: files that may hold several parts by their names
_OF_PARTS = (".npz", ".safetensors", ".json")


def condition_from(
    condition: Condition, texts: Sequence[str], option: str = "--condition", columns: Sequence[Column] = ()
) -> ConditionLike:
    """The value of a condition, in one of the forms that ``sample`` takes.

    Args:
        condition: the model's.
        texts: one file, or the value of the only part; or, of named parts, ``NAME=FILE`` or ``NAME=VALUE`` each.
        option: the option that they were given with, for messages.
        columns: the columns of a table that the condition was made of, by whose headings it is found in one.

    Raises:
        UsageError: neither, or a part twice.
        ConditionError: an unknown part, or a text that is neither a file nor a value of the part.
        DataError: a file that cannot be read.
    """
    if columns and len(texts) == 1 and (rows := _of_table(Path(texts[0]), columns)) is not None:
        return rows
    if condition.plain:
        if len(texts) > 1:
            raise UsageError(f"{option} is given {len(texts)} times; this model takes {condition.told} from one file")
        if condition.kind == "vector" and Path(texts[0]).is_file():
            labelled = read_labelled(Path(texts[0]), condition.labels)
            if labelled is not None:
                return labelled[0] if len(labelled) == 1 else labelled
        return _value(condition, condition.parts[0], texts[0], option)
    is_file, named = Path(texts[0]).is_file(), texts[0].startswith(f"{condition.names[0]}=")
    alone = not named if not is_file else not _holds_parts(condition, Path(texts[0]))
    if len(condition.parts) == len(texts) == 1 and alone:
        return {condition.names[0]: _value(condition, condition.parts[0], texts[0], option)}
    if len(texts) == 1 and ("=" not in texts[0] or is_file):
        return _all_parts(condition, Path(texts[0]))
    parts = {part.name: part for part in condition.parts}
    values: dict[str, ArrayLike] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in parts:
            raise ConditionError(
                f"{option} {text!r} does not begin with the name of a part and an equals sign",
                hint=f"The parts are {', '.join(parts)}.",
            )
        if name in values:
            raise UsageError(f"{option} {name} is given twice")
        values[name] = _value(condition, parts[name], value, option)
    return values


def needed_options(manifest: Manifest | None) -> str:
    """The options without which ``zoo run`` draws nothing to look at: an example, or a condition that it needs."""
    condition = None if manifest is None else manifest.condition
    if manifest is None or condition is None or condition.kind == "classes":
        return ""
    if has_example(manifest):
        return " --example"
    return " --condition ..." if condition.required else ""


def _of_table(path: Path, columns: Sequence[Column]) -> ConditionLike:
    """The condition in a table that has all its columns: one value if it has one row; None for another file.

    Raises:
        DataError: a cell that is none of its column, such as an unknown class.
    """
    values: Any = rows_of_table(path, columns)
    if values is None:
        return None
    some = next(iter(values.values())) if isinstance(values, Mapping) else values
    if len(some) > 1:
        return values  # type: ignore[no-any-return]
    return {name: part[0] for name, part in values.items()} if isinstance(values, Mapping) else values[0]


def rows_of_table(path: Path, columns: Sequence[Column]) -> StoredCondition:
    """The conditions in the rows of a table that has all these columns, with their dates and classes.

    Cells of numbers may be missing where a column marks them, as in training. None for a file without all the columns,
    and for columns that are all plain numbers, which :func:`zoo.render.read.read_labelled` finds.

    Raises:
        DataError: a cell that is none of its column, such as an unknown class.
    """
    from zoo.modality import Table
    from zoo.reading.building import Numbers
    from zoo.reading.building import condition_of as made_of
    from zoo.render import tables

    special = any(column.values or column.date or column.marks for column in columns)
    table = table_in(path, {column.name: column.date for column in columns}) if special else None
    if table is None or not {column.name for column in columns if not column.marks} <= set(table.header):
        return None
    cells = table.columns([column.name for column in columns if not column.values and not column.date])
    read, gaps = [], {column.marks for column in columns if column.marks}
    for column in columns:
        texts = cells[column.marks or column.name]
        missing = [text.strip() in delimited.MISSING for text in texts]
        if column.marks:
            read.append(np.array(missing, np.float64))
            continue
        present = [text for text, gone in zip(texts, missing, strict=True) if not (gone and column.name in gaps)]
        # what stands for a missing number means nothing, and is one that the training data may have
        whole = np.full(len(texts), (column.minimum or 0.0) / 2 + (column.maximum or 0.0) / 2)
        kept = np.ones(len(texts), bool) if column.name not in gaps else ~np.array(missing, bool)
        if present:
            whole[kept] = tables.numbers({column.name: present}, Table((column,)), str(path))[:, 0]
        read.append(whole)
    condition: StoredCondition = made_of([Numbers(c, values) for c, values in zip(columns, read, strict=True)])[1]
    return condition


def unread_columns(
    condition: Condition, texts: Sequence[str], columns: Sequence[Column] = (), own: Sequence[str] = ()
) -> str:
    """What is to be said of columns of a table that :func:`condition_from` reads past; empty if there are none.

    Args:
        condition: the model's.
        texts: as of :func:`condition_from`.
        columns: likewise.
        own: headings of the model's own samples, which a row of its data has too.

    Raises:
        DataError: a table that cannot be read.
    """
    path = Path(texts[0]) if len(texts) == 1 else Path()
    table = table_in(path)
    if table is None:
        return ""
    header = table.header
    names = {column.name for column in columns if not column.marks} or set(condition.labels if condition.plain else ())
    if not condition.plain and not names:
        if not (len(condition.parts) > 1 or _holds_parts(condition, path)):
            return ""
        names = {name for name in header if _part_of(name) in _stored_names(condition)}
    elif not names or not names <= set(header):
        named = {name for name in header if name.startswith("condition")}
        names = named or set(header)
    if not (past := [name for name in header if name not in {*names, *own}]):
        return ""
    listed = ", ".join(map(repr, past[:5])) + (f" and {len(past) - 5} more" if len(past) > 5 else "")
    return f"{path}: {listed} {'is' if len(past) == 1 else 'are'} no part of the condition, and not read"


def rows_of(condition: Condition, value: ConditionLike) -> int | None:
    """The number of samples that a value is for, if that shows; one value alone serves any number."""
    values = {part: _value_of(part, value) for part in condition.parts}
    counts = [rows for part, each in values.items() if each is not None and (rows := part.rows(each)) is not None]
    return next((rows for rows in counts if rows > 1), counts[0] if counts else None)


def served(condition: Condition, value: ConditionLike, n: int) -> ConditionLike:
    """A value for ``n`` samples, where one value serves all of them, and each of ``k`` values ``n/k`` in a row."""
    spread: dict[str, ArrayLike | None] = {}
    for part in condition.parts:
        of_part = _value_of(part, value)
        rows = None if of_part is None else part.rows(of_part)
        if of_part is None or not rows or rows == n or n % rows:
            spread[part.name] = of_part  # counts that do not match are refused where the condition is read
        elif rows == 1:
            spread[part.name] = next(iter(of_part))
        else:
            spread[part.name] = [each for each in of_part for _ in range(n // rows)]
    if not isinstance(value, Mapping):
        return spread[condition.names[0]]
    return {**value, **{name: each for name, each in spread.items() if name in value}}


def _value_of(part: Part, value: ConditionLike) -> Any:
    """The value of a part, or None."""
    return value.get(part.name) if isinstance(value, Mapping) else value


def _all_parts(condition: Condition, path: Path) -> Mapping[str, ArrayLike]:
    """All parts in one file, by their names; other arrays in it are ignored.

    Raises:
        ConditionError: it has none of them.
    """
    if not (chosen := _named_in(condition, path)):
        raise ConditionError(f"{path} has none of the parts {', '.join(condition.names)}")
    return chosen


def _named_in(condition: Condition, path: Path) -> Mapping[str, ArrayLike]:
    """The parts that a file has by their names, by themselves or beside samples; none of a file without names."""
    from zoo.render.read import lists_in, read_arrays

    if path.suffix.lower() == ".json":
        values = read_json(path)
        return {name: values[name] for name in condition.names if name in values} if isinstance(values, dict) else {}
    if (table := table_in(path)) is not None:
        return _of_rows(condition, path, table, lists_in(path))
    return condition.restored({name.removeprefix(PART): array for name, array in read_arrays(path).items()})


def _holds_parts(condition: Condition, path: Path) -> bool:
    """Whether a file has parts by their names, and not one part alone."""
    from zoo.render.read import lists_in

    if path.suffix.lower() in _OF_PARTS:
        return True
    table = table_in(path)
    return table is not None and condition.names[0] in map(_part_of, [*table.header, *lists_in(path)])


def _part_of(heading: str) -> str:
    """The part that a heading names: ``condition/<part>``, ``<part>/<i>``, or the two together."""
    return heading.removeprefix(PART).split("/")[0]


def _stored_names(condition: Condition) -> set[str]:
    """What files call a condition: its parts and their masks."""
    return {*condition.names, *(part.mask for part in condition.parts if part.mask is not None)}


def _of_rows(
    condition: Condition, path: Path, table: Delimited, lists: Mapping[str, Array | list[Array]]
) -> Mapping[str, ArrayLike]:
    """Parts by the headings of a table, with or without ``condition/`` before them: texts and labels, or numbers.

    Args:
        condition: the model's.
        path: of the table, for errors.
        table: its columns of single values.
        lists: its columns whose cells are lists, by their headings.

    Raises:
        DataError: a cell of a part of numbers that is none; or the file cannot be read.
    """
    from zoo.render.readers import parts_of

    cells = {name.removeprefix(PART): column for name, column in table.columns().items()}
    pointed = {name.removeprefix(PART): column for name, column in table.columns(table.header).items()}
    parts = {part.name: part for part in condition.parts}
    texts = {name: column for name, column in cells.items() if name in parts and _is_text(parts[name], column)}
    numeric = _stored_names(condition) - texts.keys()
    others = {PART + name: column for name, column in pointed.items() if _part_of(name) in numeric}
    numbers = {name.removeprefix(PART): array for name, array in parts_of(path, others).items()}
    numbers = {name: in_rows(parts[name], array) if name in parts else array for name, array in numbers.items()}
    whole = {_part_of(name): array for name, array in lists.items() if _part_of(name) in numeric}
    return {**texts, **condition.restored({**numbers, **whole})}


def _is_text(part: Part, cells: Sequence[str]) -> bool:
    """Whether a column has texts or classes of a part, and not numbers that stand for tokens.

    Digits are a text where the part has them as symbols, as they are on the command line.
    """
    if part.modality == "classes" or not part.takes_texts:
        return part.modality == "classes"
    ids = all(cell.strip().lstrip("-").isdecimal() for cell in cells)
    return not ids or set("".join(cells)) <= set(part.alphabet or "") or set(cells) <= set(part.labels)


def negative_from(condition: Condition, texts: Sequence[str]) -> ConditionLike:
    """What ``--negative`` stands for: a class, or named parts as for ``--condition``.

    Raises:
        UsageError, ConditionError, DataError: as for :func:`condition_from`; or there is no such class.
    """
    if not condition.plain:
        return condition_from(condition, texts, "--negative")
    if len(texts) > 1:
        raise UsageError(f"--negative is given {len(texts)} times; this model takes one class")
    return condition.index(texts[0])


def composition_from(condition: Condition, texts: Sequence[str], n: int) -> Composition:
    """What ``--compose`` stands for: for each a condition of ``n`` samples as for ``--condition``, and its weight.

    Raises:
        UsageError: a text without a weight; and as :func:`condition_from`.
        ConditionError, DataError: likewise.
    """
    composition = []
    for text in texts:
        value, _, weight = text.rpartition(":")
        try:
            number = float(weight)
        except ValueError:
            number = math.nan
        if not value or not math.isfinite(number):
            raise UsageError(f"--compose takes CONDITION:WEIGHT, such as 3:1.5, not {text!r}")
        stated = condition_from(condition, [value] if condition.plain else value.split(";"), "--compose")
        served_all = served(condition, stated, n)
        composition.append((condition.array(served_all, n) if condition.plain else served_all, number))
    return composition


def condition_of_file(condition: Condition, stored: StoredCondition, n: int, path: Path | None = None) -> ConditionLike:
    """The condition of ``n`` samples that a file holds beside its data.

    Args:
        condition: the model's.
        stored: what :func:`zoo.render.read.read_samples` found.
        n: how many samples there are.
        path: of the file; where rows are texts, a class is its label, even if that looks like a number.

    Raises:
        ConditionError: it does not fit the model's.
    """
    if path is not None and path.suffix.lower() in TABLES:
        stored = _labelled(condition, stored)
    if condition.plain:
        return condition.array(stored, n)
    if not isinstance(stored, Mapping):
        raise ConditionError(f"the file has one condition, and this model takes {condition.told}")
    values = condition.restored(stored)
    condition.arrays(values, n)
    return values


def condition_beside(facts: Facts, path: Path, stored: StoredCondition, n: int) -> ConditionLike:
    """The condition of the ``n`` data in a file: of its columns that the model was given, else as genzoo stores it.

    Args:
        facts: about the model.
        path: of the data.
        stored: what :func:`zoo.render.read.read_samples` found beside them.
        n: how many data there are.

    Returns:
        the condition, or None if the file has none, or the model takes none.

    Raises:
        ConditionError: it does not fit the model's.
        DataError: a cell that is none of its column, such as an unknown class.
    """
    if facts.condition is None:
        return None
    # the columns that were given come before any that is called condition
    own = rows_of_table(path, facts.condition_columns)
    marked = any(column.marks for column in facts.condition_columns)
    if own is None and facts.condition.kind == "vector" and not marked:
        own = read_labelled(path, facts.condition.labels)
    if own is None and stored is None:
        return None
    return condition_of_file(facts.condition, stored if own is None else own, n, None if own is not None else path)


def _labelled(condition: Condition, stored: StoredCondition) -> StoredCondition:
    """Whole numbers as texts where they may be labels of classes."""
    labelled = {part.name for part in condition.parts if part.modality == "classes" and part.labels}
    if isinstance(stored, Mapping):
        return {name: as_texts(values) if name in labelled else values for name, values in stored.items()}
    return stored if stored is None or not labelled or not condition.plain else as_texts(stored)


def _value(condition: Condition, part: Part, text: str, option: str) -> ArrayLike:
    path = Path(text)
    if path.is_file():
        # a file of several parts, or of samples and their condition, has it by its name
        named = not condition.plain and (path.suffix.lower() in _OF_PARTS or table_in(path) is not None)
        by_name = _named_in(condition, path).get(part.name) if named else None
        return read_part(part, path) if by_name is None else by_name
    if part.takes_texts:
        return text
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        raise ConditionError(f"{option} {part.name}: {text!r} is neither a file nor a list of numbers") from None
    value = np.array(numbers, np.int64 if part.modality == "tokens" else np.float64)
    first, *rest = part.shape
    # row by row; of a sequence of any length as many rows as there are numbers for
    rows, beyond = divmod(value.size, math.prod(map(int, rest)))
    return value.reshape(rows, *map(int, rest)) if rest and not beyond and first in (rows, str(first)) else value
