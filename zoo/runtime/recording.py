"""Calls of a graph recorded as CUDA graphs, and replayed: at small batches most of a call's time is launching kernels.

A replay repeats what was recorded at the same addresses. So inputs are copied to values that stay where they are, and a
recording serves the calls that take and give the same shapes at the same addresses; any other call is recorded anew, up
to a limit, after which calls run as usual. Without this, ONNX Runtime would read the arrays of the recorded call, and
say nothing.

ONNX Runtime numbers recordings by the run option ``gpu_graph_id``, -1 for a call that is not to be recorded. It refuses
to load graphs with control flow, or with nodes whose values are copied between host and device.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.errors import RuntimeFailure
from zoo.runtime.ort import onnxruntime

#: shape and dtype of an output
Shaped: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]

#: recordings of one session; each keeps a few bytes for every kernel, and is freed with the session
MOST = 64
_UNRECORDED = -1
#: inputs of so many bytes are compared before they are copied: most numbers of a step are those of the last
_COMPARED = 1024
#: a recording forbids other threads to allocate memory, so only one call at a time is made in the whole process
_TURN = threading.RLock()


class Recorder:
    """Calls of a session that was made with ``enable_cuda_graph``.

    Args:
        session: ONNX Runtime's session.
        place: the name and the index of its device.
        graph: its name, for messages.

    Raises:
        RuntimeFailure: an input is read on the host, where a replay would not read it again, or this version of ONNX
            Runtime does not tell.
    """

    def __init__(self, session: Any, place: tuple[str, int], graph: str) -> None:
        self._session, self._place = session, place
        _check(session, place, graph)
        self._inputs: dict[tuple[str, tuple[int, ...]], tuple[Any, bytes | None]] = {}
        self._outputs: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._recorded: dict[tuple[Any, ...], int] = {}
        self._free: dict[tuple[str, tuple[int, ...], np.dtype[Any]], list[Any]] = {}

    def run(
        self,
        arrays: Mapping[str, NDArray[Any]],
        outputs: Mapping[str, Shaped | None],
        held: Mapping[str, Any],
    ) -> dict[str, NDArray[Any]]:
        """Run the graph on arrays.

        Args:
            arrays: all inputs but those held.
            outputs: those to compute; one whose shape is not known is not recorded.
            held: inputs that are values of :meth:`lending`.
        """
        with _TURN:
            shapes = [(name, array.shape) for name, array in arrays.items()]
            if None in outputs.values() or (self._full and not all(shape in self._inputs for shape in shapes)):
                whole = {**arrays, **{name: value.numpy() for name, value in held.items()}}
                values = self._session.run(list(outputs), whole, self._options(_UNRECORDED))
                return dict(zip(outputs, values, strict=True))
            results = {name: self._output(name, *shaped) for name, shaped in outputs.items() if shaped is not None}
            self.run_on(arrays, held, results)
            return {name: np.array(value.numpy()) for name, value in results.items()}

    def run_on(
        self, arrays: Mapping[str, NDArray[Any]], resident: Mapping[str, Any], results: Mapping[str, Any]
    ) -> None:
        """Run the graph on arrays and values; see :meth:`zoo.runtime.session.Session.run_on`."""
        with _TURN:
            inputs = {**{name: self._input(name, array) for name, array in arrays.items()}, **resident}
            binding = self._session.io_binding()
            for name, value in inputs.items():
                binding.bind_ortvalue_input(name, value)
            for name, value in results.items():
                binding.bind_ortvalue_output(name, value)
            number = self._number([*inputs.items(), *results.items()])
            self._session.run_with_iobinding(binding, self._options(number))

    @contextlib.contextmanager
    def lending(self) -> Iterator[Callable[[str, NDArray[Any]], Any]]:
        """Values for one run: a function from a role and an array to a value with the array's content.

        Later runs get the same values for the same roles and shapes, so that they find what was recorded with them.
        """
        lent: list[tuple[tuple[str, tuple[int, ...], np.dtype[Any]], Any]] = []

        def lend(role: str, array: NDArray[Any]) -> Any:
            key, array = (role, array.shape, array.dtype), np.array(array, order="C")
            with _TURN:
                free = self._free.setdefault(key, [])
                value = free.pop() if free else onnxruntime().OrtValue.ortvalue_from_numpy(array, *self._place)
                value.update_inplace(array)
                lent.append((key, value))
            return value

        try:
            yield lend
        finally:
            with _TURN:
                for key, value in lent:
                    self._free[key].append(value)

    @property
    def _full(self) -> bool:
        return len(self._recorded) >= MOST

    def _number(self, values: list[tuple[str, Any]]) -> int:
        """The recording of calls with these values: their addresses, and shapes, since addresses are used again."""
        key = tuple((name, value.data_ptr(), *value.shape()) for name, value in sorted(values, key=itemgetter(0)))
        if key not in self._recorded and self._full:
            return _UNRECORDED
        return self._recorded.setdefault(key, len(self._recorded))

    def _options(self, number: int) -> Any:
        options = onnxruntime().RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(number))
        return options

    def _input(self, name: str, array: NDArray[Any]) -> Any:
        """The value of an input of this shape, with the array's content."""
        key = (name, array.shape)
        content = array.tobytes() if array.nbytes <= _COMPARED else None
        if key not in self._inputs:
            value = onnxruntime().OrtValue.ortvalue_from_numpy(np.array(array, order="C"), *self._place)
        else:
            value, last = self._inputs[key]
            if content is None or content != last:
                value.update_inplace(array)
        self._inputs[key] = value, content
        return value

    def _output(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        key = (name, shape)
        if key not in self._outputs:
            value = onnxruntime().OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, *self._place)
            self._outputs[key] = value
        return self._outputs[key]


def _check(session: Any, place: tuple[str, int], graph: str) -> None:
    if not hasattr(session, "get_input_memory_infos"):
        raise RuntimeFailure(
            f"ONNX Runtime {onnxruntime().__version__} does not tell where graph {graph} reads its inputs, so its "
            "calls cannot be recorded",
            hint="pip install --upgrade onnxruntime-gpu, or leave enable_cuda_graph out.",
        )
    memories = zip(session.get_inputs(), session.get_input_memory_infos(), strict=True)
    if elsewhere := [port.name for port, memory in memories if memory.name.lower() != place[0]]:
        raise RuntimeFailure(
            f"the calls of graph {graph} cannot be recorded: it reads {', '.join(elsewhere)} on the host",
            hint="Leave enable_cuda_graph out.",
        )
