"""Compare flows with zuko, nflows and normflows, and write the table in docs/flows.md.

    pip install zuko==1.6.0 nflows==0.14 normflows==1.7.3
    python scripts/flow_parity.py

Runs the tests marked ``parity(architecture, library, what)``, whose fixture ``same`` asserts and tells the largest
\\|ours - theirs\\| / (1 + \\|theirs\\|); float64 comparisons are left out where there are float32 ones.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from document import fill, table

ROOT = Path(__file__).parent.parent
QUANTITIES = ("log-density", "samples")


class Collector:
    """A plugin of pytest that keeps what tests of parity measured."""

    def __init__(self) -> None:
        self.differences: dict[tuple[str, ...], dict[str, float]] = {}

    @pytest.hookimpl
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Keep the largest difference of each kind."""
        mark = item.get_closest_marker("parity")
        if mark is None or "float64" in item.name:
            return
        kept = self.differences.setdefault(mark.args, {})
        for quantity, difference in item.user_properties:
            kept[quantity] = max(kept.get(quantity, 0.0), float(str(difference)))


def main() -> None:
    """Run the tests, and write the table unless one fails."""
    collector = Collector()
    code = pytest.main(["-q", "-m", "parity", str(ROOT / "tests" / "flows")], plugins=[collector])
    if code:
        sys.exit(int(code))
    rows = [
        [
            f"`{architecture}`",
            f"{library} {version(library)}",
            what,
            *(f"{measured[each]:.0e}" if each in measured else "" for each in QUANTITIES),
        ]
        for (architecture, library, what), measured in sorted(collector.differences.items())
    ]
    head = ["architecture", "library", "what is compared", *QUANTITIES]
    fill(ROOT / "docs" / "flows.md", "parity", table(head, rows))


if __name__ == "__main__":
    main()
