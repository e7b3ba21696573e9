"""Invertible transforms, one a file; :mod:`zoo_flows.transforms.base` holds the contract."""

from zoo_flows.transforms.actnorm import ActNorm
from zoo_flows.transforms.affine import Standardize
from zoo_flows.transforms.autoregressive import Autoregressive, Inverted
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.coupling import Coupling
from zoo_flows.transforms.elementwise import ElementwiseSpline
from zoo_flows.transforms.householder import Householder
from zoo_flows.transforms.logit import Logit
from zoo_flows.transforms.lu_linear import FrozenLinear, LULinear
from zoo_flows.transforms.maps import AdditiveMap, AffineMap, Map, SplineMap
from zoo_flows.transforms.permutation import Permutation
from zoo_flows.transforms.planar import Planar
from zoo_flows.transforms.radial import Radial
from zoo_flows.transforms.scaling import Scale
from zoo_flows.transforms.sylvester import Sylvester

__all__ = [
    "ActNorm",
    "AdditiveMap",
    "AffineMap",
    "Autoregressive",
    "Coupling",
    "ElementwiseSpline",
    "FrozenLinear",
    "Householder",
    "Inverted",
    "LULinear",
    "Logit",
    "Map",
    "Permutation",
    "Planar",
    "Radial",
    "Scale",
    "SplineMap",
    "Standardize",
    "Sylvester",
    "Transform",
]
