"""Calls of a network that several graphs share, which an exporter traces once. This module needs torch.

A diffusion's graphs ``step`` and ``divergence`` differ in what they do around the network, which has nearly all of the
operators. What calls :func:`called` is traced apart, and once: an exporter substitutes its own :data:`method`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from zoo.models.substitutes import Substitutable

#: (module, inputs, shape of the output without its first axis) -> the output
Method = Callable[[nn.Module, tuple[Tensor | None, ...], tuple[int, ...]], Tensor]


def called(module: nn.Module, inputs: Sequence[Tensor | None], event: Sequence[int]) -> Tensor:
    """The output of a module.

    Args:
        module: a function of its inputs.
        inputs: in order, each ``[n, ...]``, or None where it takes nothing.
        event: what an exporter may take for the shape of the output, ``[n, *event]``, before it has seen one.
    """
    return method.current(module, tuple(inputs), tuple(event))


def _plainly(module: nn.Module, inputs: tuple[Tensor | None, ...], event: tuple[int, ...]) -> Tensor:
    output: Tensor = module(*inputs)
    return output


#: how :func:`called` is done; ``with method(replacement)`` is a block in which it is done otherwise
method: Substitutable[Method] = Substitutable(_plainly)
