from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zoo import Dataset, Split
from zoo.errors import DataError
from zoo.modality import Modality


@dataclass(frozen=True)
class Board(Modality):
    """A position of a game: events ``[rows, columns]`` of whole numbers, each a piece."""

    rows: int
    columns: int
    pieces: str
    kind: ClassVar[str] = "board"

    def misfit(self, event_shape, levels):
        if event_shape != (self.rows, self.columns):
            return f"boards have shape [{self.rows}, {self.columns}]"
        return None if levels == len(self.pieces) else f"boards with {len(self.pieces)} pieces have as many levels"


def squares(samples, board):
    return np.floor(samples).clip(0, len(board.pieces) - 1).astype(int)


def write(samples, extras):
    """A board in lines of pieces, and an empty line after each."""
    pieces = np.array(list(extras.modality.pieces))
    texts = ["".join("".join(row) + "\n" for row in pieces[board]) for board in squares(samples, extras.modality)]
    return "\n".join(texts).encode()


def read(path, event_shape, modality):
    boards = [text.split("\n") for text in path.read_text("utf-8").strip().split("\n\n")]
    if any({len(board), *map(len, board)} - {modality.rows, modality.columns} for board in boards):
        raise DataError(f"{path} has boards of another size")
    numbers = [[[modality.pieces.find(piece) for piece in row] for row in board] for board in boards]
    if np.min(numbers) < 0:
        raise DataError(f"{path} has other pieces than {modality.pieces}")
    return {"samples": np.array(numbers)}


def draw(samples, extras):
    """A .png: boards beside one another, a shade for each piece."""
    import io

    from PIL import Image

    shades = squares(samples, extras.modality) * (255 // (len(extras.modality.pieces) - 1))
    wide = np.concatenate([np.pad(board.repeat(8, 0).repeat(8, 1), 2) for board in shades], axis=1)
    file = io.BytesIO()
    Image.fromarray(wide.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_svg(samples, extras):
    """A picture of boards beside one another."""
    board = extras.modality
    cells = [
        f'<text x="{20 * (place * (board.columns + 1) + column) + 10}" y="{20 * row + 15}">{board.pieces[value]}</text>'
        for place, each in enumerate(squares(samples, board))
        for (row, column), value in np.ndenumerate(each)
    ]
    size = f'width="{20 * len(samples) * (board.columns + 1)}" height="{20 * board.rows}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(cells)}</svg>\n'.encode()


def games(seed: int = 0):
    """Noughts and crosses after one to nine moves at random."""
    random = np.random.default_rng(seed)
    x = np.zeros((600, 9), np.int64)
    for board in x:
        moves = random.permutation(9)[: random.integers(1, 10)]
        board[moves[::2]], board[moves[1::2]] = 1, 2
    parts = np.split(x.reshape(-1, 3, 3), [400, 500])
    return Dataset("games", *map(Split, parts), levels=3, modality=Board(3, 3, ".XO"))
