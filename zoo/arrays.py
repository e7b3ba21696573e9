"""The type of arrays whose elements may be of any type; where one is known, ``NDArray[np.float32]`` and the like."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

#: an array of any dtype
Array: TypeAlias = NDArray[Any]
