"""Invertible transforms, one a file; :mod:`zoo_flows.transforms.base` holds the contract."""

from zoo_flows.transforms.actnorm import ActNorm
from zoo_flows.transforms.affine import Standardize
from zoo_flows.transforms.angles import Angles
from zoo_flows.transforms.augment import NoiseAugmentation
from zoo_flows.transforms.autoregressive import Autoregressive, Inverted
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.batchnorm import BatchNorm
from zoo_flows.transforms.bounded import Bounded
from zoo_flows.transforms.checkered import Checkered
from zoo_flows.transforms.circular import CircularMap
from zoo_flows.transforms.continuous import Continuous
from zoo_flows.transforms.conv1x1 import InvertibleConv1x1
from zoo_flows.transforms.coupling import Coupling
from zoo_flows.transforms.elementwise import ElementwiseSpline
from zoo_flows.transforms.histogram import HistogramMap
from zoo_flows.transforms.householder import Householder
from zoo_flows.transforms.integral import IntegralMap
from zoo_flows.transforms.interval import Interval
from zoo_flows.transforms.lipschitz import LipschitzCNN, LipschitzMLP
from zoo_flows.transforms.logit import Logit
from zoo_flows.transforms.lu_linear import FrozenLinear, LULinear
from zoo_flows.transforms.maps import AdditiveMap, AffineMap, Map, SplineMap
from zoo_flows.transforms.marginals import Marginals
from zoo_flows.transforms.mixed import Domains, MixedCoupling
from zoo_flows.transforms.multiscale import MultiScale
from zoo_flows.transforms.patchwise import Patchwise
from zoo_flows.transforms.permutation import Permutation
from zoo_flows.transforms.pixelwise import Pixelwise
from zoo_flows.transforms.planar import Planar
from zoo_flows.transforms.radial import Radial
from zoo_flows.transforms.residual import Residual
from zoo_flows.transforms.scaling import Scale
from zoo_flows.transforms.sigmoidal import SigmoidalMap
from zoo_flows.transforms.squeeze import Squeeze
from zoo_flows.transforms.sylvester import Sylvester
from zoo_flows.transforms.velocity import VelocityMLP

__all__ = [
    "ActNorm",
    "AdditiveMap",
    "AffineMap",
    "Angles",
    "Autoregressive",
    "BatchNorm",
    "Bounded",
    "Checkered",
    "CircularMap",
    "Continuous",
    "Coupling",
    "Domains",
    "ElementwiseSpline",
    "FrozenLinear",
    "HistogramMap",
    "Householder",
    "IntegralMap",
    "Interval",
    "Inverted",
    "InvertibleConv1x1",
    "LULinear",
    "LipschitzCNN",
    "LipschitzMLP",
    "Logit",
    "Map",
    "Marginals",
    "MixedCoupling",
    "MultiScale",
    "NoiseAugmentation",
    "Patchwise",
    "Permutation",
    "Pixelwise",
    "Planar",
    "Radial",
    "Residual",
    "Scale",
    "SigmoidalMap",
    "SplineMap",
    "Squeeze",
    "Standardize",
    "Sylvester",
    "Transform",
    "VelocityMLP",
]
