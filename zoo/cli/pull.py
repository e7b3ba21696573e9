"""``zoo pull``: a model of the Hugging Face Hub, of the web, or of an archive, into the cache."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._conditions import needed_options
from zoo.cli._pulled import fetched, told
from zoo.cli._text import echo
from zoo.errors import UsageError
from zoo.files import atomic_folder, check_free
from zoo.hub.contents import FolderFiles, choose
from zoo.hub.pulling import Pulled
from zoo.models.sources import resolve


@click.command("pull")
@click.argument("source", metavar="SOURCE")
@click.option("--sha256", metavar="DIGEST", help="Digest of a file on the web; or #sha256=DIGEST after its address.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Copy it to this folder as well.")
@click.option("--force", is_flag=True, help="Replace that folder if it exists.")
@json_option
@pass_app
def command(app: App, source: str, sha256: str | None, output: Path | None, force: bool) -> None:
    """Pull a model.

    SOURCE is hf:ORG/NAME or hf:ORG/NAME@REVISION, a model of the Hugging Face Hub; the https address of a .zip, with
    its digest; or the path of a .zip or a folder. It holds a bundle, or a model's folder, of which nothing is run:
    digests are checked first, and then every file as those of any bundle.

    Models are kept in a cache (`zoo cache ls`), a branch or tag of the Hub as the commit that it was when it was
    pulled. They can be used by their address wherever a command takes a MODEL, without a network; to pull again asks
    for a newer commit. A download that was cut goes on where it stopped.

    huggingface_hub does the talking to the Hub (pip install 'genzoo[hub]'), so that its settings hold: HF_TOKEN,
    HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE.

    \b
    zoo pull hf:ORG/NAME
    zoo run hf:ORG/NAME -n 16 -o samples.png
    zoo pull https://example.org/digits.zip --sha256 DIGEST -o digits
    """
    if output is not None:
        check_free(output, replace=force)
    if not Path(source).exists() and any(item.description.name == source for item in app.registry.items("model")):
        raise UsageError(f"{source} is installed here, and need not be pulled", hint=f"Try `zoo run {source}`.")
    pulled = fetched(app, source, sha256)
    if pulled.stale:
        app.say(f"Warning: {pulled.stale}; this is what was pulled last")
    if output is not None:
        _copy(pulled, output, force=force)
    entry = pulled.entry
    if app.json:
        app.emit(
            {
                "address": str(pulled.exact),
                "asked": str(pulled.address),
                "name": entry.name,
                "folder": output or entry.model,
                "size": entry.size,
                "files": entry.files,
                "new": pulled.new,
                "stale": pulled.stale or None,
            }
        )
        return
    echo(told(pulled))
    echo(f"it lies in {output or entry.model}")
    manifest = resolve(app.registry, output or entry.model).manifest()
    app.say(f"try `zoo run {output or pulled.exact}{needed_options(manifest)}`")


def _copy(pulled: Pulled, output: Path, *, force: bool) -> None:
    """Copy a pulled model, whose files are checked again as they are opened there."""
    files = FolderFiles(pulled.folder)
    with atomic_folder(output, replace=force) as folder:
        choose(files).write(files, folder, None)
