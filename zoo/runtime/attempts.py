"""A batch that may not fit into memory."""

from __future__ import annotations

from types import TracebackType

from zoo.errors import DeviceMemoryError


class Attempt:
    """A batch to be run in a ``with`` block; a lack of memory ends the block without an error, unless it is ``final``.

    Args:
        part: the samples of the batch, which the block gets.
        final: whether the batch cannot be made smaller, so that the error is raised.

    Attributes:
        failed: whether the batch did not fit into memory, after the block.
    """

    def __init__(self, part: slice, *, final: bool) -> None:
        self._part, self._final = part, final
        self.failed = False

    def __enter__(self) -> slice:
        return self._part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.failed = isinstance(error, DeviceMemoryError) and not self._final
        return self.failed
