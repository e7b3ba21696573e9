"""Conditions as tensors: checked on their device, with vectors standardised. This module needs torch.

Networks expect inputs of about unit scale. Contexts in the thousands, or thousandths, would saturate or starve their
embedding, so a model stores the mean and the deviation of each number of its training contexts and
standardises by them, in training, sampling, scoring and in its graphs: users pass contexts in their original units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.arrays import Array
from zoo.conditions import Condition, ConditionLike
from zoo.data import check_finite
from zoo.errors import ConditionError
from zoo.parts import Part

#: types too narrow for raw contexts, such as years or pascals
_NARROW = (torch.float16, torch.bfloat16)


class StandardizedContext(nn.Module):
    """(c - shift) / scale, where :meth:`prepare` sets shift and scale to mean and deviation of the training contexts.

    Both are buffers: saved with the weights, never trained. It is the identity until prepared, and with older
    weights that lack these buffers.

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

        A constant number is shifted to 0 and keeps its scale.

        Raises:
            DataError: a value that is not finite, with its row and column.
        """
        check_finite(contexts.detach().cpu().numpy(), "the contexts")
        # in float64: float32 loses the digits of a mean, and squares of 1e20 overflow
        values = contexts.double()
        least, largest = values.amin(0), values.amax(0)
        deviation = values.std(0, correction=0)
        # a deviation that underflows in float32, or is subnormal, cannot be a scale
        constant = (least == largest) | (deviation < torch.finfo(torch.float32).tiny)
        self.shift.copy_(torch.where(constant, least, values.mean(0)))
        self.scale.copy_(torch.where(constant, torch.ones_like(deviation), deviation))

    def forward(self, context: Tensor) -> Tensor:
        """``[..., d]`` in the users' units to ``[..., d]`` of about unit scale."""
        return (context - self.shift) / self.scale

    def raw(self, standard: Array) -> NDArray[np.float32]:
        """The inverse of :meth:`forward`, to generate contexts of typical magnitude."""
        shift, scale = (buffer.detach().cpu().double().numpy() for buffer in (self.shift, self.scale))
        return np.asarray(shift + scale * standard, np.float32)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StandardizedContext:
        """Keeps this module in float32 in a model of float16 or bfloat16: 1e5 is not representable in float16."""
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in kept.items():
            moved = self._buffers[name]
            if moved is not None and moved.dtype in _NARROW:
                self._buffers[name] = buffer.to(moved.device)
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, object], prefix: str, *others: object) -> None:
        """As usual, but becomes the identity if the state has neither buffer."""
        names = [prefix + name for name in self._buffers]
        if not any(name in state_dict for name in names):
            self.shift.zero_()
            self.scale.fill_(1.0)
            return
        super()._load_from_state_dict(state_dict, prefix, *others)


#: a condition as a model in PyTorch takes it: one that is a tensor keeps its device and its gradient
TensorCondition: TypeAlias = Tensor | Mapping[str, Tensor] | ConditionLike
#: what a network gets of it: a tensor ``[n]`` or ``[n, d]``, or tensors by the names of ports; None without a condition
ReceivedCondition: TypeAlias = Tensor | Mapping[str, Tensor] | None


def checked_condition(value: Tensor, condition: Condition, n: int, *, look: bool) -> Tensor:
    """A tensor as the condition of ``n`` samples, on its device and with its gradient.

    Args:
        value: one class ``[]`` or vector ``[d]`` for all, or ``[n]`` or ``[n, d]``.
        condition: the model's condition.
        n: number of samples.
        look: whether to check values too, which synchronises with the device.

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


def checked_part(value: Tensor, part: Part, n: int, *, look: bool) -> Tensor:
    """A tensor as one part of the conditions of ``n`` samples, on its device and with its gradient.

    Args:
        value: one value ``[*shape]`` for all, or ``[n, *shape]``.
        part: of the model's condition.
        n: number of samples.
        look: whether to check values too, which synchronises with the device.

    Returns:
        ``[n, *shape]``, int32 or floating-point.

    Raises:
        ConditionError: as :meth:`Part.read` does.
    """
    whole = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    if value.is_complex() or value.dtype == torch.bool or (part.dtype == "int32" and not whole):
        raise ConditionError(f"{part.who} holds {'whole ' if part.dtype == 'int32' else ''}numbers, not {_name(value)}")
    sizes = tuple(value.shape)
    wanted = (*sizes[-len(part.shape) :][: len(part.shape)],) if part.shape else ()
    fits = len(wanted) == len(part.shape) and all(
        isinstance(size, str) or size == have for size, have in zip(part.shape, wanted, strict=True)
    )
    if not fits or sizes not in (wanted, (n, *wanted)):
        raise ConditionError(f"{n} samples need {part.who} of shape {list(part.shape)}, not a tensor of shape {sizes}")
    if look:
        seen = value.detach().cpu()
        part.read((seen.float() if seen.dtype == torch.bfloat16 else seen).numpy(), n)  # NumPy has no bfloat16
    typed = value.to(torch.int32) if part.dtype == "int32" else value if not whole else value.to(torch.float32)
    return typed.expand(n, *wanted)


def mask_of(part: Part, values: Tensor) -> Tensor:
    """1 for the tokens, or rows of a sequence, and 0 for the padding at their end, ``[n, length]``."""
    if part.padding is None:
        return torch.ones(values.shape[:2], device=values.device)
    real = (values != part.padding).to(torch.int32)
    return (real.flip(1).cumsum(1).flip(1) > 0).to(torch.float32)


def checked_mask(value: object, part: Part, values: Tensor) -> Tensor:
    """The mask ``[n, length]`` that was given with tokens, or rows of a sequence; one of a single value serves all.

    Raises:
        ConditionError: of another shape, or no tensor.
    """
    sizes = tuple(values.shape[:2])
    if not isinstance(value, Tensor) or tuple(value.shape) not in (sizes, sizes[1:]):
        have = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ConditionError(f"the mask {part.mask} of {part.who} is a tensor {list(sizes)}, not {have}")
    return value.expand(sizes)


def filled_up(value: Tensor, length: int, filler: int) -> Tensor:
    """Tokens, rows or a mask ``[n, length, ...]``, no shorter than a length."""
    if value.shape[1] >= length:
        return value
    missing = (len(value), length - value.shape[1], *value.shape[2:])
    return torch.cat([value, value.new_full(missing, filler)], 1)


def is_standardized(part: Part) -> bool:
    """Whether a model standardises this part: numbers, and rows of sequences that no range bounds.

    Whatever has a range goes into a network by that: in [-1, 1].
    """
    ranged = part.minimum is not None and part.maximum is not None
    return part.modality == "numbers" or (part.modality == "sequence" and not ranged)


def has_tensor(condition: object) -> bool:
    """Whether a condition is a tensor, or has a part that is one."""
    values = condition.values() if isinstance(condition, Mapping) else (condition,)
    return any(isinstance(value, Tensor) for value in values)


def needs_gradient(*values: object) -> bool:
    """Whether one of these, or a part of one, is a tensor that requires a gradient."""
    each = [part for value in values for part in (value.values() if isinstance(value, Mapping) else (value,))]
    return torch.is_grad_enabled() and any(isinstance(part, Tensor) and part.requires_grad for part in each)
