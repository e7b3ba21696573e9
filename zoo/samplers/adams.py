"""Weights of Adams-Bashforth methods: integrals of Lagrange polynomials, and the constants for equal steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from zoo.arrays import Float64Array

#: newest first (Hairer, Nørsett & Wanner, "Solving ordinary differential equations I", table III.1.1)
EVEN: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@lru_cache
def _gauss_legendre(points: int) -> tuple[Float64Array, Float64Array]:
    abscissae, weights = np.polynomial.legendre.leggauss(points)
    return abscissae, weights


def lagrange_integrals(
    nodes: Float64Array, variable: Callable[[Float64Array], Float64Array], start: float, end: float, points: int = 32
) -> Float64Array:
    """∫ ℓ_k(variable(u)) du from ``start`` to ``end`` for each Lagrange polynomial ℓ_k over ``nodes``, float64 ``[k]``.

    By Gauss-Legendre quadrature with ``points`` points, exact up to degree 2·points - 1.
    """
    abscissae, weights = _gauss_legendre(points)
    u = variable(start + (end - start) * (abscissae + 1.0) / 2.0)
    basis = [
        np.prod([(u - other) / (node - other) for j, other in enumerate(nodes) if j != k], axis=0) * np.ones_like(u)
        for k, node in enumerate(nodes)
    ]
    return np.asarray(0.5 * (end - start) * (np.array(basis) @ weights))
