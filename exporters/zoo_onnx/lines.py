"""Which line of other people's code does what a proof refuses: a model is called once more, operator by operator.

Each function returns the line in brackets, as ``" (Coupling, flow.py:12 of mine)"``, or nothing if no operator of
PyTorch does it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.models.blaming import line_here
from zoo.overriding import override

#: an operator, its arguments, and its result
_Test = Callable[[Any, Sequence[Any], Any], bool]


def drawn_at(call: Callable[[], object]) -> str:
    """The first line that draws random numbers."""
    return _first(call, lambda func, args, result: torch.Tag.nondeterministic_seeded in func.tags)


def written_at(call: Callable[[], object], tensor: Tensor) -> str:
    """The first line that writes into a tensor, or into a view of it."""
    memory = tensor.untyped_storage().data_ptr()

    def writes(func: Any, args: Sequence[Any], result: Any) -> bool:
        return bool(func._schema.is_mutable) and any(
            isinstance(each, Tensor) and each.untyped_storage().data_ptr() == memory for each in args[:1]
        )

    return _first(call, writes)


def named_at(call: Callable[[], object], names: frozenset[str]) -> str:
    """The first line that calls an operator which an error names, such as ``aten.special_airy_ai``."""

    def named(func: Any, args: Sequence[Any], result: Any) -> bool:
        # what is decomposed is named by what it becomes: prims.bessel_j0 of aten.special_bessel_j0
        name = func._schema.name.partition("::")[2]
        return bool({f"aten.{name}", f"prims.{name.removeprefix('special_')}"} & names)

    return _first(call, named)


def changed_at(call: Callable[[], object], dtype: torch.dtype) -> str:
    """The first line that makes tensors of a type of others, and is not undone after it."""
    line = ""

    def changes(func: Any, args: Sequence[Any], result: Any) -> bool:
        nonlocal line
        taken = {each.dtype for each in args if isinstance(each, Tensor) and each.is_floating_point()}
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return False
        if result.dtype != dtype and dtype in taken:
            line = ""  # back again
        elif result.dtype == dtype and taken - {dtype}:
            line = line or line_here()
        return False

    _first(call, changes)
    return f" ({line})" if line else ""


def _first(call: Callable[[], object], test: _Test) -> str:
    noting = _Noting(test)
    # what is told is the refusal, whatever becomes of its explanation
    with torch.no_grad(), contextlib.suppress(Exception), noting:
        call()
    return f" ({noting.line})" if noting.line else ""


class _Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A block that notes the line of the first operator for which a test holds."""

    def __init__(self, test: _Test) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._test = test
        self.line = ""

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.line and self._test(func, args, result):
            self.line = line_here()
        return result
