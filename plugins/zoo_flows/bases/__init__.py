"""Base distributions, one a file; :mod:`zoo_flows.bases.base` holds the contract."""

from zoo_flows.bases.base import Base
from zoo_flows.bases.logistic import Logistic
from zoo_flows.bases.mixed import MixedBase
from zoo_flows.bases.mixture import Mixture
from zoo_flows.bases.normal import DiagonalNormal, StandardNormal
from zoo_flows.bases.uniform import Uniform

__all__ = ["Base", "DiagonalNormal", "Logistic", "MixedBase", "Mixture", "StandardNormal", "Uniform"]
