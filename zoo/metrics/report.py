"""A page of an evaluation: metrics, samples beside data, marginals, likelihoods and the history of the training.

In HTML it is one file with the pictures inside; in Markdown, as model cards are, a text with pictures beside it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.conditions import StoredCondition
from zoo.dates import formatted
from zoo.errors import UsageError, ZooError
from zoo.metrics import pages
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.pages import Beside, Block, Cells, Lines, Picture, Sections
from zoo.metrics.posterior import Ranks, predictions, ranks, tarp_shares
from zoo.metrics.rows import as_written, compared
from zoo.metrics.two_sample import energy_distance
from zoo.modality import Column, Table, Text
from zoo.render import tables as written_tables
from zoo.render.files import Extras, content
from zoo.render.text import texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_SHOWN, _ROWS, _COLUMNS, _PAIRED = 36, 8, 48, 5
#: steps that samples are drawn in, and how many samples
_STEPS, _STEPPED = (1, 2, 4, 8, 16, 32), 200
#: of the Kolmogorov distribution, the quantile at 99%
_KS = 1.628
_DATA, _DRAWN, _OTHER = "#555555", "#1f77b4", "#d62728"


def page(
    evaluation: Evaluation,
    metrics: Metrics,
    *,
    name: str,
    facts: Mapping[str, object],
    history: Sequence[Mapping[str, float]] = (),
) -> str:
    """The page in HTML.

    Args:
        evaluation: what was measured.
        metrics: the results, by name.
        name: of the model.
        facts: what is said of model and data, by name.
        history: lines of the training's log (:mod:`zoo.training.log`), or none.
    """
    return pages.in_html(name, facts, metrics, _sections(evaluation, metrics, history))


def markdown(
    evaluation: Evaluation,
    metrics: Metrics,
    *,
    name: str,
    facts: Mapping[str, object],
    history: Sequence[Mapping[str, float]] = (),
    pictures: str,
) -> tuple[str, dict[str, bytes]]:
    """The page in Markdown, and its pictures by their names; arguments as of :func:`page`.

    Args:
        pictures: the folder of the pictures, from where the page is.
    """
    return pages.in_markdown(name, facts, metrics, _sections(evaluation, metrics, history), pictures)


def _sections(evaluation: Evaluation, metrics: Metrics, history: Sequence[Mapping[str, float]]) -> Sections:
    """What follows the metrics, by titles; nothing of what there is not."""
    return [
        ("Samples", _samples(evaluation)),
        ("Marginals", _marginals(evaluation)),
        ("Likelihood", _likelihoods(evaluation)),
        ("Calibration", _calibration(evaluation, metrics)),
        ("Posterior predictive", _predictive(evaluation)),
        ("Quality by steps", _by_steps(evaluation)),
        ("Training", _training(history)),
    ]


# -- samples beside data ----------------------------------------------------------------------------------------------


def _samples(evaluation: Evaluation) -> list[Block]:
    """Some samples and as many test data, as what they are: texts, rows, pictures or points."""
    data, drawn = evaluation.data, evaluation.drawn
    if drawn is None:
        return []
    modality = data.modality
    mine, real = drawn.x, np.asarray(data.test.x[:_SHOWN])
    if isinstance(modality, Text):
        return [Beside(*(Lines(texts(x[:_SHOWN], modality)) for x in (mine, real)))]
    if isinstance(modality, Table):
        cells = [Cells(*written_tables.texts(x[:_ROWS], modality)) for x in (mine, real)]
        return [Beside(*cells), *_pairs(evaluation)]
    if len(data.event_shape) == 1:
        return _pairs(evaluation)
    both = [(mine[:_SHOWN], drawn.condition), (real, data.test.condition_at(slice(_SHOWN)))]
    pictures = [_picture(evaluation, x, condition) for x, condition in both]
    first, second = pictures
    return [] if first is None or second is None else [Beside(first, second)]


def _picture(evaluation: Evaluation, x: Array, condition: StoredCondition) -> Picture | None:
    """A picture of images or recordings; None for samples that cannot be drawn."""
    data = evaluation.data
    # classes are told beside pictures, and parts may say where a path begins; a vector is not drawn
    drawn_with = None if isinstance(condition, np.ndarray) and condition.ndim != 1 else condition
    extras = Extras(
        condition=drawn_with,  # type: ignore[arg-type]
        labels=data.labels,
        levels=data.levels,
        modality=data.modality,
        length=evaluation.model.manifest.length,
    )
    try:
        return Picture(content(np.asarray(x, np.float32), "samples.png", extras), "samples", chart=False)
    except ZooError:
        return None


def _pairs(evaluation: Evaluation) -> list[Block]:
    """Scatter plots of every two of the first columns of numbers."""
    drawn, real, columns = _compared(evaluation)
    chosen = [i for i, column in enumerate(columns) if not column.values][:_PAIRED]
    drawn, real, columns = drawn[:, chosen], real[:, chosen], [columns[i] for i in chosen]
    count = len(columns)
    if not count >= 2:
        return []
    # as many of both, so that neither hides the other
    fewest = min(len(drawn), len(real))
    drawn, real, size = drawn[:fewest], real[:fewest], 4 if fewest < 200 else 2
    figure = _figure(2.4 * count, 2.4 * count)
    axes: Any = figure.subplots(count, count, squeeze=False)
    for i, j in np.ndindex(count, count):
        axis: Axes = axes[i, j]
        if i < j:
            axis.set_axis_off()
        elif i == j:
            _histogram(axis, drawn[:, i], real[:, i], columns[i])
        else:
            for x, colour, label in ((drawn, _DRAWN, "samples"), (real, _DATA, "test data")):
                axis.plot(x[:, j], x[:, i], ".", color=colour, markersize=size, alpha=0.5, label=label)
            _dated(axis.yaxis, real[:, i], columns[i])
            _dated(axis.xaxis, real[:, j], columns[j])
        axis.tick_params(labelsize=6)
        if i == count - 1:
            axis.set_xlabel(_heading(columns[j]), fontsize=8)
        if j == 0:
            axis.set_ylabel(_heading(columns[i]), fontsize=8)
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="upper right", fontsize=9, markerscale=3)
    return _chart(figure, "pairs of columns")


# -- curves -----------------------------------------------------------------------------------------------------------


def _compared(evaluation: Evaluation) -> tuple[NDArray[np.float64], NDArray[np.float64], Sequence[Column]]:
    """Samples and test data as rows, and their columns."""
    data = evaluation.data
    assert evaluation.drawn is not None
    real = np.asarray(data.test.x[: len(evaluation.drawn.x)])
    rows = [as_written(data, x).reshape(len(x), -1) for x in (evaluation.drawn.x, real)]
    if isinstance(data.modality, Table):
        return rows[0], rows[1], data.modality.columns
    return rows[0], rows[1], [Column(f"x{i}") for i in range(rows[0].shape[1])]


def _marginals(evaluation: Evaluation) -> list[Block]:
    """Histograms of every column; of pictures and recordings, one of all their numbers."""
    data = evaluation.data
    if evaluation.drawn is None or isinstance(data.modality, Text):
        return []
    drawn, real, columns = _compared(evaluation)
    if len(data.event_shape) > 1 or len(columns) > _COLUMNS:
        drawn, real, columns = drawn.reshape(-1, 1), real.reshape(-1, 1), [Column("all numbers")]
    across = min(4, len(columns))
    down = -(-len(columns) // across)
    figure = _figure(3.0 * across, 2.2 * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for i, axis in enumerate(axes):
        if i >= len(columns):
            axis.set_axis_off()
            continue
        _histogram(axis, drawn[:, i], real[:, i], columns[i])
        axis.set_title(_heading(columns[i]), fontsize=9)
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=7)
    return _chart(figure, "histograms of the columns")


def _histogram(axis: Axes, drawn: NDArray[np.float64], real: NDArray[np.float64], column: Column) -> None:
    axis.set_yticks([])
    if column.values:
        places = np.arange(len(column.values))
        for x, colour, shift, label in ((real, _DATA, -0.2, "test data"), (drawn, _DRAWN, 0.2, "samples")):
            shares = np.bincount(x.astype(np.int64), minlength=len(places)) / len(x)
            axis.bar(places + shift, shares, 0.4, color=colour, label=label)
        labels = [(name or "(empty)")[:12].replace("$", r"\$") for name in column.values]
        if len(labels) <= 12:
            axis.set_xticks(places, labels, rotation=45, ha="right")
        return
    both = np.concatenate([drawn, real])
    # some samples far away would leave one bar of all others
    low, high = (float(v) for v in np.quantile(both, [0.002, 0.998]))
    bins = np.linspace(low, high if high > low else low + 1.0, 41)
    axis.hist(real, bins.tolist(), density=True, color=_DATA, alpha=0.45, label="test data")
    axis.hist(drawn, bins.tolist(), density=True, histtype="step", color=_DRAWN, linewidth=1.5, label="samples")
    _dated(axis.xaxis, real, column)


def _dated(axis: Axis, numbers: NDArray[np.float64], column: Column) -> None:
    """Write the first and last of dates at their axis, instead of days."""
    if column.date:
        ends = [float(numbers.min()), float(numbers.max())]
        axis.set_ticks(ends, [formatted(end + column.origin, column.date) for end in ends])


def _heading(column: Column) -> str:
    name = column.name if len(column.name) <= 24 else f"{column.name[:23]}…"
    return name.replace("$", r"\$")


def _likelihoods(evaluation: Evaluation) -> list[Block]:
    """Histograms of the log-densities of test data, samples, and other data where there are some."""
    manifest, drawn = evaluation.model.manifest, evaluation.drawn
    if manifest.density == "none":
        return []
    sets = [("test data", evaluation.density.value, _DATA)]
    if drawn is not None and not evaluation.integrates and not evaluation.data.levels:
        own = evaluation.model.log_prob(drawn.x, condition=drawn.condition, seed=evaluation.seed)
        sets.append(("samples", own, _DRAWN))
    if evaluation.density_against is not None:
        sets.append(("other data", evaluation.density_against.value, _OTHER))
    sets = [(label, x[np.isfinite(x)], colour) for label, x, colour in sets]
    every = np.concatenate([x for _, x, _ in sets])
    if not len(every):
        return []
    low, high = (float(v) for v in np.quantile(every, [0.005, 0.995]))
    bins = np.linspace(low, high if high > low else low + 1.0, 51)
    figure = _figure(8, 3)
    axis = figure.subplots()
    for label, x, colour in sets:
        axis.hist(x.clip(bins[0], bins[-1]), bins.tolist(), density=True, color=colour, alpha=0.45, label=label)
    axis.set_xlabel("log-density in nats")
    axis.set_yticks([])
    axis.legend()
    return _chart(figure, "histograms of log-densities")


def _calibration(evaluation: Evaluation, metrics: Metrics) -> list[Block]:
    """The distribution functions of ranks, where they were measured."""
    ranked = ranks(evaluation, **_options(evaluation, "calibration")) if "sbc" in metrics else None
    if ranked is None:
        return []
    figure = _figure(8, 3.5)
    draw_ranks(figure.subplots(), ranked, tarp_shares(evaluation, ranked) if "tarp" in metrics else None)
    return _chart(figure, "distribution functions of ranks")


def _options(evaluation: Evaluation, metric: str) -> dict[str, Any]:
    """The options that a metric was measured with, so that what it drew is not drawn again."""
    return dict(evaluation.options.get(metric, {}))


def draw_ranks(axis: Axes, ranked: Ranks, together: NDArray[np.float64] | None = None) -> None:
    """How far the distribution function of each column's ranks is from that of uniform ones; and that of TARP's shares.

    The band holds 99 of 100 calibrated columns: the limit of the Kolmogorov-Smirnov distance, 1.63/√n.
    """
    n = len(ranked.ranks)
    axis.axhspan(-_KS / np.sqrt(n), _KS / np.sqrt(n), color="#dddddd", label="99 of 100 calibrated ones")
    axis.axhline(0.0, color=_DATA, linewidth=0.8)
    below = np.arange(1, n + 1) / n
    for name, column in zip(ranked.names[:_COLUMNS], ranked.ranks.T, strict=False):
        places = np.sort(column)
        axis.plot([0.0, *places, 1.0], [0.0, *(below - places), 0.0], linewidth=1.2, label=_heading(Column(name)))
    if together is not None:
        places = np.sort(together)
        axis.plot([0.0, *places, 1.0], [0.0, *(below - places), 0.0], "k:", linewidth=1.5, label="all together (TARP)")
    axis.set_xlim(0.0, 1.0)
    axis.set_xlabel("rank of the true value among samples of its posterior")
    axis.set_ylabel("share below, less the rank")
    axis.legend(fontsize=7, ncols=2)


def _predictive(evaluation: Evaluation) -> list[Block]:
    """What a simulator makes of the posteriors of some test rows: 50% and 95% of it, beside what was observed."""
    predicted = predictions(evaluation, **_options(evaluation, "predictive"))
    if predicted is None:
        return []
    rows, columns = min(len(predicted.observed), _ROWS), min(len(predicted.names), _COLUMNS)
    # in units of all that was observed, so that numbers of different units stand beside each other
    center, scale = predicted.observed.mean(0), predicted.observed.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    figure = _figure(max(6.0, 0.35 * columns + 2), 1.5 * rows)
    axes = figure.subplots(rows, squeeze=False, sharex=True, sharey=True).ravel()
    places = np.arange(columns)
    for row, axis in enumerate(axes):
        ends = np.quantile((predicted.simulated[row] - center) / scale, [0.025, 0.25, 0.75, 0.975], axis=0)[:, :columns]
        axis.vlines(places, ends[0], ends[3], color=_DRAWN, linewidth=1.5, label="95% of simulations")
        axis.vlines(places, ends[1], ends[2], color=_DRAWN, linewidth=6, alpha=0.5, label="50% of simulations")
        seen = ((predicted.observed[row] - center) / scale)[:columns]
        axis.plot(places, seen, "_", color=_OTHER, markersize=12, markeredgewidth=2, label="observed")
        axis.tick_params(labelsize=7)
    axes[-1].set_xticks(places, [_heading(Column(name)) for name in predicted.names[:columns]], rotation=45, ha="right")
    figure.supylabel("in deviations of what was observed", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=8)
    return _chart(figure, "simulations from posteriors beside what was observed")


def _by_steps(evaluation: Evaluation) -> list[Block]:
    """How far samples in few and many steps are from test data, of a model whose samples take steps."""
    program = evaluation.model.manifest.sample
    if evaluation.drawn is None or program is None or not program.stepped:
        return []
    count = min(len(evaluation.drawn.x), _STEPPED)
    points, floor = [], float("nan")
    for steps in _STEPS:
        try:
            rows = compared(evaluation.with_steps(steps, count))
        except UsageError:  # a sampler may need more of them
            continue
        if rows is None:
            return []
        points.append((steps, energy_distance(rows.drawn, rows.held_out)))
        floor = energy_distance(rows.training, rows.held_out)
    if not points:
        return []
    figure = _figure(8, 3)
    axis = figure.subplots()
    axis.plot(*zip(*points, strict=True), "o-", color=_DRAWN, label=f"{count:,} samples")
    axis.axhline(floor, color=_DATA, linewidth=1.0, label="training data")
    axis.set_xscale("log", base=2)
    axis.set_xticks(_STEPS, [str(steps) for steps in _STEPS])
    axis.set_xlabel("steps of the default sampler")
    axis.set_ylabel("energy distance")
    axis.legend()
    return _chart(figure, "distance from test data by steps")


def _training(history: Sequence[Mapping[str, float]]) -> list[Block]:
    """Loss and validation loss by step."""
    if not history:
        return []
    figure = _figure(8, 3)
    axis = figure.subplots()
    for name, style in (
        ("loss", {"color": _DRAWN, "linewidth": 0.8}),
        ("validation", {"color": _OTHER, "marker": "."}),
    ):
        points = [(line["step"], line[name]) for line in history if name in line]
        if points:
            axis.plot(*zip(*points, strict=True), label=name, **style)
    axis.set_xlabel("step")
    losses = np.array([line["loss"] for line in history if "loss" in line])
    if len(losses) > 20:  # the first steps would leave a flat line of all others
        low, high = float(losses.min()), float(np.quantile(losses, 0.98))
        axis.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low) or 1.0)
    axis.legend()
    return _chart(figure, "loss by step")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _chart(figure: Figure, shows: str) -> list[Block]:
    return [Picture(_png(figure), shows)]
