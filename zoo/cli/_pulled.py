"""MODEL of a command line: pulled first, with its progress, if it is an address of the Hub or of the web."""

from __future__ import annotations

from pathlib import Path

from zoo.cli._app import App
from zoo.cli._text import counted, size
from zoo.hub import Pulled, address_of, cached, is_address, pull


def local(app: App, model: str) -> str | Path:
    """MODEL itself, or the folder in the cache of one that is named by an address or is a .zip.

    What is in the cache is used without asking the network; that is told, and ``zoo pull`` asks for a newer one. Files
    that the command writes state the commit, with which they can be made again.
    """
    if not is_address(model):
        return model
    address = address_of(model)
    pulled = cached(address)
    if pulled is None:
        pulled = fetched(app, model)
        app.say(told(pulled))
    elif str(pulled.exact) != model:
        app.say(f"{model} is {pulled.exact}, as it was pulled (`zoo pull {model}` asks for a newer one)")
    app.arguments = [str(pulled.exact) if each == model else each for each in app.arguments]
    return pulled.folder


def fetched(app: App, model: str, sha256: str | None = None) -> Pulled:
    """Pull a model, with its progress in bytes."""
    with app.progress(f"pulling {model.partition('#')[0]}", 1) as update:
        return pull(address_of(model, sha256), progress=update)


def told(pulled: Pulled) -> str:
    """What was pulled, in a line."""
    entry = pulled.entry
    verb = "pulled" if pulled.new else "in the cache already:"
    return f"{verb} {entry.name} from {pulled.exact}, {counted(len(entry.files), 'files')}, {size(entry.size)}"
