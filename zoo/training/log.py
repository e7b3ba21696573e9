"""``log.jsonl``: how a run went, a JSON object a line, which stays beside the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.errors import MissingDependencyError, OutputError
from zoo.files import reason_of, write_text

LOG_FILE = "log.jsonl"
#: the folder of TensorBoard's events
BOARD_FOLDER = "tensorboard"

#: one line: the step, its loss and learning rate, and the validation loss if there was an evaluation
Line = dict[str, float]


class Log:
    """The log of a run, written as it goes. It holds no times, so that a resumed run ends with the same bytes.

    Args:
        path: of the file.
        step: of the checkpoint that the run goes on from; later lines, of steps that are repeated, are removed.
        board: folder of events for TensorBoard, which get the same numbers; None for none.

    Raises:
        OutputError: it cannot be written.
        MissingDependencyError: TensorBoard is not installed.
    """

    def __init__(self, path: Path, step: int, board: Path | None = None) -> None:
        self.path = path
        self._board = None if board is None else _board(board, step)
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
        if self._board is not None:
            for name, value in line.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(line["step"]))
            self._board.flush()


def _board(folder: Path, step: int) -> Any:
    """A writer of torch's. What it wrote of steps after ``step`` is shown no more."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingDependencyError("tensorboard", "write for TensorBoard", extra="tensorboard") from error
    try:
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {reason_of(error)}") from error


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
