"""What nearest neighbours say of samples: how real and how varied they are, and whether they copy training data."""

from __future__ import annotations

import numpy as np

from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.options import at_least
from zoo.metrics.rows import Rows, compared, nearest, squared_distances


def fidelity(evaluation: Evaluation, *, neighbour: int = 5) -> Metrics:
    """``precision``, ``recall``, ``prdc_density`` and ``prdc_coverage`` of rows of numbers, see :func:`prdc`.

    Empty for pictures and recordings, which :mod:`zoo.metrics.features` compares, and where distances of rows are.

    Args:
        evaluation: the model and its data.
        neighbour: number of the neighbour whose distance is the reach of a row.

    Raises:
        UsageError: no neighbour.
    """
    at_least(1, neighbour=neighbour)
    rows = compared(evaluation) if len(evaluation.model.event_shape) == 1 else None
    return {} if rows is None else prdc(rows.drawn, rows.held_out, rows.training, "standardised samples", neighbour)


def prdc(drawn: Rows, held_out: Rows, training: Rows, what: str, neighbour: int = 5) -> Metrics:
    """How many samples lie among held-out data and the reverse, by the reach of each, the distance of a neighbour.

    Precision and recall are those of Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 1 and 2, density and coverage
    those of Naeem et al. 2020, arXiv:2002.09797, eq. 3 and 4.

    Args:
        drawn: ``[n, features]``.
        held_out: ``[m, features]``.
        training: other real data, which have the values of a perfect model.
        what: what the features are.
        neighbour: number of that neighbour.

    Returns:
        tables; empty for fewer rows than there are neighbours to count.
    """
    if min(len(drawn), len(held_out), len(training)) <= neighbour:
        return {}
    mine, floor = (_measures(each, held_out, neighbour) for each in (drawn, training))
    told = {
        "precision": "samples that lie within the reach of a held-out one, the distance of its neighbour number "
        f"{neighbour}",
        "recall": "held-out data that lie within the reach of a sample",
        "prdc_density": f"held-out data within whose reach a sample lies, on average, divided by {neighbour}",
        "prdc_coverage": "held-out data that have a sample within their reach",
    }
    return {
        name: {
            "value": round(mine[name], 4),
            "of_training_data": round(floor[name], 4),
            "of": f"{of}; of {what}",
            "samples": len(drawn),
        }
        for name, of in told.items()
    }


def _measures(drawn: Rows, real: Rows, neighbour: int) -> dict[str, float]:
    reach, own = (nearest(each, each, neighbour, same=True)[:, -1] for each in (real, drawn))
    within = np.sqrt(squared_distances(drawn, real))
    inside = within <= reach
    return {
        "precision": float(inside.any(1).mean()),
        "recall": float((within <= own[:, None]).any(0).mean()),
        "prdc_density": float(inside.sum(1).mean() / neighbour),
        "prdc_coverage": float(inside.any(0).mean()),
    }


def copying(evaluation: Evaluation) -> Metrics:
    """``closest_record``: how near samples are to training data, beside how near held-out data are.

    A model that copies has samples much nearer than held-out data are. Distances are of standardised numbers; those of
    a model that rounds as its data are rounded may well be 0 in both. Empty where distances of rows are, and
    where the training data are not at hand.
    """
    rows = compared(evaluation, records=True) if evaluation.own else None
    if rows is None:
        return {}
    mine = nearest(rows.drawn, rows.training, 1)[:, 0]
    real = nearest(rows.held_out, rows.training, 1)[:, 0]
    near = np.quantile(real, 0.05)
    # of equal distances, such as 0 of rounded rows, as many count as of the held-out ones
    expected, share = float((real <= near).mean()), float((mine <= near).mean())
    return {
        "closest_record": {
            "value": round(float(np.median(mine)), 5),
            "of_held_out_data": round(float(np.median(real)), 5),
            "share_near": round(share, 4),
            "share_near_of_held_out_data": round(expected, 4),
            "of": f"the median distance of samples to the closest of {len(rows.training):,} training data; share "
            "near: of samples that are as near as the nearest twentieth of held-out data, 1 for copies",
            "samples": len(rows.drawn),
        }
    }
