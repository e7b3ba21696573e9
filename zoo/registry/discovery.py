"""Loads plugins from entry points, one at a time: an error of one is written into its record and does not affect the
others.

pluggy loads entry points without protection, so one broken package would break the whole tool. Here every plugin is
imported, registered and queried within one ``try``; only KeyboardInterrupt passes. Plugins are all or
nothing: if any hook fails, nothing of the plugin is kept.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import pluggy

from zoo.errors import PluginError, UnknownNameError
from zoo.registry import api, hookspecs
from zoo.registry.adapters import Adapter
from zoo.registry.cards import (
    Architecture,
    Check,
    Command,
    DataReader,
    DataSource,
    Description,
    DistillationMethod,
    Exporter,
    Family,
    Format,
    Importer,
    Metric,
    ModalityKind,
    ModelCard,
    PathKind,
    ProgramKind,
    Sampler,
)
from zoo.registry.engines import Engine

#: the distribution of genzoo itself, that of its pretrained models, and both: their plugins are the built-in ones
HOME, MODELS = "genzoo", "genzoo-models"
OWN = (HOME, MODELS)
#: where the pretrained models are got from, where that distribution is not installed
GET_MODELS = f"pip install {MODELS} (in a clone: pip install ./plugins/zoo_models), or `zoo pull hf:ORG/NAME`"

#: kind -> the hook that describes things of this kind, and the type of its descriptions
KINDS: Mapping[str, tuple[str, type[Description]]] = {
    "architecture": ("zoo_architectures", Architecture),
    "family": ("zoo_families", Family),
    "model": ("zoo_models", ModelCard),
    "sampler": ("zoo_samplers", Sampler),
    "data set": ("zoo_datasets", DataSource),
    "data reader": ("zoo_data_readers", DataReader),
    "engine": ("zoo_engines", Engine),
    "exporter": ("zoo_exporters", Exporter),
    "importer": ("zoo_importers", Importer),
    "adapter": ("zoo_adapters", Adapter),
    "distillation method": ("zoo_distillations", DistillationMethod),
    "metric": ("zoo_metrics", Metric),
    "program": ("zoo_programs", ProgramKind),
    "path": ("zoo_paths", PathKind),
    "format": ("zoo_formats", Format),
    "modality": ("zoo_modalities", ModalityKind),
    "command": ("zoo_commands", Command),
    "check": ("zoo_checks", Check),
}
HOOKS = tuple(hook for hook, _ in KINDS.values())

_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_ENTRY = re.compile(r"[^\d\W]\w*(\.[^\d\W]\w*)*:[^\d\W]\w*(\.[^\d\W]\w*)*")
_PRINTED = 2000
#: fields of descriptions that name what is imported, and those that may be empty
_PARTS = {"entry", "runner", "describe", "verify", "reader", "writer", "fits", "draw", "rounding", "recognises"}
_PARTS |= {"checks", "instance"}
_OPTIONAL = {"verify", "reader", "writer", "fits", "draw", "rounding", "recognises", "checks", "instance"}


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """The record of one plugin, loaded or not.

    Attributes:
        name: of its entry point.
        distribution: the installed package that provides it.
        version: of the distribution.
        module: the module named by its entry point.
        location: file of the module, or the folder of the distribution.
        status: ``"ok"``, ``"failed"`` or ``"disabled"``.
        error: the last line of the error, if it failed.
        where: file and line of the error, if known: ``"my_plugin/__init__.py:12"``.
        api: the version of the plugin API that it declares; None if that is not known, as it was not imported.
        hooks: the hooks that it implements.
        conflicts: names that it claims but does not get, one sentence each.
        printed: its output to stdout while it was loaded.
    """

    name: str
    distribution: str
    version: str
    module: str
    location: str = ""
    status: str = "ok"
    error: str = ""
    where: str = ""
    api: int | None = None
    hooks: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    printed: str = ""

    @property
    def builtin(self) -> bool:
        """Whether it comes with genzoo itself."""
        return normalised(self.distribution) in OWN

    @property
    def origin(self) -> str:
        """Distribution and version, as shown in errors."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True)
class Plugin:
    """A plugin's record, and its descriptions by kind: empty unless its status is ``"ok"``."""

    record: PluginRecord
    described: Mapping[str, tuple[Description, ...]] = field(default_factory=dict)


