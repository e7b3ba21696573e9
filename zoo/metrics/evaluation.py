"""What is measured of a bundle on held-out data: :class:`Evaluation` is what a metric gets, and what ``zoo eval`` runs.

A metric is a function ``(evaluation) -> tables by name``, which a plugin describes by the hook ``zoo_metrics``; the
built-in ones are in :mod:`zoo.metrics.plugin`. Each table has its ``value`` and what one must know to read it, as a
card holds it. Nothing here needs torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.counts import Progress
from zoo.data import Dataset
from zoo.errors import PluginError, ZooError
from zoo.registry import Registry
from zoo.registry.cards import Metric
from zoo.registry.discovery import last_line
from zoo.runtime import BundledModel

#: tables by name
Metrics = dict[str, dict[str, Any]]

#: test samples that are scored unless another number is asked for, where each takes an ODE
SCORED_BY_ODE = 64


@dataclass(frozen=True)
class Samples:
    """What a model drew.

    Attributes:
        x: ``[n, *event_shape]`` in data units.
        condition: what they were asked to show, int32 ``[n]`` or float32 ``[n, d]``; None of an unconditional model.
    """

    x: NDArray[Any]
    condition: NDArray[Any] | None


@dataclass(kw_only=True)
class Evaluation:
    """A model and held-out data to measure it on, with settings that metrics share.

    Attributes:
        model: the opened bundle.
        data: the data set; its test split is what was held out.
        scored: how many test samples are scored, the first; None for all, or for 64 where each takes an ODE.
        steps: steps of a diffusion's ODE; None for the model's own number.
        probes: probes of its trace; None for the model's own number, 0 for the exact trace.
        chain: steps of the chain of a diffusion's variational bound.
        terms: how many of them are evaluated.
        samples: how many samples are drawn; 0 for none.
        seed: of the dequantisation and of probes. Samples are drawn from the next one.
        progress: called with (calls done, calls in all), or None.
    """

    model: BundledModel
    data: Dataset
    scored: int | None = None
    steps: int | None = None
    probes: int | None = None
    chain: int = 1000
    terms: int = 100
    samples: int = 1000
    seed: int = 0
    progress: Progress | None = None

    @property
    def integrates(self) -> bool:
        """Whether the model scores by an ODE."""
        return self.model.manifest.log_prob is not None and self.model.manifest.log_prob.estimates

    @property
    def count(self) -> int:
        """How many test samples are scored."""
        wanted = SCORED_BY_ODE if self.scored is None and self.integrates else self.scored
        return len(self.data.test) if wanted is None else min(wanted, len(self.data.test))

    def tested(self) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The test samples that are scored, with noise as wide as their grain, and their conditions or None."""
        x: NDArray[Any] = self.data.test.x[: self.count]
        if self.data.grain is not None and not self.data.levels:
            # whole numbers get theirs from the runtime
            x = (x + np.random.default_rng(self.seed).random(x.shape) * self.data.grain).astype(np.float32)
        condition = None if self.model.condition is None else self.data.test.condition
        return x, None if condition is None else condition[: self.count]

    @cached_property
    def drawn(self) -> Samples | None:
        """Samples with the model's own sampler, drawn once for all metrics; None if none are asked for.

        Classes are asked for in turn, vectors are those of the test samples in turn.
        """
        if not self.samples:
            return None
        condition: NDArray[Any] | None = None
        described, given = self.model.condition, self.data.test.condition
        if described is not None and described.kind == "classes":
            condition = described.array(None, self.samples)
        elif described is not None and given is not None:
            condition = given[np.arange(self.samples) % len(given)]
        x = self.model.sample(self.samples, seed=self.seed + 1, condition=condition, progress=self.progress)
        return Samples(x, condition)


def chosen_metrics(registry: Registry, names: Collection[str] = ()) -> list[Metric]:
    """The metrics of these names; without names all, but those whose name two plugins claim.

    Raises:
        UnknownNameError: no such metric.
        NameConflictError: a name that two plugins claim.
    """
    if not names:
        claims = Counter(item.description.name for item in registry.items("metric"))
        names = [name for name, claimants in claims.items() if claimants == 1]
    return [registry.metric(name) for name in dict.fromkeys(names)]


def measure(registry: Registry, metric: Metric, evaluation: Evaluation) -> Metrics:
    """What a metric says of a model.

    Args:
        registry: that the metric is of.
        metric: which.
        evaluation: what is measured.

    Returns:
        tables by name; none if the metric does not fit the model or its data.

    Raises:
        MissingDependencyError: something that the metric requires is not installed.
        PluginError: a metric that fails, or that gives something else than tables with a value.
        ZooError: whatever the metric has to say.
    """
    function = registry.load_entry(metric)
    plugin = registry.item("metric", metric.name).plugin
    origin = f"the metric {metric.name} of {plugin.origin}"
    try:
        found = function(evaluation)
    except ZooError:
        raise
    except Exception as error:
        hint = None if plugin.builtin else f"Leave it out: `zoo --no-plugins={plugin.name} ...`"
        raise PluginError(f"{origin} fails: {last_line(error)}", hint=hint) from error
    if not isinstance(found, Mapping):
        raise PluginError(f"{origin} gives {type(found).__name__}, not tables by name")
    for name, table in found.items():
        value = table.get("value") if isinstance(table, Mapping) else None
        if not isinstance(name, str) or not isinstance(value, (int, float, np.number)):
            raise PluginError(f"{origin} gives {name!r}: {table!r}, not a table with a number as its value")
    return {name: dict(table) for name, table in found.items()}


def measure_all(
    registry: Registry,
    metrics: Collection[Metric],
    evaluation: Evaluation,
    *,
    one: Callable[[Registry, Metric, Evaluation], Metrics] = measure,
) -> Metrics:
    """What several metrics say, in their order.

    Args:
        registry: that the metrics are of.
        metrics: which.
        evaluation: what is measured.
        one: :func:`measure`, or something around it that shows how far it is.

    Raises:
        PluginError: two metrics give the same name, or what :func:`measure` raises.
    """
    tables: Metrics = {}
    of: dict[str, str] = {}
    for metric in metrics:
        for name, table in one(registry, metric, evaluation).items():
            if name in tables:
                raise PluginError(f"the metrics {of[name]} and {metric.name} both give {name!r}")
            tables[name], of[name] = table, metric.name
    return tables
