"""How far samples are from held-out data: C2ST, MMD, energy and sliced Wasserstein distance.

Each value stands beside that of training data, which is what a perfect model has with as many samples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.options import at_least
from zoo.metrics.rows import Rows, compared, squared_distances

#: rows of each set that a classifier is trained on, and units of its layers, at most
_CLASSIFIED, _UNITS = 1000, 100


def distances(evaluation: Evaluation, *, projections: int = 256) -> Metrics:
    """``mmd``, ``energy_distance`` and ``sliced_wasserstein`` of samples and held-out data.

    Empty for texts, events of variable length, and events of more than 4,096 numbers.

    Args:
        evaluation: the model and its data.
        projections: directions of the sliced Wasserstein distance.

    Raises:
        UsageError: no projections.
    """
    at_least(1, projections=projections)
    rows = compared(evaluation)
    if rows is None:
        return {}
    random = np.random.default_rng(evaluation.seed)
    directions = random.standard_normal((rows.held_out.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    width = median_distance(rows.held_out)
    measures: dict[str, tuple[Callable[[Rows, Rows], float], str]] = {
        "mmd": (
            lambda x, y: squared_mmd(x, y, width),
            "the squared maximum mean discrepancy, unbiased, of standardised samples and held-out data, with a "
            "Gaussian kernel as wide as the median distance",
        ),
        "energy_distance": (
            energy_distance,
            "the squared energy distance, unbiased, of standardised samples and held-out data",
        ),
        "sliced_wasserstein": (
            lambda x, y: sliced_wasserstein(x, y, directions),
            f"the 2-Wasserstein distance of standardised samples and held-out data along {projections} directions",
        ),
    }
    return {
        name: {
            "value": round(measure(rows.drawn, rows.held_out), 5),
            "of_training_data": round(measure(rows.training, rows.held_out), 5),
            "of": what,
            "samples": len(rows.drawn),
        }
        for name, (measure, what) in measures.items()
    }


def c2st(evaluation: Evaluation, *, folds: int = 5) -> Metrics:
    """``c2st``: how well a classifier tells samples from held-out data (Lopez-Paz & Oquab 2017, arXiv:1610.06545).

    0.5 is a guess. Empty where :func:`distances` is, and below 10 samples a fold.

    Args:
        evaluation: the model and its data.
        folds: of the cross-validation.

    Raises:
        UsageError: fewer than two folds.
    """
    at_least(2, folds=folds)
    rows = compared(evaluation)
    if rows is None or len(rows.drawn) < 10 * folds:
        return {}
    drawn, held_out, training = (each[:_CLASSIFIED] for each in (rows.drawn, rows.held_out, rows.training))
    value, error = accuracy(drawn, held_out, evaluation.seed, folds)
    return {
        "c2st": {
            "value": round(value, 4),
            "standard_error": round(error, 4),
            "of_training_data": round(accuracy(training, held_out, evaluation.seed, folds)[0], 4),
            "of": f"the accuracy of a network that tells samples from held-out data, by {folds}-fold "
            "cross-validation; 0.5 is a guess",
            "samples": len(drawn),
        }
    }


def accuracy(a: Rows, b: Rows, seed: int, folds: int) -> tuple[float, float]:
    """Accuracy on rows that it was not trained on of a classifier between two sets, and its standard error.

    Args:
        a: ``[n, d]``.
        b: ``[n, d]``.
        seed: of the folds and the initial weights.
        folds: of the cross-validation.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neural_network import MLPClassifier

    x, y = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    units = min(10 * x.shape[1], _UNITS)
    # stops where accuracy on rows that are held out from the fold's own no longer grows
    network = MLPClassifier(
        (units, units),
        learning_rate_init=5e-3,
        early_stopping=True,
        n_iter_no_change=10,
        max_iter=1000,
        random_state=seed % 2**32,
    )
    split = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    right = cross_val_predict(network, x, y, cv=split) == y
    return float(right.mean()), float(right.std() / np.sqrt(len(right)))


def squared_mmd(x: Rows, y: Rows, width: float) -> float:
    """The unbiased estimate of the squared MMD of two sets ``[n, d]`` (Gretton et al. 2012, eq. 3).

    Args:
        x: one set.
        y: the other.
        width: σ of the kernel exp(-‖a - b‖² / 2σ²).
    """

    def kernel(a: Rows, b: Rows) -> NDArray[np.float64]:
        return np.asarray(np.exp(-(_distances(a, b) ** 2) / (2 * width**2)))

    n, m = len(x), len(y)
    # a kernel of a point with itself is 1
    same = (kernel(x, x).sum() - n) / (n * (n - 1)) + (kernel(y, y).sum() - m) / (m * (m - 1))
    return float(same - 2 * kernel(x, y).mean())


def energy_distance(x: Rows, y: Rows) -> float:
    """2·E‖X - Y‖ - E‖X - X'‖ - E‖Y - Y'‖ of two sets ``[n, d]`` (Székely & Rizzo 2013, eq. 2.1), unbiased."""
    n, m = len(x), len(y)
    own = _distances(x, x).sum() / (n * (n - 1)) + _distances(y, y).sum() / (m * (m - 1))
    return float(2 * _distances(x, y).mean() - own)


def sliced_wasserstein(x: Rows, y: Rows, directions: NDArray[np.float64]) -> float:
    """The 2-Wasserstein distance of projections, as a quadratic mean over directions (Bonneel et al. 2015, section 3).

    Args:
        x: ``[n, d]``.
        y: ``[n, d]``.
        directions: unit vectors ``[d, k]``.
    """
    a, b = (np.sort(each @ directions, axis=0) for each in (x, y))
    return float(np.sqrt(((a - b) ** 2).mean()))


def median_distance(x: Rows) -> float:
    """The median distance of two different rows; 1 if that is 0."""
    return float(np.median(_distances(x, x)[np.triu_indices(len(x), 1)])) or 1.0


def _distances(a: Rows, b: Rows) -> NDArray[np.float64]:
    squares = squared_distances(a, b)
    if a is b:
        np.fill_diagonal(squares, 0.0)
    return np.asarray(np.sqrt(squares))
