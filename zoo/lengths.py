"""Where an event of variable length ends: by a symbol, or by a mask that is part of the event. No torch.

The event itself says it, so that samples, files and densities of every runtime carry it without an array beside them:

- texts and other sequences of symbols, ``[length]``: the first ``end`` symbol ends the event, and only such symbols
  follow;
- any other sequence, ``[length, numbers]`` or ``[numbers, length]``: one of the numbers is a mask, 1 at each position
  of the event and 0 after it, where all numbers are 0.

A log-density is that of the event up to and including its end: whatever follows in the data does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zoo import records
from zoo.arrays import Array
from zoo.errors import ConfigError, DataError


@dataclass(frozen=True)
class Length:
    """How an event says where it ends: by :attr:`end`, or by :attr:`mask`.

    Attributes:
        end: of events ``[length]`` of whole numbers, the one that ends an event, or None.
        mask: of events of two axes, which of the numbers of a position is its mask, or None.
        axis: along which the positions of such events lie, 0 or 1.
    """

    end: int | None = field(default=None, metadata=records.OMITTED)
    mask: int | None = field(default=None, metadata=records.OMITTED)
    axis: int = field(default=0, metadata=records.OMITTED)

    def __post_init__(self) -> None:
        """Refuse both rules at once, and neither."""
        numbers = [each for each in (self.end, self.mask) if each is not None]
        whole = all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in numbers)
        if len(numbers) != 1 or not whole or self.axis not in (0, 1) or (self.end is not None and self.axis):
            raise ConfigError(
                "the end of an event is marked by a symbol (end), or by a mask among its numbers (mask, and axis 0 "
                "or 1)"
            )

    def misfit(self, event_shape: tuple[int, ...]) -> str | None:
        """Why events of this shape cannot end so, or None if they can."""
        if self.end is not None:
            return None if len(event_shape) == 1 else "events that end by a symbol have shape [length]"
        if len(event_shape) != 2 or not (self.mask or 0) < event_shape[1 - self.axis]:
            return f"events that end by a mask have two axes, and more than {self.mask} numbers at each position"
        return None

    def content_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of an event without its mask."""
        if self.mask is None:
            return event_shape
        return tuple(size - (axis != self.axis) for axis, size in enumerate(event_shape))

    def content(self, x: Array) -> Array:
        """Events ``[n, *event]`` without their masks."""
        return x if self.mask is None else np.delete(x, self.mask, 2 - self.axis)

    def within(self, x: Array) -> NDArray[np.bool_]:
        """Which positions ``[n, length]`` are before the end of events ``[n, *event]``."""
        going = np.floor(x) != self.end if self.mask is None else np.take(x, self.mask, 2 - self.axis) >= 0.5
        within: NDArray[np.bool_] = np.logical_and.accumulate(going, axis=1)
        return within

    def lengths(self, x: Array) -> NDArray[np.int64]:
        """Positions before the end of events ``[n, *event]``, ``[n]``."""
        return np.asarray(self.within(x).sum(1), np.int64)

    def counted(self, x: Array) -> NDArray[np.int64]:
        """How many positions of events ``[n, *event]`` a density covers, ``[n]``: those before the end, and the end."""
        within = self.within(x)
        return np.asarray(np.minimum(within.sum(1) + 1, within.shape[1]), np.int64)

    def ended(self, x: Array) -> Array:
        """Events with nothing after their ends."""
        within = self.within(x)
        if self.mask is None:
            return np.where(within, x, np.asarray(self.end, x.dtype))
        return np.where(np.expand_dims(within, 2 - self.axis), x, np.zeros((), x.dtype))

    def joined(self, content: Array, lengths: Array, source: str) -> Array:
        """Events from their contents ``[n, *content]`` and their lengths ``[n]``.

        Raises:
            DataError: lengths that are not whole numbers within the events.
        """
        size = content.shape[1 + self.axis]
        lengths = np.asarray(lengths)
        if lengths.shape != (len(content),) or not ((lengths >= 0) & (lengths <= size) & (lengths % 1 == 0)).all():
            raise DataError(
                f"{source}: lengths are whole numbers from 0 to {size}, one for each of {len(content)} data"
            )
        within = np.arange(size) < lengths[:, None]
        if self.mask is None:
            return np.where(within, content, np.asarray(self.end, content.dtype))
        return self.ended(np.insert(content, self.mask, within.astype(content.dtype), 2 - self.axis))

    def filled(self, rows: Array, event_shape: tuple[int, ...], source: str) -> Array:
        """Events ``[n, *event_shape]`` of what each holds, an array of its own length.

        Args:
            rows: ``[n]`` arrays, without masks: ``[length]``, ``[length, numbers]`` or ``[numbers, length]``.
            event_shape: of an event with its mask.
            source: what they are, for messages.

        Raises:
            DataError: an array that is none, or is too long.
        """
        content = self.content_shape(event_shape)
        filled = np.zeros((len(rows), *content), np.result_type(*{row.dtype for row in rows}))
        for i, row in enumerate(rows):
            fits = row.ndim == len(content) and all(
                have <= size if axis == self.axis else have == size
                for axis, (have, size) in enumerate(zip(row.shape, content, strict=True))
            )
            if not fits:
                wanted = [f"up to {size}" if axis == self.axis else str(size) for axis, size in enumerate(content)]
                raise DataError(
                    f"row {i} of {source} has the shape {list(row.shape)}, and events without their masks or ends have "
                    f"[{', '.join(wanted)}]"
                )
            filled[i][tuple(map(slice, row.shape))] = row
        events = self.joined(filled, np.array([row.shape[self.axis] for row in rows]), source)
        if (inside := (self.ended(events) != events).reshape(len(rows), -1).any(1)).any():
            raise DataError(f"row {int(inside.argmax())} of {source} goes on after {self.end}, which ends an event")
        return events

    def described(self) -> dict[str, object]:
        """As JSON values; :func:`length_from` reads them back."""
        values: dict[str, object] = records.write(self)
        return values


def length_from(values: Mapping[str, object] | None) -> Length | None:
    """The inverse of :meth:`Length.described`; None of None.

    Raises:
        ConfigError: not a rule.
    """
    return None if values is None else records.read(Length, values, "length")
