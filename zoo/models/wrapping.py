"""``zoo.wrap``: other people's models as models of genzoo, recognised by their class."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import ExportError, NameConflictError, PluginError, UsageError, ZooError
from zoo.models.blaming import class_line
from zoo.registry import Registry, installed
from zoo.registry.adapters import Adapter
from zoo.registry.lookup import Item

if TYPE_CHECKING:
    from torch import nn

    from zoo.conditions import Condition
    from zoo.models.interface import GenerativeModel


def wrap(
    model: nn.Module,
    /,
    *,
    event_shape: Sequence[int] | None = None,
    context: int | Condition | None = None,
    registry: Registry | None = None,
    **options: object,
) -> GenerativeModel:
    """A model of zuko, nflows, normflows, FrEIA, or another library with an adapter, as a model of genzoo.

    >>> import zoo, zuko                                            # doctest: +SKIP
    >>> flow = zuko.flows.MAF(4, transforms=2)                      # doctest: +SKIP
    >>> zoo.export(zoo.wrap(flow, event_shape=(4,)), "out")         # doctest: +SKIP

    Args:
        model: the library's model. It is kept, not copied: weights that are trained or loaded later count.
        event_shape: shape of one sample; may be left out where the library's model tells it.
        context: what the model is conditioned on, if anything: the length of a vector, or a condition.
        registry: where adapters are looked up; None for all that are installed.
        options: of the adapter.

    Raises:
        UsageError: no adapter knows the class.
        NameConflictError: two adapters claim the same class.
        MissingDependencyError: a requirement of the adapter is not installed.
        ConfigError: another event shape or context than the model has.
        ExportError: the model cannot be called.
        PluginError: the adapter fails.
    """
    registry = registry or installed()
    item = _adapter(registry, model)
    adapt = registry.load_entry(item.description)
    with _refusing(model):
        wrapped = _adapted(adapt, item, model, event_shape, context, options)
        _try(wrapped, item)
    return wrapped


def _adapted(
    adapt: Callable[..., Any],
    item: Item,
    model: nn.Module,
    event_shape: Sequence[int] | None,
    context: int | Condition | None,
    options: Mapping[str, object],
) -> GenerativeModel:
    try:
        wrapped: GenerativeModel = adapt(model, event_shape, context, **options)
    except ZooError:
        raise
    except TypeError as error:
        raise UsageError(f"the adapter {item.description.name} does not take these options: {error}") from error
    except Exception as error:
        raise PluginError(
            f"the adapter {item.description.name} of {item.plugin.origin} fails on {type(model).__name__}: {error}"
        ) from error
    return wrapped


def _try(wrapped: GenerativeModel, item: Item) -> None:
    from zoo.models.interface import GenerativeModel
    from zoo.models.wrapped import Wrapped, tried

    if not isinstance(wrapped, GenerativeModel):
        raise PluginError(f"the adapter {item.description.name} gives {type(wrapped).__name__}, not a model")
    if isinstance(wrapped, Wrapped):
        tried(wrapped)


@contextlib.contextmanager
def _refusing(model: nn.Module) -> Iterator[None]:
    """A block whose refusals say where the class is defined that they name."""
    try:
        yield
    except ExportError as error:
        if (where := "" if ".py:" in str(error) else _class_named(str(error), model)) == "":
            raise
        raise ExportError(f"{error} ({where})", hint=error.hint) from error


def _class_named(message: str, model: nn.Module) -> str:
    """The line of the first class of a model's modules that a message names, or else of its own; or nothing."""
    modules: Iterable[nn.Module] = getattr(model, "modules", tuple)()
    classes = dict.fromkeys([*(type(each) for each in modules), type(model)])
    words = re.findall(r"\w+", message)
    named = [cls for cls in classes if cls.__name__ in words]
    return class_line(min(named, key=lambda cls: words.index(cls.__name__), default=type(model)))


def _adapter(registry: Registry, model: object) -> Item:
    """The adapter with the most special of the classes of a model."""
    items = registry.items("adapter")
    for cls in type(model).__mro__:
        name = f"{cls.__module__}.{cls.__qualname__}"
        fitting = [item for item in items if isinstance(item.description, Adapter) and name in item.description.classes]
        if len(fitting) > 1:
            both = " and ".join(f"{item.description.name} of {item.plugin.origin}" for item in fitting)
            raise NameConflictError(
                f"{name} is claimed by more than one adapter: {both}",
                hint=f"Disable one: ZOO_PLUGINS, or `zoo --no-plugins={fitting[-1].plugin.name} ...`.",
            )
        if fitting:
            return fitting[0]
    cls = type(model)
    known = ", ".join(item.description.name for item in items) or "none"
    raise UsageError(
        f"no adapter knows {cls.__module__}.{cls.__qualname__}",
        hint=f"There are adapters for: {known}. Subclass zoo.Wrapped for a library of your own: see docs/adapters.md.",
    )
