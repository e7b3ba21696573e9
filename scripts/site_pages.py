"""Pages of the site that stand outside ``docs``, or are made from the code: a hook of MkDocs, see ``mkdocs.yml``.

README.md becomes the first page. Files of the repository that pages link to become pages too: documents as they are,
sources as listings. The references list the commands of ``zoo`` and the public names of Python.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
#: documents outside ``docs`` that are pages, and where they stand on the site
DOCUMENTS = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "benchmarks/README.md": "benchmarks/README.md",
}
#: packages whose public names the reference lists
MODULES = ("zoo", "zoo.runtime", "zoo.testing")
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"^(```.*?^```[^\n]*$)", re.M | re.S)
_LISTED = {".py": "python", ".toml": "toml", ".json": "json", "": "sh"}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside ``docs``, the files that any page links to, and the references."""
    contents: dict[str, Callable[[], str | bytes]] = {
        "reference/commands.md": _commands,
        "reference/python.md": _names,
    }
    for source, page in DOCUMENTS.items():
        contents[page] = lambda source=source: _moved((ROOT / source).read_text("utf-8"), source)  # type: ignore[misc]
    texts = {
        f"{DOCS}/{file.src_uri}": Path(file.abs_src_path).read_text("utf-8")
        for file in files.documentation_pages()
        if file.abs_src_path is not None
    }
    texts |= {source: (ROOT / source).read_text("utf-8") for source in DOCUMENTS}
    for source, text in texts.items():
        for target in _linked(text, source):
            page = _page_of(target)
            if page not in contents and not target.startswith(f"{DOCS}/"):
                contents[page] = lambda target=target: _content(target)  # type: ignore[misc]
    for page, content in contents.items():
        files.append(File.generated(config, page, content=content()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links of ``docs`` to files outside it into links between pages."""
    if page.file.generated_by is not None:
        return markdown
    return _moved(markdown, f"{DOCS}/{page.file.src_uri}")


def _moved(text: str, source: str) -> str:
    """A document's text, with its links to files of the repository as links from its page to theirs."""
    here = posixpath.dirname(_page_of(source))

    def link(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path = _path(target, source)
        if path is None:
            return match.group(0)
        fragment = urlsplit(target).fragment
        page = posixpath.relpath(_page_of(path), here or ".")
        return f"{before}{page}{'#' if fragment else ''}{fragment}{after}"

    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in _FENCE.split(text))


def _linked(text: str, source: str) -> Iterator[str]:
    """The files of the repository that a document links to."""
    for part in _FENCE.split(text):
        if not part.startswith("```"):
            for _, target, _ in _LINK.findall(part):
                if (path := _path(target, source)) is not None:
                    yield path


def _path(target: str, source: str) -> str | None:
    """What a link means, from the root of the repository; None if it is no path."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path:
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), parts.path))
    if path.startswith(".."):
        raise PluginError(f"{source} links to {target}, which is outside the repository")
    return path


def _page_of(path: str) -> str:
    """Where a file of the repository stands on the site."""
    if path in DOCUMENTS:
        return DOCUMENTS[path]
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return path if path.endswith((".md", ".png")) else f"source/{path}.md"


def _content(path: str) -> str | bytes:
    """A file of the repository as a page, or as it is."""
    file = ROOT / path
    if not file.exists():
        raise PluginError(f"a page links to {path}, which does not exist")
    if file.is_dir():
        listed = sorted(each.name for each in file.iterdir() if not each.name.startswith((".", "__")))
        return f"# `{path}`\n\n" + "\n".join(f"- `{name}`" for name in listed) + "\n"
    if path.endswith(".png"):
        return file.read_bytes()
    if path.endswith(".md"):
        return _moved(file.read_text("utf-8"), path)
    fence = f"````{_LISTED.get(file.suffix, 'text')}\n{file.read_text('utf-8')}````\n"
    return f"---\nsearch:\n  exclude: true\n---\n\n# `{path}`\n\n{fence}"


def _commands() -> str:
    from zoo.cli._app import App
    from zoo.cli._group import cli

    cli.context_settings["obj"] = App()  # as when a command line is run
    return (
        "# Commands\n\nWhat `zoo --help` and `zoo COMMAND --help` tell, written from the program itself.\n\n"
        "::: mkdocs-click\n    :module: zoo.cli._group\n    :command: cli\n    :prog_name: zoo\n    :depth: 1\n"
        "    :style: plain\n"
    )


def _names() -> str:
    """A page of the public names, in the order of their modules."""
    lines = [
        "# Python",
        "",
        "Every public name, from its docstring. `import zoo` imports neither torch nor onnxruntime; each name is",
        "loaded from its module when it is first used.",
        "",
    ]
    for module in MODULES:
        lines += [f"## `{module}`", ""]
        lines += [f"::: {name}\n" for name in _public(ROOT.joinpath(*module.split(".")))]
    return "\n".join(lines) + "\n"


def _public(package: Path) -> Iterator[str]:
    """The public names of a package where they are defined: of its stub, or of its ``__all__``."""
    stub = package / "__init__.pyi"
    tree = ast.parse((stub if stub.exists() else package / "__init__.py").read_text("utf-8"))
    listed = [
        ast.literal_eval(n.value)
        for n in tree.body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"
    ]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for each in node.names:
                if each.name in listed[0] if listed else not each.name.startswith("__"):
                    yield f"{node.module}.{each.name}"
