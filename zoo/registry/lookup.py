"""Everything that the plugins described, by kind and name. Nothing is shadowed silently.

A built-in keeps its name: anything of that name from a third party is recorded as a conflict and reported. If two third
parties claim one name, both are listed, and using it is an error that names them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, cast

from zoo.errors import UnknownNameError, ZooError
from zoo.registry import entries, extensions
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
    Sampler,
)
from zoo.registry.discovery import (
    GET_MODELS,
    KINDS,
    MODELS,
    Plugin,
    PluginRecord,
    allowed_plugins,
    discover,
    normalised,
)
from zoo.registry.engines import Engine

D = TypeVar("D", bound=Description)


@dataclass(frozen=True)
class Item:
    """One description of a plugin."""

    kind: str
    description: Description
    plugin: PluginRecord


class Registry:
    """What is installed.

    Attributes:
        plugins: a record of every plugin, whether it was loaded, failed or is disabled.
    """

    def __init__(self, plugins: Collection[Plugin] = ()) -> None:
        self._items: dict[str, dict[str, list[Item]]] = {kind: {} for kind in KINDS}
        conflicts: dict[PluginRecord, list[str]] = {plugin.record: [] for plugin in plugins}
        for plugin in sorted(plugins, key=attrgetter("record.builtin"), reverse=True):
            for kind, descriptions in plugin.described.items():
                for description in descriptions:
                    holders = self._items[kind].setdefault(description.name, [])
                    if not plugin.record.builtin and any(holder.plugin.builtin for holder in holders):
                        told = f"the {kind} {description.name!r} is built in and takes precedence; this one is ignored"
                        conflicts[plugin.record].append(told)
                    else:
                        holders.append(Item(kind, description, plugin.record))
        for item, others in self._contested():
            origins = " and ".join(other.plugin.origin for other in others)
            told = f"the {item.kind} {item.description.name!r} is also claimed by {origins}; neither can be used"
            conflicts[item.plugin].append(told)
        self.plugins = tuple(replace(p.record, conflicts=tuple(conflicts[p.record])) for p in plugins)

    def _contested(self) -> Iterator[tuple[Item, list[Item]]]:
        """Every item whose name others claim as well, with the other claims."""
        for kind in KINDS:
            for holders in self._items[kind].values():
                if len(holders) > 1:
                    for item in holders:
                        yield item, [other for other in holders if other is not item]

    @classmethod
    def discover(cls, *, allowed: Collection[str] | None = None, disabled: Collection[str] = ()) -> Registry:
        """Load the installed plugins; see :func:`zoo.registry.discovery.discover`."""
        plugins = discover(allowed=allowed, disabled=disabled)
        extensions.bring(plugins)
        return cls(plugins)

    def warnings(self) -> Iterator[str]:
        """A sentence for each plugin that failed, and for each name that a plugin was denied."""
        for plugin in self.plugins:
            if plugin.status == "failed":
                yield (
                    f"plugin {plugin.name} of {plugin.origin} is ignored: {plugin.error}"
                    + (f" ({plugin.where})" if plugin.where else "")
                    + "; see `zoo plugins --failed`"
                )
            for conflict in plugin.conflicts:
                yield f"plugin {plugin.name} of {plugin.origin}: {conflict}"

    def items(self, kind: str) -> list[Item]:
        """All items of a kind (a key of :data:`~zoo.registry.discovery.KINDS`), sorted by name and then by plugin."""
        return [item for _, holders in sorted(self._items[kind].items()) for item in holders]

    @property
    def lacks_models(self) -> bool:
        """Whether the distribution of the pretrained models is not installed."""
        return not any(normalised(plugin.distribution) == MODELS for plugin in self.plugins)

    def item(self, kind: str, name: str) -> Item:
        """One item, with the plugin that described it.

        Raises:
            UnknownNameError: no plugin described it.
            NameConflictError: more than one plugin did.
        """
        holders = self._items[kind].get(name)
        if not holders:
            error = UnknownNameError(kind, name, self._items[kind])
            if kind == "model" and self.lacks_models and "Did you mean" not in (error.hint or ""):
                error.hint = f"The pretrained models are a package of their own: {GET_MODELS}."
            raise error
        if len(holders) > 1:
            raise extensions.conflict(kind, name, [holder.plugin for holder in holders])
        return holders[0]

    def _get(self, kind: str, name: str, _: type[D]) -> D:
        return cast(D, self.item(kind, name).description)

    def architecture(self, name: str) -> Architecture:
        """The architecture of that name. Raises as :meth:`item` does, as do all of the following."""
        return self._get("architecture", name, Architecture)

    def family(self, name: str) -> Family:
        """The family of that name."""
        return self._get("family", name, Family)

    def path(self, name: str) -> PathKind:
        """The path of that name."""
        return self._get("path", name, PathKind)

    def model(self, name: str) -> ModelCard:
        """The card of the registered model of that name; :func:`zoo.models.sources.resolve` takes folders as well."""
        return self._get("model", name, ModelCard)

    def sampler(self, name: str) -> Sampler:
        """The sampler of that name."""
        return self._get("sampler", name, Sampler)

    def dataset(self, name: str) -> DataSource:
        """The data set of that name."""
        return self._get("data set", name, DataSource)

    def data_reader(self, name: str) -> DataReader:
        """The reader of users' data of that name."""
        return self._get("data reader", name, DataReader)

    def engine(self, name: str) -> Engine:
        """The engine of that name."""
        return self._get("engine", name, Engine)

    def exporter(self, name: str) -> Exporter:
        """The export target of that name."""
        return self._get("exporter", name, Exporter)

    def importer(self, name: str) -> Importer:
        """The import format of that name."""
        return self._get("importer", name, Importer)

    def adapter(self, name: str) -> Adapter:
        """The adapter of that name."""
        return self._get("adapter", name, Adapter)

    def distillation(self, name: str) -> DistillationMethod:
        """The distillation method of that name."""
        return self._get("distillation method", name, DistillationMethod)

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return self._get("metric", name, Metric)

    def format(self, name: str) -> Format:
        """The format of that name, which is its extension without the dot."""
        return self._get("format", name, Format)

    def modality(self, name: str) -> ModalityKind:
        """The modality of that name."""
        return self._get("modality", name, ModalityKind)

    def command(self, name: str) -> Command:
        """The command of that name."""
        return self._get("command", name, Command)

    def check(self, name: str) -> Check:
        """The check of that name."""
        return self._get("check", name, Check)

    def load_entry(self, description: Description, part: str = "entry") -> Any:
        """Import the class or function that a description names, by its ``entry`` or another part.

        Raises:
            MissingDependencyError: a requirement is not installed.
            PluginError: it cannot be imported, or does not exist.
        """
        item = self._find(description)
        return entries.load_entry(item.kind if item else "entry", description, item.plugin if item else None, part)

    def _find(self, description: Description) -> Item | None:
        for holders in self._items.values():
            for item in holders.get(description.name, ()):
                if item.description is description:
                    return item
        return None

    def samplers(self) -> Mapping[str, Callable[..., Any]]:
        """The samplers' functions by name, each imported on lookup; an argument of ``zoo.runtime.load``."""
        return _Functions(self, "sampler")

    def unavailable(self, description: Description) -> str | None:
        """Why something cannot be used here, with the command that fixes it, or None. Imports nothing.

        A model with a bundle needs ONNX Runtime, or else the requirements of its architecture.
        """
        lacks = entries.lacking(description.requires)
        if lacks is None and isinstance(description, ModelCard):
            lacks = self._unusable(description)
        return lacks

    def _unusable(self, card: ModelCard) -> str | None:
        bundle = card.bundle_path
        if bundle is not None and bundle.is_dir():
            runtime = entries.lacking(("onnxruntime",))
            return None if runtime is None or self._untrainable(card) is None else runtime
        return self._untrainable(card)

    def _untrainable(self, card: ModelCard) -> str | None:
        """Why a model cannot be used through torch."""
        try:
            architecture = self.architecture(card.architecture)
        except ZooError as error:
            return f"its architecture is not available: {error}"
        if card.weights_path is None or not card.weights_path.is_file():
            return "its weights file is missing"
        return entries.lacking(architecture.requires)


class _Functions(Mapping[str, "Callable[..., Any]"]):
    """The entries of one kind by name."""

    def __init__(self, registry: Registry, kind: str) -> None:
        self._registry, self._kind = registry, kind

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in set(self):
            raise KeyError(name)
        function: Callable[..., Any] = self._registry.load_entry(self._registry.item(self._kind, name).description)
        return function

    def __contains__(self, name: object) -> bool:
        return name in set(self)  # Mapping's own method would import it

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(item.description.name for item in self._registry.items(self._kind)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def installed() -> Registry:
    """The registry of this process, discovered on first use. ``ZOO_PLUGINS`` limits it as on the command line."""
    return Registry.discover(allowed=allowed_plugins())
