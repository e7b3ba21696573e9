"""Modules that are alike: of one structure, with tensors of their own. One trace serves all of them.

Tracing costs about the same for every operator, so a flow of eight couplings takes eight times as long as one coupling,
although they differ in their weights alone. :func:`kind` tells modules of one structure, and :class:`TensorsAsInputs`
is such a module with its weights as further inputs, which the graph is traced with.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.overriding import override

#: attributes that every module has
_OWN = frozenset(vars(nn.Module()))
_HOOKS = frozenset(name for name in _OWN if "hook" in name)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, type)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)


class _DifferentError(Exception):
    """A module cannot be compared with others."""


def kind(module: nn.Module) -> Hashable | None:
    """What modules have in common that compute the same from their inputs and their tensors of float32.

    Equal kinds have equal classes, attributes and other tensors all the way down, and tensors of float32 of the same
    names and shapes.

    Returns:
        None if the module has something that cannot be compared, such as a hook or a tensor that is there twice.
    """
    tensors = list(_tensors(module))
    if len({id(tensor) for _, tensor in tensors}) < len(tensors):
        return None
    try:
        structure = tuple(_structure(name, each) for name, each in module.named_modules(remove_duplicate=False))
    except (_DifferentError, RecursionError):
        return None
    return structure, tuple((name, *_described(tensor)) for name, tensor in tensors)


def float_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of float32 that may differ between modules of one kind, by name."""
    return {name: tensor.detach() for name, tensor in _tensors(module) if tensor.dtype == torch.float32}


class TensorsAsInputs(nn.Module):
    """A module that takes its tensors of float32 as further inputs, in the order of :func:`float_tensors`."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        # not as a part of this module, whose tensors would be traced as its own
        self.__dict__["part"] = part
        self._names = tuple(float_tensors(part))

    @override
    def forward(self, *inputs: Tensor) -> Any:
        count = len(inputs) - len(self._names)
        tensors = dict(zip(self._names, inputs[count:], strict=True))
        return torch.func.functional_call(self.__dict__["part"], tensors, inputs[:count])


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]


def _structure(name: str, module: nn.Module) -> Hashable:
    if any(vars(module)[hooks] for hooks in _HOOKS if hooks in vars(module)):
        raise _DifferentError
    own = {key: value for key, value in vars(module).items() if key not in _OWN}
    return name, type(module), module.training, _frozen(own)


def _described(tensor: Tensor) -> tuple[Hashable, ...]:
    """Type and shape of a tensor, and the content of one that is no input."""
    same = (str(tensor.dtype), tuple(tensor.shape))
    return same if tensor.dtype == torch.float32 else (*same, tensor.detach().cpu().numpy().tobytes())


def _frozen(value: Any) -> Hashable:
    """A value that can be compared, and equals that of an attribute which is alike.

    Raises:
        _DifferentError: there is none.
    """
    if isinstance(value, _PLAIN):
        return type(value), repr(value) if isinstance(value, float) else value  # 0.0 is not -0.0
    if isinstance(value, _FUNCTIONS):
        return value
    if isinstance(value, Mapping):
        return type(value), tuple((_frozen(key), _frozen(each)) for key, each in value.items())
    if isinstance(value, (tuple, list, torch.Size)):
        return type(value), tuple(_frozen(each) for each in value)
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return type(value), str(array.dtype), array.shape, array.tobytes()
    if isinstance(value, functools.partial):
        return functools.partial, _frozen(value.func), _frozen(value.args), _frozen(value.keywords)
    if isinstance(value, nn.Module) or not hasattr(value, "__dict__") or not all(map(_is_plain, type(value).__mro__)):
        raise _DifferentError
    return type(value), _frozen(vars(value))


def _is_plain(cls: type) -> bool:
    """Whether all that the instances of a class hold is in ``__dict__``: a bound method's function, say, is not."""
    return cls is object or (cls.__module__ != "builtins" and not vars(cls).get("__slots__"))
