"""Evaluation of a model on held-out data: :class:`Evaluation` is the argument of every metric of ``zoo eval``.

A metric is a function ``(evaluation, **options) -> tables by name``, which a plugin describes by the hook
``zoo_metrics``; the built-in ones are in :mod:`zoo.metrics.plugin`. Each table has its ``value`` and what is needed to
interpret it, as stored in a card. Nothing here needs torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.arrays import Array
from zoo.conditions import StoredCondition
from zoo.counts import Progress
from zoo.data import Dataset, Split
from zoo.errors import PluginError, ZooError
from zoo.likelihood import LogDensity
from zoo.metrics.options import check
from zoo.registry import Registry
from zoo.registry.cards import Metric
from zoo.registry.discovery import last_line
from zoo.runtime import BundledModel

if TYPE_CHECKING:
    from zoo.metrics.unexported import TorchModel

#: tables by name
Metrics = dict[str, dict[str, object]]

#: default number of scored test samples if each takes an ODE
SCORED_BY_ODE = 64


@dataclass(frozen=True)
class Samples:
    """Samples drawn from a model.

    Attributes:
        x: ``[n, *event_shape]`` in data units.
        condition: their requested conditions, int32 ``[n]`` or float32 ``[n, d]``, or these by the names of parts; None
            for an unconditional model.
    """

    x: Array
    condition: StoredCondition


@dataclass(kw_only=True)
class Evaluation:
    """A model and held-out data to measure it on, with settings shared by metrics.

    Attributes:
        model: the opened bundle, or a PyTorch model that is asked as one is.
        data: the data set, whose test split is held out; its training split serves as other real data.
        scored: number of test samples to score, the first ones; None for all, or for 64 if each takes an ODE.
        steps: steps of a diffusion's ODE; None for the model's default.
        probes: probes of its trace; None for the model's default, 0 for the exact trace.
        chain: steps of the chain of a diffusion's variational bound.
        terms: number of its terms to evaluate.
        samples: number of samples to draw; 0 for none.
        seed: of the dequantisation and of probes. Samples are drawn with seed + 1.
        progress: called with (calls done, calls in all), or None.
        own: whether the training split is what the model was trained on, and not just other real data.
        features: a name, and what makes features ``[n, k]`` of pictures or recordings ``[n, *event_shape]`` in data
            units, float32; None for those that the metric ``features`` chooses.
        simulator: a name, and what makes a condition ``[n, d]`` of samples of a posterior ``[n, *event_shape]``, for
            posterior predictive checks; or None.
        against: other data to tell from the test samples by their density, or None.
        options: options of metrics by the metrics' names, which :func:`measure` gives them, see
            :mod:`zoo.metrics.options`.
        kept: what a metric found out that others need too, by a name; each metric fills it for itself.
    """

    model: BundledModel | TorchModel
    data: Dataset
    scored: int | None = None
    steps: int | None = None
    probes: int | None = None
    chain: int = 1000
    terms: int = 100
    samples: int = 1000
    seed: int = 0
    progress: Progress | None = None
    own: bool = True
    features: tuple[str, Callable[[Array], Any]] | None = None
    simulator: tuple[str, Callable[[Array], Any]] | None = None
    against: Split | None = None
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def integrates(self) -> bool:
        """Whether the model scores by an ODE."""
        return self.model.manifest.log_prob is not None and self.model.manifest.log_prob.estimates

    @property
    def count(self) -> int:
        """The number of scored test samples."""
        wanted = SCORED_BY_ODE if self.scored is None and self.integrates else self.scored
        return len(self.data.test) if wanted is None else min(wanted, len(self.data.test))

    def tested(self) -> tuple[Array, StoredCondition]:
        """The scored test samples, with noise as wide as their grain, and their conditions or None."""
        return self.tested_at(self.count)

    def tested_at(self, count: int) -> tuple[Array, StoredCondition]:
        """The first ``count`` test samples, likewise."""
        return self._dequantised(self.data.test, count)

    def _dequantised(self, split: Split, count: int) -> tuple[Array, StoredCondition]:
        x: Array = split.x[:count]
        if self.data.grain is not None and not self.data.levels:
            # integers are dequantised by the runtime
            x = (x + np.random.default_rng(self.seed).random(x.shape) * self.data.grain).astype(np.float32)
        return x, None if self.model.condition is None else split.condition_at(slice(count))

    @cached_property
    def density(self) -> LogDensity:
        """Log-densities of the scored test samples, computed once for all metrics; errors are 0 without an ODE.

        Raises:
            UsageError: a model without a density.
        """
        return self._scored(*self.tested())

    @cached_property
    def density_against(self) -> LogDensity | None:
        """The same of the other data, at most as many; None without other data."""
        if self.against is None:
            return None
        count = self.count if self.integrates or self.scored else len(self.against)
        return self._scored(*self._dequantised(self.against, count))

    def _scored(self, x: Array, condition: StoredCondition) -> LogDensity:
        if not self.integrates:
            value = self.model.log_prob(x, condition=condition, seed=self.seed, progress=self.progress)
            return LogDensity(value, *(np.zeros_like(value) for _ in range(3)))
        return self.model.log_prob_with_errors(
            x, condition=condition, seed=self.seed, steps=self.steps, probes=self.probes, progress=self.progress
        )

    @cached_property
    def drawn(self) -> Samples | None:
        """Samples of the model's default sampler, drawn once for all metrics; None if none are requested, or if the
        model only scores.

        Classes alternate; vectors are those of the test samples in turn.
        """
        if not self.samples or self.model.manifest.sample is None:
            return None
        condition: StoredCondition = None
        described, test = self.model.condition, self.data.test
        if described is not None and described.kind == "classes":
            condition = described.array(None, self.samples)
        elif described is not None:
            condition = test.condition_at(np.arange(self.samples) % len(test))
        x = self.model.sample(self.samples, seed=self.seed + 1, condition=condition, progress=self.progress)
        return Samples(x, condition)

    def with_steps(self, steps: int, count: int) -> Evaluation:
        """The same of fewer samples, of the same noise and conditions, drawn in so many steps of the default sampler.

        Args:
            steps: of a model whose samples take steps.
            count: of the samples, at most as many as there are.
        """
        assert self.drawn is not None
        condition = self.drawn.condition
        some = {name: part[:count] for name, part in condition.items()} if isinstance(condition, Mapping) else condition
        some = some[:count] if isinstance(some, np.ndarray) else some
        x = self.model.sample(count, seed=self.seed + 1, condition=some, steps=steps, progress=self.progress)
        fewer = replace(self, samples=count, kept={})
        fewer.__dict__["drawn"] = Samples(x, some)
        return fewer


def chosen_metrics(registry: Registry, names: Collection[str] = ()) -> list[Metric]:
    """The metrics of these names; without names, all except those whose name two plugins claim.

    Raises:
        UnknownNameError: no such metric.
        NameConflictError: a name that two plugins claim.
    """
    if not names:
        claims = Counter(item.description.name for item in registry.items("metric"))
        names = [name for name, claimants in claims.items() if claimants == 1]
    return [registry.metric(name) for name in dict.fromkeys(names)]


def measure(registry: Registry, metric: Metric, evaluation: Evaluation) -> Metrics:
    """The result of a metric for a model.

    Args:
        registry: the registry of the metric.
        metric: the metric.
        evaluation: the model and the data.

    Returns:
        tables by name, with the ``options`` that the evaluation has for the metric; empty if the metric does not
        apply to the model or its data.

    Raises:
        MissingDependencyError: something that the metric requires is not installed.
        PluginError: a metric that fails, or does not return tables with a value.
        UsageError: an option that the metric does not have, or a value of another type.
        ZooError: an error of the metric.
    """
    function, options = registry.load_entry(metric), dict(evaluation.options.get(metric.name, {}))
    check(metric.name, function, options)
    plugin = registry.item("metric", metric.name).plugin
    origin = f"the metric {metric.name} of {plugin.origin}"
    try:
        metrics = function(evaluation, **options)
    except ZooError:
        raise
    except Exception as error:
        hint = None if plugin.builtin else f"Disable it: `zoo --no-plugins={plugin.name} ...`"
        raise PluginError(f"{origin} fails: {last_line(error)}", hint=hint) from error
    if not isinstance(metrics, Mapping):
        raise PluginError(f"{origin} gives {type(metrics).__name__}, not tables by name")
    for name, table in metrics.items():
        value = table.get("value") if isinstance(table, Mapping) else None
        if not isinstance(name, str) or not isinstance(value, (int, float, np.number)):
            raise PluginError(f"{origin} gives {name!r}: {table!r}, not a table with a number as its value")
    chosen = {"options": options} if options else {}
    return {name: {**table, **chosen} for name, table in metrics.items()}


def measure_all(
    registry: Registry,
    metrics: Collection[Metric],
    evaluation: Evaluation,
    *,
    one: Callable[[Registry, Metric, Evaluation], Metrics] = measure,
) -> Metrics:
    """The results of several metrics, in order.

    Args:
        registry: the registry of the metrics.
        metrics: the metrics.
        evaluation: the model and the data.
        one: :func:`measure`, or a wrapper of it that shows progress.

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


def in_words(value: object) -> str:
    """A value of a metric's table in words: mappings, such as of columns to numbers, as lists."""
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, Mapping) else str(value)
