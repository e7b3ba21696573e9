"""The built-in metrics, described through the same hook as those of other plugins."""

from __future__ import annotations

from zoo.registry.cards import Metric
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_metrics() -> list[Metric]:
    """Every metric of this package."""
    return [
        Metric(
            name="likelihood",
            summary="negative log-likelihood of test samples, for a diffusion by its ODE, with its errors",
            entry="zoo.metrics.likelihood:likelihood",
        ),
        Metric(
            name="variational-bound",
            summary="an upper bound of a diffusion's negative log-likelihood",
            entry="zoo.metrics.likelihood:variational_bound",
        ),
        Metric(
            name="classifier",
            summary="whether samples show their class, and their distance from real ones in a classifier's features",
            entry="zoo.metrics.agreement:classifier_metrics",
            requires=("torch",),
        ),
        Metric(
            name="text",
            summary="whether sampled texts look like real ones and are new",
            entry="zoo.metrics.texts:text_metrics",
        ),
        Metric(
            name="table",
            summary="distance of sampled rows from real ones, by column and in their correlations",
            entry="zoo.metrics.tabular:table_metrics",
        ),
        Metric(
            name="efficacy",
            summary="how well a learner that was trained on sampled rows predicts a column of real ones",
            entry="zoo.metrics.efficacy:table_efficacy",
            requires=("sklearn",),
        ),
        Metric(
            name="distance",
            summary="MMD, energy and sliced Wasserstein distance of samples from real ones",
            entry="zoo.metrics.two_sample:distances",
        ),
        Metric(
            name="c2st",
            summary="how well a classifier tells samples from real ones",
            entry="zoo.metrics.two_sample:c2st",
            requires=("sklearn",),
        ),
        Metric(
            name="calibration",
            summary="whether posteriors are calibrated, by ranks (SBC) and expected coverage",
            entry="zoo.metrics.posterior:calibration",
            requires=("scipy",),
        ),
        Metric(
            name="auroc",
            summary="whether the density tells other data, of --against, from test data",
            entry="zoo.metrics.outliers:auroc",
        ),
    ]
