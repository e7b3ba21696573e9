"""The built-in metrics, described through the same hook as those of other plugins."""

from __future__ import annotations

from zoo.registry.cards import Metric
from zoo.registry.hookspecs import hookimpl


def _metric(name: str, entry: str, summary: str, *requires: str) -> Metric:
    return Metric(name=name, summary=summary, entry=f"zoo.metrics.{entry}", requires=requires)


@hookimpl
def zoo_metrics() -> list[Metric]:
    """Every metric of this package."""
    judged = "whether samples show their class, and their distance from real ones in a classifier's features"
    bound = "an upper bound of a diffusion's negative log-likelihood"
    restored = "how far pictures drawn from others, restyled or enlarged ones, are from the held-out truth"
    return [
        _metric(
            "likelihood",
            "likelihood:likelihood",
            "negative log-likelihood of test samples, for a diffusion by its ODE, with its errors",
        ),
        _metric("variational-bound", "likelihood:variational_bound", bound),
        _metric("classifier", "agreement:classifier_metrics", judged, "torch"),
        _metric("text", "texts:text_metrics", "whether sampled texts look like real ones and are new"),
        _metric(
            "table",
            "tabular:table_metrics",
            "distance of sampled rows from real ones, by column, in pairs of them, and in their correlations",
        ),
        _metric(
            "distance", "two_sample:distances", "MMD, energy and sliced Wasserstein distance of samples from real ones"
        ),
        _metric(
            "fidelity",
            "neighbours:fidelity",
            "how many samples of numbers look like real ones, and how much of the real ones they reach",
        ),
        _metric(
            "features",
            "features:feature_metrics",
            "Fréchet and kernel distance, fidelity and variety of pictures and recordings in stated features",
            "torch",
        ),
        _metric(
            "copying", "neighbours:copying", "how near samples are to training data, beside how near held-out data are"
        ),
        _metric("reconstruction", "pictures:reconstruction", restored),
        _metric("c2st", "two_sample:c2st", "how well a classifier tells samples from real ones", "sklearn"),
        _metric(
            "calibration",
            "posterior:calibration",
            "whether posteriors are calibrated, by ranks (SBC) and expected coverage",
            "scipy",
        ),
        _metric(
            "tarp",
            "posterior:tarp",
            "whether posteriors are accurate in all their parameters together, by random points (TARP)",
            "scipy",
        ),
        _metric(
            "predictive",
            "posterior:predictive",
            "whether a simulator, of --simulator, makes of posteriors what was observed",
        ),
        _metric(
            "efficacy", "efficacy:efficacy", "how well columns are predicted after learning from samples", "sklearn"
        ),
        _metric("auroc", "outliers:auroc", "whether the density tells other data, of --against, from test data"),
    ]
