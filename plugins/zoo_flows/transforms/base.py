"""The interface of invertible transforms."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from zoo.programs.graph_writing import GraphBuilder, Value

Direction = Literal["forward", "inverse"]
#: ways to write a sequential direction: without control flow, or as a loop
WAYS = ("unroll", "loop")
#: the same, the default first, for long steps, such as those that find a root
ITERATIVE_WAYS = ("loop", "unroll")


class Transform(nn.Module, ABC):
    """A bijection of ℝᵈ, perhaps a different one for each context.

    ``forward`` maps data towards noise, ``inverse`` noise towards data, and each tells how it changes volumes, so that
    densities follow by the change of variables (Papamakarios et al. 2021, eq. 7)::

        z, log_det = forward(x)        log_det = log |det ∂z/∂x|
        log p(x)   = log p(z) + log_det

    Both take a batch ``[n, d]`` and an optional context ``[n, c]``, and return a batch ``[n, d]`` and the
    log-determinant ``[n]`` in the dtype and on the device of their input. Transforms of images take and return
    ``[n, c, h, w]``; :class:`~zoo_flows.transforms.multiscale.MultiScale` makes one of vectors of them.

    Writing one: implement both methods for every real input, finite wherever the mathematics is. They are traced for
    export, so there are no branches on values, no boolean indexing, no ``len(x)`` (it bakes the batch size in; use
    ``x.shape[0]``), and no ``log1p``, ``expm1``, ``logsigmoid`` or ``logaddexp``, which ONNX computes inexactly.
    Parameters at zero give the identity, where that makes sense: a deep flow then starts as its preprocessing.

    Attributes:
        sequential: directions that take many small steps, one after the other, which tracing would unroll. A graph with
            such a direction is written; its transforms without :meth:`write` are traced one by one.
        written: directions that :meth:`write` can write: the sequential ones, and others where that is easy, which
            saves a trace.
        ways: how sequential directions can be written, the default first.
    """

    sequential: frozenset[Direction] = frozenset()
    written: frozenset[Direction] = frozenset()
    ways: tuple[str, ...] = WAYS

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Data ``[n, d]`` to noise ``[n, d]`` and log |det ∂z/∂x| ``[n]``."""

    @abstractmethod
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Noise ``[n, d]`` to data ``[n, d]`` and log |det ∂x/∂z| ``[n]``."""

    def data(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """:meth:`inverse` without its log-determinant, which sampling does not need; override it if that saves work."""
        return self.inverse(z, context)[0]

    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        """Fit constants such as means to the transform's input for training data, ``[n, d]``, once, before training
        starts."""

    def frozen(self) -> Transform:
        """An equal transform for export, with constants folded; this one is left unchanged."""
        return copy.deepcopy(self).eval().requires_grad_(False)

    def write(
        self,
        builder: GraphBuilder,
        direction: Direction,
        way: str,
        value: Value,
        context: Value | None,
        *,
        log_det: bool,
    ) -> tuple[Value, Value | None]:
        """Write a direction of a frozen transform into a graph.

        Args:
            builder: the graph.
            direction: of :attr:`written`.
            way: of :data:`WAYS`.
            value: ``[n, d]``.
            context: ``[n, c]``, or None.
            log_det: whether the log-determinant is wanted.

        Returns:
            what the direction's method returns; the log-determinant may be a scalar for all, and None if it is 0 or not
            wanted.
        """
        raise NotImplementedError(f"{type(self).__name__} does not write its {direction}")


def constant_log_det(log_det: Tensor, x: Tensor) -> Tensor:
    """A scalar log-determinant as one ``[n]`` for the batch ``x``, whatever its size."""
    return log_det.to(x.dtype).expand(x.shape[0])


def prepare_in_turn(
    transforms: Sequence[Transform], x: Tensor, context: Tensor | None, *, whole: bool = False
) -> Tensor:
    """Prepare each of ``transforms`` on the output of those before it.

    Args:
        transforms: in the order of ``forward``.
        x: the input of the first.
        context: of all.
        whole: apply all of them, instead of stopping at the last one that needs preparation.

    Returns:
        the output of the last transform that was applied.
    """
    users = [index for index, each in enumerate(transforms) if type(each).prepare is not Transform.prepare]
    for transform in transforms if whole else transforms[: users[-1] + 1] if users else ():
        transform.prepare(x, context)
        x, _ = transform(x, context)
    return x
