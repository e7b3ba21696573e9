"""``zoo plugins``: what is installed, what failed, and why."""

from __future__ import annotations

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._text import counted, echo, facts, table
from zoo.cli.list import PLURALS
from zoo.registry import Registry
from zoo.registry.api import PLUGIN_API
from zoo.registry.discovery import PluginRecord

#: what a narrow terminal leaves out, the first of these first
_SPARE = ("location", "api", "version", "distribution")


@click.command("plugins")
@click.option("--failed", is_flag=True, help="Only plugins that failed, or that claim a name they do not get.")
@json_option
@pass_app
def command(app: App, failed: bool) -> None:
    """List the installed plugins.

    Under api stands the version of the plugin API that a plugin was written for.
    Errors of broken plugins are shown with file and line, and how to disable them.
    """
    registry = app.find_registry()  # not `app.registry`, since failures are reported here
    records = [p for p in registry.plugins if not failed or p.status == "failed" or p.conflicts]
    if app.json:
        app.emit({"api": PLUGIN_API, "plugins": [_describe(registry, record) for record in records]})
        return
    if records:
        rows = [
            [r.name, r.distribution, r.version, _api(r), r.status, ", ".join(_brings(registry, r)), r.location]
            for r in records
        ]
        table(["name", "distribution", "version", "api", "status", "brings", "location"], rows, spare=_SPARE)
    else:
        app.say("no plugin failed" if failed else "there are no plugins")
    for record in records:
        if record.status == "failed" or record.conflicts or record.printed:
            echo()
            _explain(record)


def _brings(registry: Registry, record: PluginRecord) -> list[str]:
    mine = (record.name, record.origin)
    return [
        counted(number, plural)
        for plural, kind in PLURALS.items()
        if (number := sum((item.plugin.name, item.plugin.origin) == mine for item in registry.items(kind)))
    ]


def _api(record: PluginRecord) -> str:
    return "" if record.api is None else str(record.api)


def _describe(registry: Registry, record: PluginRecord) -> dict[str, object]:
    return {**vars(record), "builtin": record.builtin, "brings": _brings(registry, record)}


def _explain(record: PluginRecord) -> None:
    troubled = record.status == "failed" or record.conflicts
    facts(
        [
            ("plugin", f"{record.name} of {record.origin}"),
            ("error", record.error),
            ("where", record.where),
            ("conflicts", list(record.conflicts)),
            ("printed", record.printed.splitlines()),
            ("without it", f"zoo --no-plugins={record.name} ..." if troubled else ""),
            ("uninstall", f"pip uninstall {record.distribution}" if troubled and not record.builtin else ""),
        ]
    )
