"""``zoo check``: a bundle's files, and its proof repeated on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._complete import names_of
from zoo.cli._pulled import local
from zoo.cli._text import counted, table
from zoo.errors import UsageError
from zoo.models.sources import resolve

if TYPE_CHECKING:
    from zoo.runtime.check import Row

FAILED = 3


@click.command("check")
@click.argument("model", metavar="MODEL", shell_complete=names_of("model", files=True))
@click.option("--provider", help="Where to run: cpu, cuda, or another provider [cpu, and cuda if it works].")
@json_option
@click.pass_context
@pass_app
def command(app: App, context: click.Context, model: str, provider: str | None) -> None:
    """Check a bundle, and repeat its proof on this machine.

    Every file is checked against the manifest, and every graph against the rules for untrusted bundles. Then the
    bundle's golden inputs are run through every graph and program, and the outputs are compared with those that
    PyTorch gave when the bundle was written. Step tables are recomputed and compared. PyTorch is not needed.
    Exits with 3 if a difference exceeds the bundle's tolerance.
    """
    from zoo.runtime.check import check

    source = resolve(app.registry, local(app, model))
    if source.bundle is None:
        raise UsageError(f"{source.name} has no bundle to check", hint=f"`zoo export {model} -o DIR` writes one.")
    bundle = source.open()
    files = counted(len(bundle.manifest.files), "files")
    verb = "matches" if len(bundle.manifest.files) == 1 else "match"
    app.say(f"{source.bundle}: {files} {verb} the manifest")
    with app.progress(f"checking {source.name}", 1) as update:
        report = check(bundle, provider, samplers=app.registry.samplers(), progress=update)
    for name, reason in report.unusable.items():
        app.say(f"{name} was not checked: {reason}")
    for name, reason in report.unmade.items():
        app.say(f"table {name} was not compared: {reason}")
    for name, reason in report.unrun.items():
        app.say(f"{name} was not replayed completely: {reason}")
    rows: list[dict[str, object]] = [{**vars(row), "ok": row.ok} for row in report.rows]
    if app.json:
        result = {"ok": report.ok, "model": source.name, "folder": source.bundle}
        app.emit(
            {**result, "differences": rows, "unusable": report.unusable, "unmade": report.unmade, "unrun": report.unrun}
        )
    else:
        table(
            ["provider", "what", "output", "cases", "largest difference", "tolerated", ""],
            [_cells(row) for row in report.rows],
        )
    if not report.ok:
        app.say(f"{source.name} does not reproduce its golden values here")
        context.exit(FAILED)


def _cells(row: Row) -> list[str]:
    verdict = "ok" if row.ok else "differs"
    numbers = f"{row.difference:.1e}", f"{row.tolerance:.1e}"
    return [row.provider or "-", row.what, row.output, str(row.cases) if row.cases else "-", *numbers, verdict]
