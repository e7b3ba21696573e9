"""The description of an adapter, see :mod:`zoo.registry.cards`. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.registry.cards import Description


@dataclass(frozen=True, kw_only=True)
class Adapter(Description):
    """Models of another library, which :func:`zoo.wrap` then takes.

    Attributes:
        classes: the library's base classes by qualified name, ``("zuko.lazy.LazyDistribution",)``. A model belongs to
            the adapter with the most special of its classes, which is found without importing the library.
        entry: ``"module:Class"`` of a :class:`zoo.Wrapped`, or another function
            ``(model, event_shape, context, **options) -> zoo.GenerativeModel``.
        instance: ``"module:function"``, a function ``() -> Mapping`` of arguments of :func:`zoo.wrap` by name, among
            them ``model``, a small one of the library, which ``zoo check-plugin`` wraps; may be empty.
    """

    classes: tuple[str, ...]
    entry: str
    instance: str = ""
    requires: tuple[str, ...] = ("torch",)
