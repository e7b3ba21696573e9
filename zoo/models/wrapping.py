"""``zoo.wrap``: other people's models as models of genzoo, recognised by their class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.errors import NameConflictError, PluginError, UsageError, ZooError
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
    try:
        wrapped = adapt(model, event_shape, context, **options)
    except ZooError:
        raise
    except TypeError as error:
        raise UsageError(f"the adapter {item.description.name} does not take these options: {error}") from error
    except Exception as error:
        raise PluginError(
            f"the adapter {item.description.name} of {item.plugin.origin} fails on {type(model).__name__}: {error}"
        ) from error
    from zoo.models.interface import GenerativeModel
    from zoo.models.wrapped import Wrapped, tried

    if not isinstance(wrapped, GenerativeModel):
        raise PluginError(f"the adapter {item.description.name} gives {type(wrapped).__name__}, not a model")
    if isinstance(wrapped, Wrapped):
        tried(wrapped)
    return wrapped


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
