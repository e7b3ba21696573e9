"""``zoo doctor``: checks this installation, and says how to fix it."""

from __future__ import annotations

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._text import sentence

_MARKS = {"ok": "ok      ", "warning": "warning ", "error": "error   "}
FAILED = 3


@click.command("doctor")
@json_option
@click.pass_context
@pass_app
def command(app: App, context: click.Context) -> None:
    """Check this installation.

    Checks versions, ONNX Runtime (installed twice, partly removed, CUDA not used) and plugins, and runs the
    checks of plugins. Exits with 3 if something is broken; warnings do not count.
    """
    from zoo.doctor import examine

    findings = []
    for name, finding in examine(app.find_registry()):
        findings.append({"check": name, **vars(finding)})
        if not app.json:
            sentence(f"{_MARKS[finding.level]} {name}: {finding.message}", hang=9)
            for line in finding.repair.splitlines():
                sentence(f"         -> {line}", hang=12)
    broken = any(finding["level"] == "error" for finding in findings)
    if app.json:
        app.emit({"ok": not broken, "findings": findings})
    context.exit(FAILED if broken else 0)
