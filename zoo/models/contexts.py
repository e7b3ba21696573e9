"""Conditions as tensors: checked where they are, and vectors brought to one scale as data are. This module needs torch.

Networks are made for inputs of about unit scale. A context of thousands, or of thousandths, would saturate or starve
what embeds it, so a model keeps the mean and the deviation of each number of its training contexts and standardises
by them, in training, sampling, scoring and in its graphs: whoever uses the model passes contexts as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.conditions import Condition, ConditionLike
from zoo.data import check_finite
from zoo.errors import ConditionError

#: types too narrow for contexts as they come, such as years or pascals
_NARROW = (torch.float16, torch.bfloat16)


class StandardizedContext(nn.Module):
    """(c - shift) / scale, where :meth:`prepare` sets shift and scale to mean and deviation of the training contexts.

    Both are buffers: saved with the weights, never trained. Unprepared it is the identity, and so it is with weights
    that were saved before there were such buffers.

    Args:
        size: length d of a context.

    Attributes:
        absent_in_older_files: tells :func:`zoo.weights.load_into` that a file may lack this module's buffers, all or
            none of them.
    """

    absent_in_older_files: ClassVar[bool] = True
    shift: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    @torch.no_grad()
    def prepare(self, contexts: Tensor) -> None:
        """Fit shift and scale to contexts ``[n, d]``.

        A number that is the same in all of them is shifted to 0 and keeps its scale.

        Raises:
            DataError: a value that is not finite, with its row and column.
        """
        check_finite(contexts.detach().cpu().numpy(), "the contexts")
        # in float64: float32 loses the digits of a mean, and squares of 1e20 overflow
        values = contexts.double()
        least, largest = values.amin(0), values.amax(0)
        deviation = values.std(0, correction=0)
        # what float32 holds as 0, or as a number of few digits, is no scale
        constant = (least == largest) | (deviation < torch.finfo(torch.float32).tiny)
        self.shift.copy_(torch.where(constant, least, values.mean(0)))
        self.scale.copy_(torch.where(constant, torch.ones_like(deviation), deviation))

    def forward(self, context: Tensor) -> Tensor:
        """``[..., d]`` as users give it to ``[..., d]`` of about unit scale."""
        return (context - self.shift) / self.scale

    def raw(self, standard: NDArray[Any]) -> NDArray[np.float32]:
        """The inverse of :meth:`forward`, for whoever makes up contexts of the usual size."""
        shift, scale = (buffer.detach().cpu().double().numpy() for buffer in (self.shift, self.scale))
        return np.asarray(shift + scale * standard, np.float32)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StandardizedContext:
        """Of a model in float16 or bfloat16 this part stays in float32: 1e5 is no float16."""
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in kept.items():
            moved = self._buffers[name]
            if moved is not None and moved.dtype in _NARROW:
                self._buffers[name] = buffer.to(moved.device)
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *others: Any) -> None:
        """As ever, but the identity where the state has neither buffer."""
        names = [prefix + name for name in self._buffers]
        if not any(name in state_dict for name in names):
            self.shift.zero_()
            self.scale.fill_(1.0)
            return
        super()._load_from_state_dict(state_dict, prefix, *others)


#: a condition as a model in PyTorch takes it: one that is a tensor keeps its device and its gradient
TensorCondition: TypeAlias = Tensor | ConditionLike


def checked_condition(value: Tensor, condition: Condition, n: int, *, look: bool) -> Tensor:
    """A tensor as the condition of ``n`` samples, on its device and with its gradient.

    Args:
        value: one class ``[]`` or vector ``[d]`` for all, or ``[n]`` or ``[n, d]``.
        condition: what the model takes.
        n: how many samples.
        look: whether values are looked at too, for which the processor waits for the device.

    Returns:
        int32 ``[n]``, or floating-point ``[n, d]``.

    Raises:
        ConditionError: as :meth:`Condition.array` does.
    """
    return _classes(value, condition, n, look) if condition.kind == "classes" else _vectors(value, condition, n, look)


def _classes(value: Tensor, condition: Condition, n: int, look: bool) -> Tensor:
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise ConditionError(f"classes are whole numbers or labels, not {_name(value)}")
    if tuple(value.shape) not in ((), (n,)):
        raise ConditionError(f"{n} samples need one class or {n} classes, not a tensor of shape {tuple(value.shape)}")
    if look and value.numel():
        least, largest = (int(end) for end in torch.stack(torch.aminmax(value)).tolist())
        if least < 0 or largest >= condition.size:
            raise ConditionError(f"classes run from 0 to {condition.size - 1}; got {least} to {largest}")
    return value.expand(n).to(torch.int32)


def _vectors(value: Tensor, condition: Condition, n: int, look: bool) -> Tensor:
    if value.is_complex() or value.dtype == torch.bool:
        raise ConditionError(f"a condition vector holds numbers, not {_name(value)}")
    size = condition.size
    if tuple(value.shape) not in ((size,), (n, size)):
        raise ConditionError(
            f"{n} samples need a condition of shape ({size},) or ({n}, {size}), not {tuple(value.shape)}"
        )
    value = value if value.is_floating_point() else value.to(torch.float32)
    if look and not bool(torch.isfinite(value.detach().to(torch.float32)).all()):
        raise ConditionError("the condition has values that are not finite in float32")
    return value.expand(n, size)


def _name(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def needs_gradient(*values: object) -> bool:
    """Whether one of these is a tensor that a gradient is wanted of."""
    return torch.is_grad_enabled() and any(isinstance(value, Tensor) and value.requires_grad for value in values)
