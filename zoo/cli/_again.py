"""The command line that draws the same samples again, as files of samples state it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

#: options that change neither the samples nor the file
_LEFT_OUT = ("--json", "--force", "-q", "--quiet", "--debug")


def command_of(arguments: Sequence[str], seed: int | None = None) -> str:
    """A command line, with the seed where it stated none.

    Args:
        arguments: of this process, without the name of the program.
        seed: the one that was drawn; None for a command without one.
    """
    kept = [each for each in arguments if each not in _LEFT_OUT]
    end = kept.index("--") if "--" in kept else len(kept)  # behind which nothing is an option
    stated = any(each.partition("=")[0] == "--seed" for each in kept[:end])
    added = [] if stated or seed is None else ["--seed", str(seed)]
    return shlex.join(["zoo", *kept[:end], *added, *kept[end:]])
