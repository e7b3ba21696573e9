"""docs/data.md: its commands, run one after another on files as the page shows them, say what it says."""

import csv
import datetime
import doctest
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from zoo.cli import _group

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")


def written(path, rows):
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files of the page."""
    random = np.random.default_rng(0)
    people = [["person id", "Height (cm)", "age", "city", "member", "joined"]]
    for i in range(200):
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=int(random.integers(1500)))
        age = (18, 79)[i] if i < 2 else random.integers(18, 80)
        city = ("Bern", "Genève, CH", "Zürich")[random.integers(3)]
        people.append([1000 + i, f"{random.normal(170, 9):.1f}", age, city, ("yes", "no")[random.integers(2)], day])
    written(tmp_path / "people.csv", people)
    b, phi, m = random.uniform(0, 3, 300), random.uniform(-np.pi, np.pi, 300), random.normal(size=300)
    x = 1e4 * (np.stack([b, np.cos(phi), m], 1) + 0.1 * random.normal(size=(300, 3)))
    rows = [[repr(float(v)) for v in row] for row in np.column_stack([b, phi, m, x])]
    written(tmp_path / "sims.csv", [["b", "phi", "m", "x_0", "x_1", "x_2"], *rows])
    (recipe,) = re.findall(r"^`people\.toml`\n\n```toml\n(.*?)^```$", PAGE, re.M | re.S)
    (tmp_path / "people.toml").write_text(recipe, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_page_say_what_it_says(files):
    pytest.importorskip("torch")
    consoles = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.M | re.S))
    commands = re.findall(r"^\$ zoo (.*)\n((?:(?!\$ ).*\n)*)", consoles, re.M)
    assert len(commands) == 7
    for command, told in commands:
        result = CliRunner().invoke(_group.cli, shlex.split(command))
        assert result.exit_code == 0, result.output
        same = doctest.OutputChecker().check_output
        assert same(told, result.output, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), f"{command}\n{result.output}"


def test_the_page_names_every_reader():
    from zoo.reading.builtin import readers

    assert all(suffix in PAGE for reader in readers() for suffix in reader.suffixes)
