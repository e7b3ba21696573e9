"""Tables and numbers for people."""

import re
import sys

import pytest

from zoo.cli._text import broken, count, counted, echo, facts, rate, sentence, shape, size, table

ROWS = [["nsf-coupling", "", "neural spline flow of several words"], ["unet[32]", "", "a network"]]
HEADERS = ["name", "nothing", "summary"]


def test_a_pipe_gets_aligned_text_without_empty_columns(capsys):
    table(HEADERS, ROWS, title="Things")
    assert capsys.readouterr().out.splitlines() == [
        "Things",
        "name          summary",
        "nsf-coupling  neural spline flow of several words",
        "unet[32]      a network",
    ]


@pytest.mark.parametrize("width", [30, 200])
def test_a_terminal_gets_a_table_that_wraps_and_loses_nothing(capsys, monkeypatch, width):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    table(HEADERS, ROWS)
    out = capsys.readouterr().out
    out = re.sub(r"\x1b\[[\d;]*m", "", out)
    for word in ("name", "summary", "nsf-coupling", "unet[32]", "neural", "spline", "several", "words", "network"):
        assert word in out
    assert "nothing" not in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= width


def test_rates_are_plain_numbers():
    assert [rate(n) for n in (0.0312, 3.0549, 463.2, 5312.7, 948_123.0)] == [
        f"{told} a second" for told in ("0.0312", "3.05", "463", "5,310", "948,000")
    ]


def test_no_color_is_respected(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    table(HEADERS, ROWS)
    assert "\x1b[3" not in capsys.readouterr().out.replace("\x1b[3m", "")  # 30 to 38 are the colours, 3 is italic


def test_facts_leave_out_what_is_empty_and_indent_lines(capsys):
    facts([("name", "x"), ("empty", ""), ("papers", ["one", "two"])])
    assert capsys.readouterr().out == "name    x\npapers  one\n        two\n"
    facts([])
    assert capsys.readouterr().out == ""


def test_lines_are_broken_between_words_and_commands_stay_whole():
    text = "install it: `pip install 'genzoo[cpu]'`, or a-word-that-is-longer-than-the-line, then go on"
    assert broken(text, 30) == [
        "install it:",
        "`pip install 'genzoo[cpu]'`,",
        "or",
        "a-word-that-is-longer-than-the-line,",
        "then go on",
    ]
    assert broken("short", 80) == ["short"]
    assert broken("", 80) == [""]
    assert broken("  two  spaces", 80) == ["  two  spaces"]


def test_facts_and_messages_fit_a_terminal(capsys, monkeypatch):
    long = "a sentence of several words that no narrow terminal has room for in one line"
    monkeypatch.setenv("COLUMNS", "50")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True, raising=False)
    facts([("summary", long), ("more", ["one", long]), ("again", "zoo run " + long)], whole=("again",))
    echo(long, err=True)
    out, err = capsys.readouterr()
    *lines, again = out.splitlines()
    assert max(map(len, [*lines, *err.splitlines()])) <= 50
    assert again == f"again    zoo run {long}"
    assert " ".join(err.split()) == long
    assert out.split() == ["summary", *long.split(), "more", "one", *long.split(), "again", "zoo", "run", *long.split()]
    sentence("warning " + long, hang=8)
    first, *rest = capsys.readouterr().out.splitlines()
    assert rest
    assert all(line.startswith(" " * 8) for line in rest)
    assert max(map(len, [first, *rest])) <= 50
    # what reads a pipe gets a line each
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    facts([("summary", long)])
    echo(long, err=True)
    assert [text.splitlines() for text in capsys.readouterr()] == [[f"summary  {long}"], [long]]


def test_numbers():
    assert [count(n) for n in (0, 7, 950, 12_345, 1_250_000, 3_000_000_000)] == ["", "7", "950", "12.3k", "1.25M", "3G"]
    assert [size(n) for n in (0, 7, 999, 1_500, 1_250_000)] == ["", "7 B", "999 B", "1.5 kB", "1.25 MB"]
    # three digits may round up to the next unit
    assert [count(n) for n in (999_499, 999_500, 999_999)] == ["999k", "1M", "1M"]
    assert [counted(n, "rows") for n in (0, 1, 1_000)] == ["0 rows", "1 row", "1,000 rows"]
    assert [counted(1, plural) for plural in ("data", "datasets", "entries")] == ["1 datum", "1 data set", "1 entry"]
    assert (shape([1, 28, 28]), shape([2]), shape([])) == ("1×28×28", "2", "scalar")


def test_no_color_leaves_no_style_at_all(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    table(HEADERS, ROWS, title="Things")
    assert "\x1b[1m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    table(HEADERS, ROWS, title="Things")
    assert "\x1b" not in capsys.readouterr().out


def test_a_narrow_terminal_does_without_columns_that_can_be_spared(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    table(["name", "size", "data"], [["a-name-of-23-characters", "1.5 MB", "moons"]], spare=("data", "size"))
    out, err = capsys.readouterr()
    assert "a-name-of-23-characters" in out
    assert "1.5 MB" in out
    assert "moons" not in out
    assert "without data" in err
