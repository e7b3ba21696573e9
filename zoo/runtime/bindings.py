"""Repeated calls of a graph on the CPU: what stays the same from call to call is checked and bound once.

A step of a small model takes ONNX Runtime a fraction of a millisecond, and a new binding of a dozen inputs as long
again. In a loop, names, shapes and types hardly ever change, and of the values only a few numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class Bindings:
    """The bindings of one run of a session; not to be shared by threads.

    Args:
        session: ONNX Runtime's session.
        value: makes a value of ONNX Runtime with a copy of an array.
    """

    def __init__(self, session: Any, value: Callable[[NDArray[Any]], Any]) -> None:
        self._session, self._value = session, value
        #: by the identities of values and the shapes of arrays; the values are kept, so that these are not used again
        self._bindings: dict[tuple[object, ...], tuple[Any, object]] = {}
        self._inputs: dict[tuple[str, tuple[int, ...]], tuple[Any, bytes]] = {}

    def bound(
        self,
        feeds: Arrays,
        resident: Mapping[str, object],
        results: Mapping[str, object],
        check: Callable[[], Arrays],
    ) -> Any:
        """The binding for one call, with what is given copied to where it reads.

        Args:
            feeds: inputs given as arrays.
            resident: inputs given as values.
            results: values that outputs are written to.
            check: refuses feeds that the graph does not take, and returns them as it does; called where their names,
                shapes or types are new.
        """
        shapes = [(name, array.shape, array.dtype.char) for name, array in feeds.items()]
        key = (
            *shapes,
            *(item for each in (resident, results) for pair in each.items() for item in (pair[0], id(pair[1]))),
        )
        bound = self._bindings.get(key)
        if bound is None:
            bound = self._bindings[key] = self._bound(check(), resident, results)
        else:
            for name, array in feeds.items():
                self._input(name, array)
        return bound[0]

    def _bound(
        self, feeds: Arrays, resident: Mapping[str, object], results: Mapping[str, object]
    ) -> tuple[Any, object]:
        binding = self._session.io_binding()
        inputs = {**{name: self._input(name, array) for name, array in feeds.items()}, **resident}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in results.items():
            binding.bind_ortvalue_output(name, value)
        return binding, (inputs, dict(results))

    def _input(self, name: str, array: NDArray[Any]) -> Any:
        """The value that an input of this shape is read from, with the array's content."""
        key, content = (name, array.shape), array.tobytes()
        if key not in self._inputs:
            value = self._value(array)
        else:
            value, last = self._inputs[key]
            if content == last:
                return value
            value.update_inplace(np.ascontiguousarray(array) if array.ndim else array)
        self._inputs[key] = value, content
        return value
