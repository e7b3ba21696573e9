"""What strangers name things reaches a terminal as letters only."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from zoo.bundle import MANIFEST
from zoo.cli import cli
from zoo.printable import printable, shortened, unprintable
from zoo.registry.cards import ModelCard

CLI = Path(__file__).parents[2] / "zoo" / "cli"
#: clears the screen; a line of its own; letters turned round; a separator; rich's mark-up, which is letters
EVIL = "a\u202egnp\u2028b[red]c"
TURNED = "\u202e"


def run(*args):
    return cli.main([str(a) for a in args], standalone_mode=False)


def harmless(text):
    return all(c == "\n" or not unprintable(c) for c in text)


def test_what_is_not_printable_becomes_its_code_and_the_rest_stays():
    assert printable("a\x1b[2J\r\nb\u202e\u2066\u2029\x9b") == r"a\x1b[2J\r\nb\u202e\u2066\u2029\x9b"
    assert printable("half \ud800") == r"half \ud800"
    assert printable("two\nlines", "\n") == "two\nlines"
    for plain in (
        "β → 28×28, naïve 数据 café",
        "\u0645\u06cc\u200c\u062e",
        "100\u202f000 and\u00a0more",
        "[red]x[/red]",
    ):
        assert printable(plain) == plain
    assert len(shortened("x" * 10_000, 80)) <= 80


def evil(values):
    values["model"] |= {"name": EVIL, "summary": f"one\ntwo {TURNED}", "family": EVIL, "papers": [f"p\n{EVIL}"]}
    values["model"] |= {"architecture": EVIL, "metrics": {EVIL: {"value": EVIL, EVIL: TURNED}}, "data": {"name": EVIL}}
    values["licenses"] = {EVIL: EVIL}
    values["created_by"] = EVIL
    values["condition"] = None
    values["graphs"]["inverse"]["outputs"][0]["meaning"] = EVIL


def test_a_manifest_shown_is_letters(victim, capfd):
    victim.manifest(evil)
    assert run("show", victim.folder) == 0
    told = capfd.readouterr()
    assert harmless(told.out)
    assert harmless(told.err)
    assert r"a\u202egnp\u2028b[red]c" in told.out  # mark-up of rich is none of ours
    assert "one two" in told.out
    assert run("show", victim.folder, "--json") == 0
    assert json.loads(capfd.readouterr().out)["name"] == EVIL  # data stay what they are


def test_and_so_is_what_check_says_of_it(victim, capfd):
    victim.manifest(evil)
    run("check", victim.folder, "--provider", "cpu")
    told = capfd.readouterr()
    assert harmless(told.out)
    assert harmless(told.err)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_on_a_terminal_too(victim):
    victim.manifest(evil)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "zoo", "check", str(victim.folder), "--provider", "cpu"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "dumb"}) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "graph inverse" in text
    assert TURNED not in text
    assert "\u2028" not in text


def test_a_card_shown_and_a_folder_s_name_are_letters(tmp_path, capfd):
    folder = tmp_path / f"evil{TURNED}\nname"
    folder.mkdir()
    card = ModelCard(name=EVIL, summary=EVIL, family=EVIL, architecture=EVIL, data={"name": EVIL}, papers=(EVIL,))
    (folder / "card.json").write_text(card.to_json())
    assert run("show", folder) == 0
    assert run("run", folder) != 0
    (folder / "card.json").write_text("{}")
    assert run("show", folder) == 1
    told = capfd.readouterr()
    assert harmless(told.out)
    assert harmless(told.err)
    assert r"evil\u202e\nname" in told.err
    assert len(told.err.strip().splitlines()) <= 4


def test_errors_are_one_line(victim, capfd):
    victim.manifest(lambda v: v["graphs"].update({"x": v["graphs"].pop("inverse") | {"file": f"\n{EVIL}.onnx"}}))
    assert run("show", victim.folder) == 1
    told = capfd.readouterr().err
    assert harmless(told)
    assert len(told.strip().splitlines()) == 1
    assert (victim / MANIFEST).exists()


def test_nothing_else_writes_to_the_terminal():
    # `emit` in _app writes JSON, whose writer escapes all that is not ASCII
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("click.echo", "click.secho"):
                assert path.name == "_text.py", path
            if called == "print":
                assert path.name == "_app.py", path
                assert "json.dumps" in ast.unparse(node), path
            assert called not in ("sys.stdout.write", "sys.stderr.write", "traceback.print_exc"), path
