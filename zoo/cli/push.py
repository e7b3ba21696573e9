"""``zoo push``: a model onto the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._complete import names_of
from zoo.cli._conditions import needed_options
from zoo.cli._pulled import local
from zoo.cli._text import counted, echo, size
from zoo.errors import UsageError
from zoo.files import check_free
from zoo.hub import HubAddress, address_of, push
from zoo.hub.pushing import write_staged
from zoo.models.sources import Source, resolve


@click.command("push")
@click.argument("model", metavar="MODEL", shell_complete=names_of("model", files=True))
@click.argument("address", metavar="hf:ORG/NAME[@BRANCH]")
@click.option("--dry-run", is_flag=True, help="Push nothing: write what would be pushed to a folder.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="That folder [NAME-hub].")
@click.option("--force", is_flag=True, help="Replace that folder if it exists.")
@click.option("--message", default="", help="Message of the commit.")
@click.option("--private/--public", default=None, help="Who sees a new repository [the account's choice].")
@click.option("--card/--no-card", default=True, help="Write README.md, the Hub's model card; or keep the one there.")
@json_option
@pass_app
def command(
    app: App,
    model: str,
    address: str,
    dry_run: bool,
    output: Path | None,
    force: bool,
    message: str,
    private: bool | None,
    card: bool,
) -> None:
    """Put a model onto the Hugging Face Hub.

    MODEL is a model's name, or the path of a model's folder or of a bundle. Its files are checked and put into the
    repository, which is made if there is none, in one commit: card and weights, or graphs, and nothing else that lies
    beside them. README.md is a model card with the metadata that the Hub reads: licence, task, tags and metrics.

    Log in first with `hf auth login`, or set HF_TOKEN.

    \b
    zoo push runs/people hf:ORG/people --dry-run -o look
    zoo push runs/people hf:ORG/people
    """
    target = address_of(address)
    if not isinstance(target, HubAddress):
        raise UsageError(f"{address} is not an address of the Hub", hint="It is of the form hf:ORG/NAME.")
    if output is not None and not dry_run:
        raise UsageError("-o is the folder of --dry-run")
    source = resolve(app.registry, local(app, model))
    folder = _folder(source, model)
    if dry_run:
        output = output or Path(f"{source.name}-hub")
        check_free(output, replace=force)
        name = write_staged(folder, target, output, force=force, card=card)
        files = {p.relative_to(output).as_posix(): p.stat().st_size for p in sorted(output.rglob("*")) if p.is_file()}
        if app.json:
            app.emit({"model": name, "folder": output, "files": files, "pushed": None})
        else:
            many = f"{counted(len(files), 'files')}, {size(sum(files.values()))}"
            echo(f"wrote {output}: {many}, as they would be in {target}")
        return
    app.say(f"pushing {source.name} to {target}")
    pushed = push(folder, target, message=message, private=private, card=card)
    if app.json:
        app.emit({"model": pushed.name, "pushed": str(pushed.address), "files": pushed.files})
        return
    total = sum(info.size for info in pushed.files.values())
    echo(f"pushed {pushed.name} to {pushed.address}, {counted(len(pushed.files), 'files')}, {size(total)}")
    app.say(f"try `zoo run {target}{needed_options(source.manifest())}`")


def _folder(source: Source, model: str) -> Path:
    """The folder that holds a model's files."""
    if source.importer is None and source.card is not None and source.card.folder is not None:
        return source.card.folder
    if source.importer is None and source.bundle is not None:
        return source.bundle
    raise UsageError(
        f"{source.name} is read by an importer, and has no files of its own",
        hint=f"Export it first: `zoo export {model} -o DIR`, and push that.",
    )
