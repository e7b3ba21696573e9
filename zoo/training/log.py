"""``log.jsonl``: how a run went, a JSON object a line, which stays beside the card."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.errors import OutputError
from zoo.files import reason_of, write_text

LOG_FILE = "log.jsonl"

#: one line: the step, its loss and learning rate, and the validation loss if there was an evaluation
Line = dict[str, float]


class Log:
    """The log of a run, written as it goes. It holds no times, so that a resumed run ends with the same bytes.

    Args:
        path: of the file.
        step: of the checkpoint that the run goes on from; later lines, of steps that are repeated, are removed.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        lines = [line for line in read(path) if line["step"] <= step] if step else []
        if path.exists():
            write_text(path, "".join(map(_written, lines)))

    def add(self, line: Line) -> None:
        """Write a line.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_written(line))
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {reason_of(error)}") from error


def _written(line: Line) -> str:
    return json.dumps(line) + "\n"


def read(path: Path) -> list[Line]:
    """The lines of a log, in order; none if there is no file. A line that was cut short by a crash is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text("utf-8", "replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append({name: value for name, value in line.items() if isinstance(value, (int, float))})
    return lines
