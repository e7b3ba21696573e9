"""Fewer bits: for conditioners while training, and more than 16 for what those do not suffice for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class _Lowered(threading.local):
    """What conditioners compute in, in a thread; torch.compile reads it without breaking the graph of a loss."""

    def __init__(self) -> None:
        # in each thread, not once in the class: what is compiled is guarded by what the attribute is
        self.dtype: torch.dtype | None = None


_lowered = _Lowered()


@contextmanager
def lowered_conditioners(device: torch.device) -> Iterator[None]:
    """Narrow an autocast around this block to what is called by :func:`conditioned`.

    A flow's values must keep their bits: what autocast would round on the way through a linear layer, the change of
    variables takes for exact, and eight bits do not tell 256 dequantised levels apart. Conditioners can stand it; they
    choose maps, and any map is exact.

    Args:
        device: of the flow.
    """
    if not torch.is_autocast_enabled(device.type):
        yield
        return
    before, _lowered.dtype = _lowered.dtype, torch.get_autocast_dtype(device.type)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        _lowered.dtype = before


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """``dtype``, or float32 for those of 16 bits: in which torch does linear algebra, and roots are found."""
    # not by torch.promote_types, which is traced as an operator, and costs a trace its shortcuts
    return dtype if torch.finfo(dtype).bits >= 32 else torch.float32


def conditioned(network: nn.Module, read: Tensor, context: Tensor | None) -> Tensor:
    """``network(read, context)`` in the precision of the block, returned in that of ``read``."""
    lowered = _lowered.dtype
    if lowered is None:
        full: Tensor = network(read, context)
        return full
    with torch.autocast(read.device.type, lowered):
        parameters: Tensor = network(read, context)
    return parameters.to(read.dtype)
