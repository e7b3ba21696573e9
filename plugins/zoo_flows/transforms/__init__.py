"""Invertible transforms of vectors, one a file; :mod:`zoo_flows.transforms.base` holds the contract."""

from zoo_flows.transforms.affine import Standardize
from zoo_flows.transforms.autoregressive import Autoregressive, Inverted
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.coupling import SplineCoupling
from zoo_flows.transforms.elementwise import ElementwiseSpline
from zoo_flows.transforms.logit import Logit
from zoo_flows.transforms.lu_linear import FrozenLinear, LULinear
from zoo_flows.transforms.maps import AffineMap, Map, SplineMap
from zoo_flows.transforms.permutation import Permutation

__all__ = [
    "AffineMap",
    "Autoregressive",
    "ElementwiseSpline",
    "FrozenLinear",
    "Inverted",
    "LULinear",
    "Logit",
    "Map",
    "Permutation",
    "SplineCoupling",
    "SplineMap",
    "Standardize",
    "Transform",
]
