"""The documentation as a site: it builds strictly, and says everything that the code has."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.cli._commands import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site; ``strict`` in mkdocs.yml makes a broken link or a page without a place an error."""
    for name in ("mkdocs", "material", "mkdocs_click", "mkdocstrings"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def shown(page):
    """The text of a page, without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8")))


def test_every_command_has_its_help_in_the_reference(site):
    text = shown(site / "reference" / "commands" / "index.html")
    assert all(f"zoo {name} [OPTIONS]" in text for name in COMMANDS)
    assert "--temperature" in text
    assert "--guidance" in text
    assert "UNSET" not in text


def test_every_public_name_has_its_docstring_in_the_reference(site):
    text = (site / "reference" / "python" / "index.html").read_text("utf-8")
    known = set(re.findall(r'id="zoo\.(?:\w+\.)*(\w+)"', text))
    assert set(zoo.__all__) - {"__version__"} <= known
    assert {"BundledModel", "load", "parametrize_with_checks"} <= known
    # the markup of docstrings became that of the page
    assert ":class:" not in text
    assert ":func:" not in text


def test_every_document_and_source_that_a_page_links_to_is_a_page(site):
    assert (site / "index.html").exists()
    for page in site.rglob("index.html"):
        links = re.findall(r'href="([^"#]+?)(?:#[^"]*)?"', page.read_text("utf-8"))
        for link in links:
            if not re.match(r"[a-z]+:|/", link):
                target = (page.parent / html.unescape(link)).resolve()
                assert target.exists(), f"{page.relative_to(site)} links to {link}"
    assert (site / "source" / "zoo" / "registry" / "hookspecs.py" / "index.html").exists()


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        fetched = re.findall(r'<(?:script|img|link)[^>]*?(?:src|href)="(https?:[^"]+)"', page.read_text("utf-8"))
        assert fetched == [], page.relative_to(site)


def test_pages_can_be_searched_and_are_for_phones_and_the_dark(site):
    first = (site / "index.html").read_text("utf-8")
    assert 'name="viewport"' in first
    assert 'data-md-color-scheme="slate"' in first
    assert "prefers-color-scheme: dark" in first
    assert "safetensors" in (site / "search" / "search_index.json").read_text("utf-8")
