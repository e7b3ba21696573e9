"""The command line on terminals of several widths: nothing is wider than the terminal where its words allow."""

import os
import struct
import subprocess
import sys

import pytest

pty, termios, fcntl = (pytest.importorskip(name) for name in ("pty", "termios", "fcntl"))


def shown(width, *arguments, stdout=None):
    """What a terminal of so many columns is written, line by line; stdout may be elsewhere."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={**environment, "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # nobody has the other end any more
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() in (0, 2)
    return written.decode().replace("\r", "").splitlines()


@pytest.mark.parametrize("arguments", [(), ("plugins",), ("list",)], ids=["help", "plugins", "list"])
def test_lines_are_as_wide_as_the_terminal(arguments):
    narrow, wide = (shown(width, *arguments) for width in (60, 140))
    assert max(map(len, narrow)) <= 60
    assert max(map(len, wide)) > 60
    assert len(narrow) > len(wide)


def test_what_is_said_beside_a_pipe_is_as_wide_as_the_terminal():
    told = shown(50, "list", stdout=subprocess.DEVNULL)
    assert len(told) > 2
    assert 40 < max(map(len, told)) <= 50


def test_a_narrow_terminal_leaves_out_what_tells_least():
    lines = shown(80, "plugins")
    assert lines[1].split() == ["name", "status", "brings"]
    assert "without location, api, version, distribution: the terminal is too narrow" in " ".join(lines)
    assert "distribution" in shown(140, "plugins")[1]
