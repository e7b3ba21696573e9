"""The description of an engine of bulk runs."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.registry.cards import Description


@dataclass(frozen=True, kw_only=True)
class Engine(Description):
    """What shares bulk work between processes or machines: an ``--engine`` of ``zoo run``.

    Attributes:
        entry: ``"module:function"``, a function ``(job, tasks, workers) -> Iterator[Shard]``, see
            :mod:`zoo.bulk.engines`.
    """

    entry: str
