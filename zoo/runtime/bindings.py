"""Repeated calls of a graph on the CPU: what stays the same from call to call is checked and bound once.

A step of a small model takes ONNX Runtime a fraction of a millisecond, and a new binding of a dozen inputs as long
again. In a loop, names, shapes and types hardly ever change, and of the values only a few numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


#: what is kept from run to run: larger arrays take longer to compute than to allocate
_KEPT_BYTES, _KEPT_BINDINGS = 1 << 22, 16


class Bindings:
    """The bindings and values of one run of a session after another; not to be shared by threads.

    Args:
        session: ONNX Runtime's session.
        value: makes a value of ONNX Runtime with a copy of an array.
    """

    def __init__(self, session: Any, value: Callable[[NDArray[Any]], Any]) -> None:
        self._session, self._value = session, value
        #: by names and identities of values, which are kept, so that these are not used again
        self._bindings: dict[tuple[object, ...], _Bound] = {}
        self._inputs: dict[tuple[str, tuple[int, ...], str], _Input] = {}

    def placed(self, role: str, array: NDArray[Any]) -> Any:
        """A value with the content of an array, for a role in the run; that of the last run, where it has the shape."""
        given = self._input(f"placed {role}", array)
        given.write(array)
        return given.value

    @property
    def small(self) -> bool:
        """Whether so little is kept that it may wait for the next run."""
        kept = sum(each.view.nbytes for each in self._inputs.values())
        return len(self._bindings) <= _KEPT_BINDINGS and kept <= _KEPT_BYTES

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
        key = (*resident, *map(id, resident.values()), *results, *map(id, results.values()))
        bound = self._bindings.get(key)
        if bound is None or not bound.takes(feeds):
            bound = self._bindings[key] = self._bound(check(), resident, results)
        bound.write(feeds)
        return bound.binding

    def _bound(self, feeds: Arrays, resident: Mapping[str, object], results: Mapping[str, object]) -> _Bound:
        inputs = {name: self._input(name, array) for name, array in feeds.items()}
        binding = self._session.io_binding()
        for name, value in (*((name, each.value) for name, each in inputs.items()), *resident.items()):
            binding.bind_ortvalue_input(name, value)
        for name, value in results.items():
            binding.bind_ortvalue_output(name, value)
        return _Bound(binding, inputs, (dict(resident), dict(results)))

    def _input(self, name: str, array: NDArray[Any]) -> _Input:
        """What an input of this shape and type is read from."""
        key = name, array.shape, array.dtype.char
        if key not in self._inputs:
            self._inputs[key] = _Input(self._value(array))
        return self._inputs[key]


class _Input:
    """A value of ONNX Runtime that an input is read from, in the host's memory.

    Args:
        value: of ONNX Runtime.
    """

    def __init__(self, value: Any) -> None:
        self.value, self.view = value, value.numpy()
        # what is written into a copy would not reach the graph
        self._viewed = self.view.ctypes.data == value.data_ptr()
        self.shape, self.dtype = self.view.shape, self.view.dtype

    def write(self, array: NDArray[Any]) -> None:
        """Copy an array of the same shape and type."""
        if self._viewed:
            self.view[...] = array
        else:
            self.value.update_inplace(np.ascontiguousarray(array) if array.ndim else array)


class _Bound(NamedTuple):
    """A binding, its inputs that are copied to, and values that live as long as it does."""

    binding: Any
    inputs: Mapping[str, _Input]
    values: object

    def takes(self, feeds: Arrays) -> bool:
        """Whether feeds have the names, shapes and types of the inputs."""
        if len(feeds) != len(self.inputs):
            return False
        for name, array in feeds.items():
            known = self.inputs.get(name)
            if known is None or known.shape != array.shape or known.dtype != array.dtype:
                return False
        return True

    def write(self, feeds: Arrays) -> None:
        """Copy feeds to where the graph reads them."""
        for name, array in feeds.items():
            self.inputs[name].write(array)
