"""The reference of a proof: the model in PyTorch, which must itself be a function of its inputs.

A model that draws its own noise, keeps state between calls, looks at other samples of the batch or writes into
its inputs has no well-defined output that a bundle could equal. So the reference is computed twice, and once
more in a copy that has never been called, and must be equal bit for bit; and sample i must be the same alone and in a
batch.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.arrays import Array
from zoo.errors import ProofError
from zoo.models.blaming import told
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.programs import Graph, Programs
from zoo.programs.ports import Port
from zoo_onnx.compare import Comparison, Sides
from zoo_onnx.lines import changed_at, drawn_at, written_at
from zoo_onnx.sizes import LEADING

Feeds = dict[str, Array]

#: number of copies with inputs and weights moved by a last bit, where a model amplifies rounding
MOVED = 4
_LAST_BIT = 2.0**-24
#: layers that behave differently in training mode
_TRAINED = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
_FOLLOW = (
    "The proof calls the model in float64 too, so it must follow model.double(): write t.to(x.dtype) rather than "
    "t.float(), and register constants as buffers."
)
_TYPES = {"float32": torch.float32, "int32": torch.int32}


class Reference:
    """A model in float32 and in float64, as the proof needs it.

    Args:
        model: in float32, on the CPU, in evaluation mode.
        programs: its programs.
    """

    def __init__(self, model: GenerativeModel, programs: Programs) -> None:
        self.model, self.programs = model, programs
        #: called only by :meth:`repeated`
        self._fresh = copy.deepcopy(model)
        self._fresh_graphs = {graph.name: graph for graph in self._fresh.programs().graphs}
        self._state = _state(model)

    @cached_property
    def exact(self) -> GenerativeModel:
        """The model in float64."""
        return copy.deepcopy(self.model).double()

    @cached_property
    def exact_graphs(self) -> dict[str, Graph]:
        """The graphs of :attr:`exact`, by name."""
        return {graph.name: graph for graph in self.exact.programs().graphs}

    @cached_property
    def _moved(self) -> list[tuple[GenerativeModel, dict[str, Graph]]]:
        """Float64 models whose weights are moved by one unit in the last place of float32, and their graphs."""
        models = []
        for number in range(MOVED):
            generator = torch.Generator().manual_seed(number)
            model = copy.deepcopy(self.exact)
            with torch.no_grad():
                for tensor in (*model.parameters(), *model.buffers()):
                    if tensor.is_floating_point():
                        signs = 2 * torch.randint(2, tensor.shape, generator=generator) - 1
                        tensor.mul_(1 + _LAST_BIT * signs.to(tensor))
            models.append((model, {graph.name: graph for graph in model.programs().graphs}))
        return models

    # -- in float64 -----------------------------------------------------------------------------------------------

    def exact_output(self, graph: str, feeds: Feeds, output: str) -> Array:
        """An output of a graph in float64."""
        return call(self.exact_graphs[graph], feeds, torch.float64)[output]

    def moved_outputs(self, graph: str, feeds: Feeds, output: str) -> Iterator[Array]:
        """The same with inputs and weights moved by a last bit of float32."""
        for number, (_, graphs) in enumerate(self._moved):
            generator = np.random.default_rng(number)
            moved = {
                name: np.nextafter(value, generator.choice([-np.inf, np.inf], value.shape).astype(value.dtype))
                if np.issubdtype(value.dtype, np.floating)
                else value
                for name, value in feeds.items()
            }
            yield call(graphs[graph], moved, torch.float64)[output]

    def moved_models(self, compute: Callable[[GenerativeModel], Array]) -> Iterator[Array]:
        """Results of ``compute`` for models with weights moved by a last bit of float32."""
        for model, _ in self._moved:
            yield compute(model)

    # -- the same again -------------------------------------------------------------------------------------------

    def repeated(self, graph: Graph, feeds: Feeds, where: str) -> Feeds:
        """A graph's outputs, computed twice more: by the model, and by a copy used only for this.

        Raises:
            ProofError: they are not equal bit for bit.
        """
        return self._same(f"graph {graph.name}", where, lambda model: call(self._graph_of(model, graph), feeds))

    def repeated_result(self, what: str, where: str, compute: Callable[[GenerativeModel], Array]) -> Array:
        """As :meth:`repeated`, for the result of ``compute``.

        Raises:
            ProofError: they are not equal bit for bit.
        """
        return self._same(what, where, lambda model: {"result": compute(model)})["result"]

    def _graph_of(self, model: GenerativeModel, graph: Graph) -> Graph:
        return graph if model is self.model else self._fresh_graphs[graph.name]

    def _same(self, what: str, where: str, compute: Callable[[GenerativeModel], Feeds]) -> Feeds:
        before = _random_states()
        first = compute(self.model)
        drawn = [name for name, state in _random_states().items() if state != before[name]]
        for model in (self.model, self._fresh):
            again = compute(model)
            for name, value in first.items():
                if value.tobytes() == again[name].tobytes():
                    continue
                why = self._why(drawn, model is self._fresh, partial(compute, self.model))
                raise ProofError(
                    f"{what} of PyTorch gives different values the second time, by up to "
                    f"{_apart(value, again[name]):.2g}, {where}: {why}",
                    hint="A model must compute from its inputs, its weights and the seed alone.",
                )
        return first

    def _why(self, drawn: list[str], fresh: bool, again: Callable[[], object]) -> str:
        """Why a model gives different values for the same inputs."""
        if training := self._in_training():
            return training
        if drawn:
            return f"it draws from {' and '.join(drawn)}, and not from the seed{drawn_at(again)}"
        if changed := self._changed():
            return f"it changes its own tensor {changed[0]!r} when it is called"
        if fresh:
            return "it keeps state between calls, since a copy that was never called gives different values"
        return "it keeps state between calls, or draws its own noise"

    def _in_training(self) -> str:
        """Layers that are not in evaluation mode, in words; empty if there are none."""
        training = [
            f"{name or type(part).__name__} ({type(part).__name__})"
            for name, part in self.model.named_modules()
            if part.training and isinstance(part, _TRAINED)
        ]
        return f"{', '.join(training[:3])} stays in training mode after eval()" if training else ""

    def _changed(self) -> list[str]:
        return [name for name, value in _state(self.model).items() if value != self._state[name]]

    def unchanged(self) -> None:
        """Check at the end that the model's tensors are unchanged.

        Raises:
            ProofError: they changed.
        """
        if changed := self._changed():
            raise ProofError(
                f"the model changes its own tensor {changed[0]!r} when it is called: it keeps a state between calls",
                hint="In evaluation mode a model must leave its parameters and buffers unchanged.",
            )

    # -- alone and in a batch -------------------------------------------------------------------------------------

    def alone(self, graph: Graph, feeds: Feeds, comparison: Comparison, where: str, unit: float) -> Feeds:
        """A graph's outputs, after comparing samples of the batch with the same samples alone and in a batch of three.

        Args:
            graph: the graph.
            feeds: of a batch.
            comparison: the proof's comparison.
            where: on which inputs.
            unit: see :meth:`Comparison.check`.

        Raises:
            ProofError: a sample depends on its neighbours.
        """
        whole = call(graph, feeds)
        n = batch_of(graph, feeds)
        middle = n // 2
        for rows in (slice(middle, middle + 1), slice(middle - 1, middle + 2)) if n > 2 else ():
            part, within = rows_of(graph.inputs, feeds, rows), rows_of(graph.outputs, whole, rows)
            outputs = comparison.flips.outputs(call(graph, part), within)
            for port in graph.outputs:
                if _leading(port.shape) is not None:
                    in_batch = within[port.name]
                    self._alone(
                        f"graph {graph.name}, output {port.name}, of PyTorch",
                        f"{where}, rows {rows.start} to {rows.stop - 1}",
                        comparison,
                        (outputs[port.name], in_batch),
                        # of many numbers, so that chance cannot make what is drawn anew equal
                        again=partial(self.repeated, graph, feeds, where),
                        exact=partial(self.exact_output, graph.name, part, port.name),
                        moved=partial(self.moved_outputs, graph.name, part, port.name),
                        unit=unit,
                    )
        return whole

    def alone_result(
        self,
        what: str,
        where: str,
        comparison: Comparison,
        results: tuple[Array, Array],
        compute: Callable[[GenerativeModel], Array],
        unit: float,
    ) -> None:
        """Compare the results of a few samples with those in a larger batch, as :meth:`alone` does."""
        self._alone(
            f"{what} of PyTorch",
            where,
            comparison,
            results,
            again=partial(self.repeated_result, what, where, compute),
            exact=partial(compute, self.exact),
            moved=partial(self.moved_models, compute),
            unit=unit,
        )

    def _alone(
        self,
        what: str,
        where: str,
        comparison: Comparison,
        results: tuple[Array, Array],
        *,
        again: Callable[[], object],
        **judging: Any,
    ) -> None:
        sides = Sides("a smaller batch", "a larger one")
        key = f"{what}, alone and in a batch"
        try:
            comparison.check(key, where, *results, sides=sides, **judging)
        except ProofError as error:
            again()  # the message says that the values differ the second time
            why = self._in_training() or "for example through batch statistics"
            raise ProofError(
                f"{what} gives a sample a different value alone than in a batch, {where}: it depends on the other "
                f"samples, {why} ({error})",
                hint="The result for a sample may depend on that sample alone.",
            ) from error


def call(graph: Graph, feeds: Feeds, dtype: torch.dtype = torch.float32) -> Feeds:
    """A graph's outputs in PyTorch, in the given precision.

    Raises:
        ProofError: it changes its inputs, or an output does not have the type or shape of its port.
    """
    # copied, so that changes in place do not reach other callers; and aligned as PyTorch prefers
    tensors = [torch.from_numpy(np.asarray(feeds[port.name])).clone() for port in graph.inputs]
    tensors = [t.to(dtype) if t.is_floating_point() else t for t in tensors]
    versions = [t._version for t in tensors]
    exact = dtype == torch.float64
    what = f"graph {graph.name} fails in PyTorch{' in float64' if exact else ''}"
    with torch.no_grad(), told(what, ProofError, _FOLLOW if exact else None):
        result = graph.module(*tensors)
    for port, tensor, version in zip(graph.inputs, tensors, versions, strict=True):
        if tensor._version != version:
            where = written_at(partial(graph.module, *tensors), tensor)
            raise ProofError(
                f"graph {graph.name} changes its input {port.name} in place{where}",
                hint="The caller may need its inputs again: compute x + 1 rather than x.add_(1).",
            )
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    if len(outputs) != len(graph.outputs):
        raise ProofError(f"graph {graph.name} gives {len(outputs)} outputs but describes {len(graph.outputs)}")
    for port, output in zip(graph.outputs, outputs, strict=True):
        wanted = dtype if port.dtype == "float32" else _TYPES[port.dtype]
        if output.dtype != wanted:
            where = changed_at(partial(graph.module, *tensors), output.dtype)
            raise ProofError(
                f"graph {graph.name} gives its output {port.name} in {_type(output.dtype)} although its inputs are in "
                f"{_type(dtype)}: a constant of another type is involved{where}",
                hint="Create constants in the dtype of the inputs (x.new_tensor, torch.zeros_like), or register them "
                "as buffers.",
            )
    return {port.name: _numpy(output) for port, output in zip(graph.outputs, outputs, strict=True)}


def samples(n: int, arguments: Mapping[str, Any], model: GenerativeModel) -> Array:
    """The samples of a model."""
    with torch.no_grad(), told("sample fails in PyTorch", ProofError):
        return _numpy(model.sample(n, **arguments))


def samples_and_margins(n: int, arguments: Mapping[str, Any], model: GenerativeModel) -> tuple[Array, Array] | None:
    """Samples of a model that draws symbols, and by how much each was ahead; None for another model."""
    if not isinstance(model, DirectModel) or not model.draws_symbols:
        return None
    with torch.no_grad():
        x, margin = model.drawn_samples(n, **arguments)
    assert margin is not None
    return _numpy(x), _numpy(margin)


def densities(x: Array, arguments: Mapping[str, Any], model: GenerativeModel) -> NDArray[np.float64]:
    """The log-densities of a model.

    Raises:
        ProofError: it changes the data in place.
    """
    data = torch.from_numpy(np.array(x)).clone().to(model.dtype)
    version = data._version
    with torch.no_grad(), told("log_prob fails in PyTorch", ProofError):
        result = _numpy(model.log_prob(data, **arguments)).astype(np.float64)
    if data._version != version:
        raise ProofError("log_prob of PyTorch changes its data in place")
    return result


def batch_of(graph: Graph, feeds: Feeds) -> int:
    """The batch size of feeds; 1 for a graph without a batch."""
    sizes = [feeds[p.name].shape[axis] for p in graph.inputs if (axis := _leading(p.shape)) is not None]
    return sizes[0] if sizes else 1


def rows_of(ports: Iterable[Port], values: Feeds, rows: slice) -> Feeds:
    """Some samples of what a graph takes or gives; what has no batch is all there."""
    return {port.name: _rows(values[port.name], port.shape, rows) for port in ports}


def _leading(shape: tuple[int | str, ...]) -> int | None:
    """The axis along which samples, or conditions, lie; None for an array without one."""
    return next((axis for axis, size in enumerate(shape) if size in LEADING), None)


def _rows(value: Array, shape: tuple[int | str, ...], rows: slice) -> Array:
    """Samples of an array, along whichever axis is the batch."""
    axis = _leading(shape)
    return value if axis is None else value[(slice(None),) * axis + (rows,)]


def _state(model: GenerativeModel) -> dict[str, int]:
    return {
        name: hash(_numpy(tensor).tobytes())
        for name, tensor in model.state_dict().items()
        if isinstance(tensor, Tensor)
    }


def _random_states() -> dict[str, Any]:
    """The states of the global random generators."""
    legacy = np.random.get_state(legacy=False)["state"]
    return {
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "NumPy's random numbers": (legacy["pos"], legacy["key"].tobytes()),
        "Python's random numbers": random.getstate(),
    }


def _apart(a: Array, b: Array) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0))


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _numpy(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy()
