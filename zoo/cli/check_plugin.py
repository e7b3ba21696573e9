"""``zoo check-plugin``: whether what a plugin brings keeps the promises of its hooks."""

from __future__ import annotations

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._text import sentence, table

FAILED = 3


@click.command("check-plugin")
@click.argument("plugin", metavar="NAME")
@json_option
@click.pass_context
@pass_app
def command(app: App, context: click.Context, plugin: str) -> None:
    """Check a plugin against what its hooks promise.

    NAME is that of a plugin or of its package. Models are checked in PyTorch, such as by seeds, training, saving,
    types, devices and their density, and in ONNX Runtime; samplers, data sets, metrics, targets, kinds of program and
    adapters by what they are asked for. Says how many checks ran, and why others did not. The same checks run in pytest
    by zoo.testing.parametrize_with_checks. Exits with 3 if one fails.
    """
    from zoo.testing import check_plugin

    with app.progress(f"checking {plugin}", 1) as update:
        report = check_plugin(plugin, registry=app.registry, progress=update)
    if app.json:
        rows = [
            {
                **{k: getattr(each.check, k) for k in ("kind", "name", "what")},
                "status": each.status,
                "message": each.message,
                "hint": each.hint,
            }
            for each in report.outcomes
        ]
        app.emit({"ok": report.ok, "plugin": plugin, "checks": rows, "summary": str(report)})
    else:
        marks = [[e.check.kind, e.check.name, e.check.what, e.status] for e in report.outcomes]
        table(["kind", "name", "check", ""], marks)
        for each in report.of("not run"):
            sentence(f"not run: {each.check}: {each.message}")
        for each in report.of("failed"):
            sentence(f"failed: {each.message}")
            if each.hint:
                sentence(f"  {each.hint}", hang=2)
        sentence(str(report))
    if not report.ok:
        context.exit(FAILED)