def discover(*, allowed: Collection[str] | None = None, disabled: Collection[str] = ()) -> list[Plugin]:
    """Find and load the installed plugins, the built-in ones first.

    Args:
        allowed: names of the plugins that may be loaded besides the built-in ones; None for all.
        disabled: names of plugins that are not even imported. A plugin is named by its entry point or its distribution.

    Raises:
        UnknownNameError: a plugin to disable that does not exist.
    """
    entries = sorted(entry_points(), key=lambda p: (not p[0].builtin, normalised(p[0].distribution), p[0].name))
    names = {name for record, _ in entries for name in _names(record)}
    for name in disabled:
        if name not in names and normalised(name) not in names:
            raise UnknownNameError("plugin", name, {record.name for record, _ in entries})
    plugins = []
    for record, entry_point in entries:
        mine = _names(record)
        blocked = _any(disabled, mine) or (allowed is not None and not record.builtin and not _any(allowed, mine))
        if blocked:
            plugins.append(Plugin(replace(record, status="disabled")))
        else:
            plugins.append(load_plugin(record, entry_point))
    return plugins


def entry_points() -> list[tuple[PluginRecord, metadata.EntryPoint]]:
    """The installed plugins, without importing any; each distribution once, the first on ``sys.path``."""
    records = []
    # one distribution has many entry points, and parsing its metadata takes as long as importing a plugin
    known: dict[object, tuple[str, str, str]] = {}
    for entry_point in _read_entry_points():
        distribution = entry_point.dist
        if distribution is not None and distribution not in known:
            name = version = folder = ""
            with contextlib.suppress(Exception):  # the metadata may be unreadable, and the plugin still work
                folder = str(distribution.locate_file(""))
                about = distribution.metadata
                name, version = about["Name"] or "", about["Version"] or ""
            known[distribution] = name, version, folder
        name, version, folder = known.get(distribution, ("", "", ""))
        record = PluginRecord(
            name=entry_point.name,
            distribution=name or entry_point.name,
            version=version,
            module=entry_point.value,
            location=folder,
        )
        records.append((record, entry_point))
    return records


def _read_entry_points() -> Iterable[metadata.EntryPoint]:
    try:
        return metadata.entry_points(group=hookspecs.GROUP)
    except Exception:
        # importlib.metadata fails entirely if one package's entry_points.txt is damaged: read them one by one
        points: list[metadata.EntryPoint] = []
        seen: set[str] = set()
        for distribution in metadata.distributions():
            with contextlib.suppress(Exception):
                name = normalised(distribution.metadata["Name"])
                if name not in seen:
                    seen.add(name)
                    points += distribution.entry_points.select(group=hookspecs.GROUP)
        return points


def load_plugin(record: PluginRecord, entry_point: metadata.EntryPoint) -> Plugin:
    """Import one plugin and query all of its hooks; raises nothing but KeyboardInterrupt."""
    printed = io.StringIO()
    described: dict[str, tuple[Description, ...]] = {}
    hooks: tuple[str, ...] = ()
    failure: dict[str, Any] = {}
    version: int | None = None
    try:
        with contextlib.redirect_stdout(printed):
            module, version = _fitting(record, entry_point)
            manager = _register(module)
            hooks = tuple(hook for hook in HOOKS if getattr(manager.hook, hook).get_hookimpls())
            if not hooks:
                raise PluginError(_no_hooks(module))
            described = {kind: _ask(manager, kind) for kind, (hook, _) in KINDS.items() if hook in hooks}
            # after an error it is dropped instead, with what it holds
            manager.unregister(module)
            _idle.append(manager)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program
        described = {}
        version = version or getattr(error, "plugin_api", None)
        failure = {"status": "failed", "error": last_line(error), "where": _where(error, record.location)}
    location = _location(entry_point) or record.location
    text = printed.getvalue()[:_PRINTED]
    return Plugin(replace(record, api=version, hooks=hooks, printed=text, location=location, **failure), described)


def _fitting(record: PluginRecord, entry_point: metadata.EntryPoint) -> tuple[object, int]:
    """A plugin's module, or other object, and its version of the plugin API, which fits."""
    try:
        module = entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        version = api.written(entry_point)
        told = None if version is None else api.misfit(version, record.distribution)
        if told is None:
            raise
        raise _MisfitError(told, version) from error
    version = api.declared(module)
    if told := api.misfit(version, record.distribution):
        raise _MisfitError(told, version)
    return module, version


class _MisfitError(PluginError):
    """A plugin of another version of the plugin API."""

    def __init__(self, message: str, version: int | None) -> None:
        super().__init__(message)
        self.plugin_api = version


#: one that no plugin is registered with, kept for the next plugin: reading the specifications of hooks takes a while
_idle: list[pluggy.PluginManager] = []


