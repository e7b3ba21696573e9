"""``zoo cache``: the models that were pulled."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from zoo.cli import _complete
from zoo.cli._app import App, json_option, pass_app
from zoo.cli._text import echo, size, table
from zoo.errors import MissingDependencyError, UsageError, ZooError
from zoo.hub import Entry, HubAddress, Store, address_of
from zoo.hub.hugging_face import forget

FAILED = 3


@click.group("cache")
def command() -> None:
    """Look at the models that were pulled, and remove them.

    They lie in the folder that ZOO_CACHE names, or in ~/.cache/genzoo. What huggingface_hub downloaded lies in its own
    cache, with which files are shared where the disk allows links.
    """


@command.command("ls")
@json_option
@pass_app
def ls(app: App) -> None:
    """List them, with their size and the address that stands for exactly these files."""
    store = Store()
    entries, unread = _entries(store)
    parts = [{"file": path, "size": path.stat().st_size} for path in _parts(store)]
    if app.json:
        listed = [
            {"address": e.source, "name": e.name, "folder": e.model, "size": e.size, "files": e.files} for e in entries
        ]
        app.emit({"folder": store.folder, "models": listed, "unfinished": parts, "errors": list(map(str, unread))})
        return
    for error in unread:
        app.say(f"Warning: {error}")
    if entries:
        table(
            ["address", "model", "files", "size"],
            [[each.source, each.name, str(len(each.files)), size(each.size)] for each in entries],
        )
    else:
        app.say(f"there is nothing in {store.folder}")
    for part in parts:
        app.say(f"unfinished: {part['file']}, {size(int(str(part['size'])))}")


@command.command("rm")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, shell_complete=_complete.addresses)
@click.option("--all", "everything", is_flag=True, help="Remove all of them, and unfinished downloads.")
@json_option
@pass_app
def rm(app: App, addresses: tuple[str, ...], everything: bool) -> None:
    """Remove models, and what huggingface_hub keeps of them.

    ADDRESS is one that `zoo cache ls` shows, or hf:ORG/NAME for all of its commits.
    """
    if bool(addresses) == everything:
        raise UsageError("cache rm takes addresses of `zoo cache ls`, or --all")
    store = Store()
    entries, _ = _entries(store)
    damaged = store.damaged() if everything else [text for text in addresses if text in store.damaged()]
    named = [text for text in addresses if text not in damaged]
    chosen = entries if everything else [each for text in named for each in _meant(entries, text)]
    removed = []
    for entry in {each.folder: each for each in chosen}.values():
        store.remove(entry.folder.name)
        _forget(entry)
        removed.append(entry.source)
        if not app.json:
            echo(f"removed {entry.source}, {size(entry.size)}")
    for key in damaged:
        store.remove(key)
        removed.append(key)
        if not app.json:
            echo(f"removed {key}, which was damaged")
    parts = _parts(store) if everything else []
    for part in parts:
        part.unlink(missing_ok=True)
    if app.json:
        app.emit({"removed": removed, "unfinished": parts})


@command.command("verify")
@click.argument("addresses", metavar="[ADDRESS...]", nargs=-1, shell_complete=_complete.addresses)
@json_option
@click.pass_context
@pass_app
def verify(app: App, context: click.Context, addresses: tuple[str, ...]) -> None:
    """Check every file of them against the digest that it was pulled with, and open every bundle.

    Exits with 3 if one is damaged, and tells which.
    """
    entries, unread = _entries(Store())
    chosen = entries if not addresses else [each for text in addresses for each in _meant(entries, text)]
    results: list[dict[str, Any]] = [{"address": None, "ok": False, "error": str(error)} for error in unread]
    for entry in chosen:
        try:
            entry.verify()
            results.append({"address": entry.source, "ok": True, "error": None})
        except ZooError as error:
            results.append({"address": entry.source, "ok": False, "error": str(error)})
    ok = all(each["ok"] for each in results)
    if app.json:
        app.emit({"ok": ok, "models": results})
    else:
        if not results:
            app.say(f"there is nothing in {Store().folder}")
        for each in results:
            echo(f"ok       {each['address']}" if each["ok"] else f"damaged  {each['address'] or ''}: {each['error']}")
        if not ok:
            app.say("`zoo cache rm ADDRESS` removes one, and `zoo pull ADDRESS` brings it again")
    context.exit(0 if ok else FAILED)


def _entries(store: Store) -> tuple[list[Entry], list[ZooError]]:
    """The entries that can be read, and the errors of the others."""
    every = list(store.entries())
    return [each for each in every if isinstance(each, Entry)], [each for each in every if isinstance(each, ZooError)]


def _meant(entries: list[Entry], text: str) -> list[Entry]:
    """The entries that an address means: one, or all commits of a repository.

    Raises:
        UsageError: none.
    """
    meant = [each for each in entries if text in (each.source, each.folder.name, each.source.partition("#")[0])]
    if not meant and text.startswith("hf:"):
        address = address_of(text)
        assert isinstance(address, HubAddress)
        if address.revision == "main":
            meant = [each for each in entries if each.source.partition("@")[0] == text]
        else:
            key = Store().pinned(text)
            meant = [each for each in entries if each.folder.name == key]
    if not meant:
        raise UsageError(f"{text} is not in the cache", hint="`zoo cache ls` shows what is.")
    return meant


def _forget(entry: Entry) -> None:
    """Let huggingface_hub remove what it keeps of an entry, if it is there."""
    if not entry.source.startswith("hf:"):
        return
    address = address_of(entry.source)
    assert isinstance(address, HubAddress)
    with contextlib.suppress(MissingDependencyError):
        forget(address)


def _parts(store: Store) -> list[Path]:
    return sorted(store.downloads.glob("*.part"))
