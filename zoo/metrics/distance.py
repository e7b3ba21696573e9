"""The distance of two sets of samples in the features of a classifier."""

from __future__ import annotations

import numpy as np

from zoo.arrays import Float64Array


def frechet_distance(a: Float64Array, b: Float64Array) -> float:
    """Fréchet distance of the normals with the means and covariances of two sets (Heusel et al. 2017, eq. 6).

    It is known as FID for features of Inception; values for other features are not comparable with FID. It is
    biased upwards for few samples, so compare only distances of equal sample sizes.

    Args:
        a: features ``[n, k]``.
        b: features ``[m, k]``.

    Returns:
        ‖μ_a - μ_b‖² + tr(Σ_a + Σ_b - 2·(Σ_a·Σ_b)^½), at least 0.
    """
    mean_a, mean_b = a.mean(0), b.mean(0)
    cov_a, cov_b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    # the trace of (Σ_a·Σ_b)^½ is that of (Σ_a^½·Σ_b·Σ_a^½)^½, which is symmetric
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0.0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0.0)).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2.0 * shared
    return max(float(distance), 0.0)


def kernel_distance(a: Float64Array, b: Float64Array) -> float:
    """Squared maximum mean discrepancy of two sets of features, unbiased, with the kernel (x·y/k + 1)³.

    Known as KID for features of Inception (Bińkowski et al. 2018, arXiv:1801.01401, section 4).

    Args:
        a: features ``[n, k]``.
        b: features ``[m, k]``.
    """

    def kernel(x: Float64Array, y: Float64Array) -> Float64Array:
        return np.asarray((x @ y.T / x.shape[1] + 1.0) ** 3)

    def within(x: Float64Array) -> float:
        values, n = kernel(x, x), len(x)
        return float((values.sum() - np.trace(values)) / (n * (n - 1)))

    return within(a) + within(b) - 2.0 * float(kernel(a, b).mean())
