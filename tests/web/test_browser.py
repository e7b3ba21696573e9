"""The driver of headless Chromium: it ends what it has begun, and waits for nothing for ever."""

import os
import time
from pathlib import Path

import pytest

from zoo_web.browser import Browser, find_browser, served


@pytest.fixture(scope="module")
def program():
    found = find_browser()
    if found is None:
        pytest.skip("Chromium is not installed, and CHROMIUM names no other")
    return found


def alive(group):
    """Whether any process of a group runs; those that have ended and wait to be noticed do not."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] == str(group) and fields[0] != "Z":
            return True
    return False


def ended(group):
    end = time.monotonic() + 10
    while alive(group):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")
def test_nothing_is_left_running(program):
    groups = []

    def fail():
        with Browser(program) as browser:
            groups.append(browser._process.pid)
            assert os.getpgid(groups[0]) == groups[0]
            assert alive(groups[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ended(groups[0])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")
def test_a_browser_that_hangs_is_killed(program, monkeypatch):
    monkeypatch.setattr(Browser, "patience", 0.2)
    browser = Browser(program)
    group = browser._process.pid
    with pytest.raises(TimeoutError, match="does not answer"):
        browser.send("Runtime.evaluate", expression="for (;;);", seconds=0.3)
    browser.close()
    assert ended(group)


def test_waiting_ends(program, tmp_path):
    (tmp_path / "index.html").write_text("<script>console.error('I say', 1)</script>")
    requests = []
    with served(tmp_path, requests, {"X-Said": "yes"}) as address, Browser(program) as browser:
        browser.open(address)
        browser.wait("document.readyState === 'complete'", 10)
        assert browser.evaluate("fetch('/').then((r) => r.headers.get('X-Said'))") == "yes"
        with pytest.raises(TimeoutError, match=r"false is not true after 0.1 s; the console says \['I say 1'"):
            browser.wait("false", 0.1)
        with pytest.raises(RuntimeError, match="no such thing"):
            browser.evaluate("(() => { throw new Error('no such thing'); })()")
        assert browser.evaluate("Promise.resolve({ a: [1, null] })") == {"a": [1, None]}
    assert "200 /" in requests


def test_a_program_that_is_none_is_an_error():
    with pytest.raises((OSError, RuntimeError)):
        Browser("/bin/false")
    with pytest.raises((OSError, RuntimeError)):
        Browser("/nonexistent/browser")


def test_the_variable_names_the_browser(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM", "/somewhere/chrome")
    assert find_browser() == "/somewhere/chrome"
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_browser() is None
