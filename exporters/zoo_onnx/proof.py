"""The proof: what ONNX Runtime computes from a bundle equals what PyTorch computes, or there is no bundle.

Graph by graph at batches of 1, 2, 3 and 17, on inputs that were not traced, ordinary and extreme; then whole programs,
from the seed to the samples and from the data to the density.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import ProofError, RuntimeFailure
from zoo.model import GenerativeModel
from zoo.programs import Graph, Programs
from zoo.runtime import BundledModel
from zoo.samplers import StepTable
from zoo_onnx.compare import Comparison
from zoo_onnx.inputs import Feeds, Inputs
from zoo_onnx.sizes import proven_sizes

BATCHES = (1, 2, 3, 17)
_SEED = 7
#: inputs that differ in their last bits, where a model amplifies rounding
_NEARBY = 8


class Proof:
    """Compares a bundle with the model that it was written from.

    Args:
        model: in float32, on the CPU, in evaluation mode.
        programs: its programs.
        bundle: the bundle, opened.
    """

    def __init__(self, model: GenerativeModel, programs: Programs, bundle: BundledModel) -> None:
        self.model, self.programs, self.bundle = model, programs, bundle
        self.batch: int | None = None
        self.inputs = Inputs(model, programs)
        self.comparison = Comparison()
        self._exact = copy.deepcopy(model).double()
        self._exact_graphs = {g.name: g for g in self._exact.programs().graphs}
        self.cases = 0

    def of(self, bundle: BundledModel, batch: int | None) -> Proof:
        """The same proof of another form of the bundle, whose graphs take one size of batch or any (None).

        What it finds is added to what this one found.
        """
        other = copy.copy(self)
        other.bundle, other.batch = bundle, batch
        return other

    def graph(self, graph: Graph) -> None:
        """Prove one graph.

        Raises:
            ProofError: it differs, or ONNX Runtime cannot run it.
        """
        for sizes in proven_sizes((*graph.inputs, *graph.outputs), self.batch):
            at = ", ".join(f"{name} {size}" for name, size in sizes.items())
            self._case(graph, f"at {at}", self.inputs.ordinary(graph, sizes))
            for what, feeds in self.inputs.extremes(graph, sizes):
                self._case(graph, f"at {at} with {what}", feeds)

    def sample(self) -> None:
        """Prove that the same seed gives the same samples.

        Raises:
            ProofError: it does not.
        """
        for n in BATCHES:
            for options in self.programs.sample.sampling_cases(n):
                arguments = {"condition": self.inputs.condition(n), "seed": _SEED, **options}
                expected = _samples(self.model, n, arguments)
                program = self.programs.sample
                unit = program.unit(expected)
                said = "".join(f", {k} {v}" for k, v in options.items())
                self._compare(
                    "sample",
                    f"for {n} samples{said}",
                    partial(self.bundle.sample, n, **arguments),
                    expected,
                    exact=partial(_samples, self._exact, n, arguments),
                    unit=unit,
                )

    def log_prob(self) -> None:
        """Prove that the same data has the same log-density.

        Raises:
            ProofError: it has not.
        """
        program = self.programs.log_prob
        if program is None:
            return
        data, conditions = self.inputs.data
        for n in BATCHES:
            x = data[:n]
            arguments: dict[str, Any] = {"condition": None if conditions is None else conditions[:n]}
            arguments |= program.scoring_options(n)
            self._compare(
                "log_prob",
                f"for {n} data",
                partial(self.bundle.log_prob, x, **arguments),
                _densities(self.model, x, arguments),
                exact=partial(_densities, self._exact, x, arguments),
                unit=float(math.prod(self.model.event_shape)),
            )

    def fused(self, table: StepTable | None) -> None:
        """Prove that the fused run gives the samples of the model.

        Args:
            table: the sampler in it, or None.

        Raises:
            ProofError: it does not.
        """
        program = self.programs.sample
        for n in BATCHES:
            options = {} if table is None else {"sampler": table}
            arguments: dict[str, Any] = {"condition": self.inputs.condition(n), "seed": _SEED}
            expected = _samples(self.model, n, {**arguments, **options})
            self._compare(
                "fused",
                f"for {n} samples in one call",
                partial(self.bundle.sample, n, fused=True, batch_size=n, **arguments),
                expected,
                exact=partial(_samples, self._exact, n, {**arguments, **options}),
                unit=program.unit(expected),
            )

    def summary(self) -> dict[str, Any]:
        """What was compared, for the manifest."""
        from zoo.runtime.ort import onnxruntime

        return {
            "cases": self.cases,
            "batches": list(BATCHES),
            "tolerance": self.comparison.tolerance,
            "largest_differences": {k: float(f"{v:.1e}") for k, v in sorted(self.comparison.largest.items())},
            "torch": torch.__version__.split("+")[0],
            "onnxruntime": onnxruntime().__version__,
        }

    def _case(self, graph: Graph, where: str, feeds: Feeds) -> None:
        expected = call(graph, feeds)
        try:
            actual = self.bundle.session(graph.name).run(feeds)
        except RuntimeFailure as error:
            raise ProofError(f"ONNX Runtime cannot run graph {graph.name} {where}: {error}", hint=error.hint) from error
        densities = self.programs.log_prob
        unit = 1.0 if densities is None else densities.graph_unit(graph.name, math.prod(self.model.event_shape))
        self.cases += 1
        for port in graph.outputs:
            self.comparison.check(
                f"graph {graph.name}, output {port.name}",
                where,
                actual[port.name],
                expected[port.name],
                exact=partial(self._exact_output, graph.name, feeds, port.name),
                nearby=partial(self._nearby, graph, feeds, port.name),
                unit=unit,
            )

    def _nearby(self, graph: Graph, feeds: Feeds, output: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """An output in float32 and in float64 for inputs that were rounded differently."""
        generator = np.random.default_rng(0)
        for _ in range(_NEARBY):
            moved = {
                name: np.nextafter(value, generator.choice([-np.inf, np.inf], value.shape).astype(value.dtype))
                if np.issubdtype(value.dtype, np.floating)
                else value
                for name, value in feeds.items()
            }
            yield call(graph, moved)[output], self._exact_output(graph.name, moved, output)

    def _exact_output(self, graph: str, feeds: Feeds, output: str) -> NDArray[Any]:
        return call(self._exact_graphs[graph], feeds, torch.float64)[output]

    def _compare(
        self,
        what: str,
        where: str,
        actual: Callable[[], NDArray[Any]],
        expected: NDArray[Any],
        *,
        exact: Callable[[], NDArray[Any]],
        unit: float,
    ) -> None:
        try:
            given = actual()
        except RuntimeFailure as error:
            raise ProofError(f"the bundle's {what} fails {where}: {error}", hint=error.hint) from error
        self.cases += 1
        self.comparison.check(what, where, given, expected, exact=exact, unit=unit)


def call(graph: Graph, feeds: Feeds, dtype: torch.dtype = torch.float32) -> Feeds:
    """A graph's outputs by PyTorch, in the given precision."""
    tensors = [torch.from_numpy(np.asarray(feeds[port.name])) for port in graph.inputs]
    with torch.no_grad():
        result = graph.module(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
    outputs = result if isinstance(result, (tuple, list)) else (result,)
    return {port.name: _numpy(output) for port, output in zip(graph.outputs, outputs, strict=True)}


def _samples(model: GenerativeModel, n: int, arguments: dict[str, Any]) -> NDArray[Any]:
    with torch.no_grad():
        return _numpy(model.sample(n, **arguments))


def _densities(model: GenerativeModel, x: NDArray[Any], arguments: dict[str, Any]) -> NDArray[np.float64]:
    with torch.no_grad():
        return _numpy(model.log_prob(torch.from_numpy(x).to(model.dtype), **arguments)).astype(np.float64)


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()
