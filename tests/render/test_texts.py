"""Texts written a line each, and read back, gaps and all."""

import numpy as np
import pytest

from zoo.errors import DataError, UsageError
from zoo.modality import Text
from zoo.render import check_output, default_suffix, write
from zoo.render.files import Extras
from zoo.render.read import read_samples

MODALITY = Text(".abc")


def test_a_line_a_text(tmp_path):
    samples = np.array([[1.5, 2.5, 0.5, 3.5], [3.5, 0.5, 0.5, 0.5]], np.float32)
    assert default_suffix((4,), MODALITY) == ".txt"
    write(samples, tmp_path / "x.txt", Extras(modality=MODALITY, levels=4))
    assert (tmp_path / "x.txt").read_text() == "ab\nc\n"
    read, condition = read_samples(tmp_path / "x.txt", (4,), MODALITY)
    assert read.tolist() == [[1, 2, 0, 0], [3, 0, 0, 0]]
    assert read.dtype.kind == "i"
    assert condition is None


def test_gaps_are_read_as_such(tmp_path):
    (tmp_path / "x.txt").write_text("a?c\n")
    assert read_samples(tmp_path / "x.txt", (4,), MODALITY)[0].tolist() == [[1, -1, 3, 0]]


@pytest.mark.parametrize(("content", "told"), [(b"", "empty"), (b"abd\n", "'d'"), (b"\xff\n", "cannot read")])
def test_what_is_no_text_is_refused(content, told, tmp_path):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_samples(tmp_path / "x.txt", (4,), MODALITY)


def test_only_texts_are_written_as_such(tmp_path):
    with pytest.raises(UsageError, match="not texts"):
        check_output(tmp_path / "x.txt", (4,), None)
    (tmp_path / "x.txt").write_text("ab\n")
    with pytest.raises(DataError, match="not a model of texts"):
        read_samples(tmp_path / "x.txt", (4,), None)
