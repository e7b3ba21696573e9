"""The loops of docs/training.md are run as they stand there, and learn."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
PLAIN, ACCELERATE, LIGHTNING = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("library", "block"), [(None, PLAIN), ("accelerate", ACCELERATE), ("lightning", LIGHTNING)])
def test_a_loop_of_the_page_learns(tmp_path, monkeypatch, library, block):
    if library is not None:
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    fresh, names = {}, {}
    exec(PLAIN.replace("range(60)", "range(0)"), fresh)
    exec(PLAIN.replace("range(60)", "range(0)") if library else PLAIN, names)
    if library is not None:
        exec(block, names)
    before, after = (each["model"].eval().loss(each["x"]).item() for each in (fresh, names))
    assert after < before - 0.05
