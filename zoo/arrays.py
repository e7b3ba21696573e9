"""Types of arrays: of any dtype, and of float64, in which everything but networks is computed."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: an array of any dtype
Array: TypeAlias = NDArray[Any]
#: paths, samplers and likelihoods are computed in float64
Float64Array: TypeAlias = NDArray[np.float64]
