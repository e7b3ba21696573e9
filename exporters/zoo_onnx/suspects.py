"""Which line of other people's code a refusal comes from, where a proof says only that numbers differ.

A library may bound a search that its own samples leave, which its adapter knows (:meth:`zoo.Wrapped.doubt`). Or it
computes something that float32 has no digits for: then the same calls in float32 and in float64 are followed operator
by operator, to the first whose results differ. A model whose results are others the second time, or the same in both
precisions, has another fault, and nothing is said of its digits. Nothing here makes a proof pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.bundle.differences import relative_difference
from zoo.errors import ProofError, ZooError
from zoo.models.blaming import line_here, told
from zoo.models.interface import GenerativeModel
from zoo.models.wrapped import Wrapped
from zoo.overriding import override
from zoo.programs import Graph
from zoo_onnx.proof import Proof
from zoo_onnx.reference import call
from zoo_onnx.sizes import proven_sizes

#: the name of an operator, the line that calls it, and its result
_Result = tuple[str, str, np.ndarray[Any, Any]]
#: a difference between float32 and float64 that is worth naming, relative to 1 + |value|
_WORTH = 1e-2
#: batches of inputs that are followed
_TRIES = 8
#: numbers of results that are kept of each: half a gigabyte, of long loops the beginning
_KEPT = 2**26


@contextlib.contextmanager
def named(proof: Proof) -> Iterator[None]:
    """A block whose refusals name the line of other people's code that is behind them, where it is found."""
    try:
        yield
    except ProofError as error:
        suspect = None
        with contextlib.suppress(Exception):  # what is told is the refusal, whatever becomes of its explanation
            suspect = _suspect(proof)
        if suspect is None:
            raise
        said, hint = suspect
        raise ProofError(f"{error}; {said}", hint=hint) from error


def failing(model: GenerativeModel) -> AbstractContextManager[None]:
    """A block in which a model is called, whose errors are told with its class, their line, and what to do."""
    return told(
        f"{getattr(model, 'named', type(model).__name__)} fails where it is proven",
        hint="It is called with batches of other sizes, with extreme inputs, and in float64: constants have to be "
        "buffers, or made in the type of the inputs (x.new_tensor).",
    )


def _suspect(proof: Proof) -> tuple[str, str] | None:
    """What is behind a refusal, and what to do about it."""
    if isinstance(proof.model, Wrapped) and (doubt := proof.model.doubt()) is not None:
        return doubt
    for graph in proof.programs.graphs:
        if said := _imprecise(proof, graph):
            return said, "Train it, or keep what it computes there small: a bundle computes in float32."
    return None


def _imprecise(proof: Proof, graph: Graph) -> str:
    """The first operator of a graph that float32 has no digits for, in words; or nothing."""
    sizes = proven_sizes((*graph.inputs, *graph.outputs), None, proof.inputs.batches)[-1]
    for _ in range(_TRIES):
        feeds = proof.inputs.ordinary(graph, sizes)
        short, exact = _Followed(), _Followed()
        with contextlib.suppress(ZooError):
            with short:
                first = call(graph, feeds)
            with exact:
                wanted = call(proof.reference.exact_graphs[graph.name], feeds, torch.float64)
            again = call(graph, feeds)
            if any(not np.array_equal(first[name], again[name], equal_nan=True) for name in first):
                return ""
            if not any(relative_difference(first[name], wanted[name], 1.0) > _WORTH for name in first):
                continue
        for (name, line, actual), (_, _, expected) in _paired(short.results, exact.results):
            if actual.shape != expected.shape:
                break  # it computes something else in float64
            apart = np.abs(actual - expected)
            worst = np.nan_to_num(apart / (1 + np.abs(expected)), nan=0.0).argmax() if apart.size else 0
            if apart.size and line and apart.flat[worst] > _WORTH * (1 + abs(expected.flat[worst])):
                return (
                    f"float32 has no digits for `{name}` ({line}), which gives {actual.flat[worst]:.4g} where float64 "
                    f"has {expected.flat[worst]:.4g}"
                )
    return ""


def _paired(short: list[_Result], exact: list[_Result]) -> Iterator[tuple[_Result, _Result]]:
    """The same operators at the same lines; conversions are in one of both alone."""
    ours, others = ([each[:2] for each in results] for results in (short, exact))
    matcher = SequenceMatcher(None, ours, others, autojunk=False)
    for i, j, length in matcher.get_matching_blocks():
        yield from zip(short[i : i + length], exact[j : j + length], strict=True)


class _Followed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A block that keeps the results of operators, with their names and lines, until one draws at random.

    Or until there are too many of them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.results: list[_Result] = []
        self._kept = 0
        self._ended = False

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._ended = self._ended or torch.Tag.nondeterministic_seeded in func.tags
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        if isinstance(first, Tensor) and first.is_floating_point() and not self._ended:
            name = func._schema.name.replace("::", ".")
            self.results.append((name, line_here(), first.detach().double().numpy().copy()))
            self._kept += first.numel()
            self._ended = self._kept > _KEPT
        return result
