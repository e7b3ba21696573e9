"""Everything that is measured, in one run, and the page of it.

    python -m benchmarks                          # all sections into benchmarks/results.json, then the page
    python -m benchmarks --seconds 900            # ends by then; run again to go on with what was not reached
    python -m benchmarks --only sampling flows    # some sections
    python -m benchmarks --quick -o quick.json    # each section in little, to see that it works; its page is a draft
    python -m benchmarks --page                   # the page alone, from the JSON alone

Peers are measured in the same run: they take turns in one process, with as many threads as each other and none that
spins while it waits. Figures are medians with quartiles; ratios are taken turn by turn. The most valuable cells come
first, and the JSON is written after each, so a run that is stopped leaves what it has; the next one goes on.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

BEGAN = time.monotonic()
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scripts")]

from suite.run import main  # noqa: E402 - after the path

if __name__ == "__main__":
    sys.exit(main(__doc__, BEGAN))