def _register(module: object) -> pluggy.PluginManager:
    """A plugin manager for this plugin alone, so that its errors do not affect others."""
    if _idle:
        manager = _idle.pop()
    else:
        manager = pluggy.PluginManager(hookspecs.GROUP)
        manager.add_hookspecs(hookspecs)
    manager.register(module)
    for name, caller in list(vars(manager.hook).items()):
        if not name.startswith("_") and not caller.has_spec():
            required = [i for i in caller.get_hookimpls() if not i.optionalhook]
            if required:
                close = difflib.get_close_matches(name, HOOKS, n=1)
                meant = f"; did you mean {close[0]}?" if close else f"; the hooks are {', '.join(HOOKS)}"
                raise PluginError(f"{name} is not a hook of this version of genzoo{meant}")
    return manager


def _no_hooks(module: object) -> str:
    unmarked = [hook for hook in HOOKS if callable(getattr(module, hook, None))]
    if unmarked:
        return f"{unmarked[0]} is not marked with @zoo.hookimpl"
    return f"it implements no hook, such as {HOOKS[0]} or {HOOKS[1]}"


def _ask(manager: pluggy.PluginManager, kind: str) -> tuple[Description, ...]:
    """The plugin's descriptions of one kind, checked. All are collected before any is used."""
    hook, expected = KINDS[kind]
    answers: list[Any] = []
    # pluggy ignores a hook that returns None, which is an error here
    implementations = getattr(manager.hook, hook).get_hookimpls()
    for answer in [implementation.function() for implementation in implementations]:
        if isinstance(answer, (str, bytes, Mapping, Description)) or not isinstance(answer, Iterable):
            raise PluginError(f"{hook} returned {_type(answer)}, not a list of {expected.__name__}")
        answers += answer
    for item in answers:
        if not isinstance(item, expected):
            raise PluginError(f"{hook} returned a list with {_type(item)} in it, not only {expected.__name__}")
        if not isinstance(item.name, str) or not _NAME.fullmatch(item.name):
            raise PluginError(f"{hook}: {item.name!r} is not a name: use lower-case words joined by hyphens")
        for part in sorted(_PARTS & vars(item).keys()):
            entry = vars(item)[part]
            left_out = entry == "" and part in _OPTIONAL
            if not left_out and not (isinstance(entry, str) and _ENTRY.fullmatch(entry)):
                raise PluginError(f"{hook}: the {part} of {item.name} is {entry!r}, not of the form 'module:attribute'")
    names = [item.name for item in answers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PluginError(f"{hook} describes {twice[0]} twice")
    return tuple(answers)


def last_line(error: BaseException) -> str:
    """The last line of an exception's traceback; for our own exceptions, only the message."""
    if isinstance(error, PluginError):
        return str(error)
    return traceback.format_exception_only(error)[-1].strip()


def located(error: BaseException) -> str:
    """The last line of an exception's traceback, with the file and line that raised in brackets, if they are known."""
    place = culprit(error)
    return last_line(error) + (f" ({Path(place[0]).name}:{place[1]})" if place else "")


def culprit(error: BaseException) -> tuple[str, int] | None:
    """File and line that raised, ignoring frames of the import system and of hooks; None if there are no others."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    place = None
    machinery = (__file__, str(Path(pluggy.__file__).parent), "<frozen importlib")
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(machinery) and "importlib" not in Path(file).parts:
            place = file, trace.tb_lineno
        trace = trace.tb_next
    return place


def _where(error: BaseException, folder: str) -> str:
    place = culprit(error)
    if place is None:
        return ""
    file, line = place
    with contextlib.suppress(ValueError):
        file = str(Path(file).relative_to(folder))
    return f"{file}:{line}"


def _location(entry_point: metadata.EntryPoint) -> str:
    """The file of the plugin's module or, if that was not imported, of its top-level package."""
    with contextlib.suppress(Exception):
        if entry_point.module in sys.modules:
            return str(sys.modules[entry_point.module].__file__ or "")
        spec = find_spec(entry_point.module.partition(".")[0])
        if spec is not None:
            return spec.origin or next(iter(spec.submodule_search_locations or ()), "")
    return ""


def normalised(name: str) -> str:
    """A distribution's name as packaging compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(record: PluginRecord) -> set[str]:
    return {record.name, normalised(record.distribution)}


def _any(wanted: Iterable[str], names: set[str]) -> bool:
    return any(name in names or normalised(name) in names for name in wanted)


def _type(value: object) -> str:
    return "None" if value is None else type(value).__name__


def allowed_plugins() -> list[str] | None:
    """The plugins that ``ZOO_PLUGINS`` allows besides the built-in ones, or None (all) if it is not set."""
    variable = os.environ.get("ZOO_PLUGINS")
    return None if variable is None else [name.strip() for name in variable.split(",") if name.strip()]
