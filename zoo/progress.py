"""The two forms in which long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: called with (parts done, parts in all)
Progress = Callable[[int, int], None]
#: called with (what is being done, parts done, parts in all), by work of several stages
StageProgress = Callable[[str, int, int], None]
