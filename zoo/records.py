"""Frozen dataclasses as JSON values, and back: how manifests, cards, recipes and their parts are stored.

A field's annotation says what may stand in its place: a dataclass, a text, a number, a list (a tuple in Python), a
table (a mapping), one of several of these, any of these or null, or anything. A class may name itself by a class
variable ``kind``, which is written first, or say by ``as_record()`` and ``from_record(values, where)`` how it is stored
within another. Whatever types do not express, a class checks itself when an instance is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from zoo.errors import ConfigError, UnknownNameError
from zoo.printable import shortened

#: metadata of a field that is written only where it is not the default
OMITTED: Final = {"omitted": True}

_T = TypeVar("_T")


def write(value: object) -> Any:
    """A dataclass, or the value of a field of one, as JSON values; :func:`read` reads them back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = getattr(type(value), "kind", None)
        kind = {"kind": own} if isinstance(own, str) else {}
        shown = [f for f in dataclasses.fields(value) if not (f.metadata.get("omitted") and _is_default(f, value))]
        return {**kind, **{f.name: _written(getattr(value, f.name)) for f in shown}}
    if isinstance(value, Mapping):
        return {key: _written(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(inner) for inner in value]
    return value


def _written(value: object) -> object:
    """The same for the value of a field, whose class may define its form by ``as_record``."""
    own: Callable[[], object] | None = getattr(value, "as_record", None)
    return write(value) if own is None else own()


def read(cls: type[_T], values: object, where: str) -> _T:
    """Make a dataclass from JSON values.

    Args:
        cls: the class.
        values: a table of its fields, as JSON or TOML give it.
        where: what the table is, for messages.

    Raises:
        ConfigError: unknown, missing or ill-typed keys, each named with the way to it; and what ``cls`` raises.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a table")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            error = UnknownNameError("key", shortened(str(key), 80), known)
            raise ConfigError(f"{where}: {error}", hint=error.hint)
    for name, f in known.items():
        if name not in values and f.default is f.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: {name} is missing")
    hints = _hints(cast(Hashable, cls))
    return cls(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def _value(hint: Any, value: object, where: str) -> Any:
    """A JSON value as what a field is annotated with."""
    inner, origin = get_args(hint), get_origin(hint)
    if origin in (Union, UnionType):
        return _any_of([each for each in inner if each is not NoneType], value, where, null=NoneType in inner)
    if hasattr(hint, "from_record"):
        return hint.from_record(value, where)
    if dataclasses.is_dataclass(hint):
        return read(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _list(inner, value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, not {_shown(value)}")
        return {key: _value(inner[1], each, f"{where}.{key}") for key, each in value.items()}
    return _plain(hint, value, where)


def _any_of(kinds: Sequence[object], value: object, where: str, *, null: bool) -> object:
    """A value as the first of several kinds that it fits; an optional table in TOML is absent, or whole."""
    if value is None and null:
        return None
    for kind in kinds[:-1]:
        try:
            return _value(kind, value, where)
        except ConfigError:
            continue
    return _value(kinds[-1], value, where)


def _list(kinds: Sequence[object], value: object, where: str) -> tuple[object, ...]:
    """A list as a tuple: of any length and one kind, or of as many values as there are kinds."""
    if kinds[-1] is ...:
        if not isinstance(value, (list, tuple)):
            tables = " of tables" if dataclasses.is_dataclass(kinds[0]) else ""
            raise ConfigError(f"{where} must be a list{tables}, not {_shown(value)}")
        return tuple(_value(kinds[0], each, f"{where}, entry {i}") for i, each in enumerate(value))
    if not isinstance(value, (list, tuple)) or len(value) != len(kinds):
        raise ConfigError(f"{where} must be a list of {len(kinds)}, not {_shown(value)}")
    return tuple(
        _value(kind, each, f"{where}, entry {i}") for i, (kind, each) in enumerate(zip(kinds, value, strict=True))
    )


def _plain(hint: Any, value: object, where: str) -> object:
    """A text, a number, true or false; for any other annotation, the class checks the value itself."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (str, int, float, bool) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where} must be {hint.__name__}, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return shortened(repr(value), 80)


@cache
def _hints(cls: Hashable) -> dict[str, object]:
    return get_type_hints(cls)


def _is_default(field: dataclasses.Field[Any], value: object) -> bool:
    make = field.default_factory
    default = field.default if make is dataclasses.MISSING else make()
    return bool(getattr(value, field.name) == default)
