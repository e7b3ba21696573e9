"""Types of arrays: of any type of element, and of the one that everything is computed in that is not a network's."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: an array of any dtype
Array: TypeAlias = NDArray[Any]
#: paths, samplers and likelihoods are computed in float64
Float64Array: TypeAlias = NDArray[np.float64]
