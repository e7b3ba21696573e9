"""``zoo new``: a plugin package to begin with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._text import sentence
from zoo.errors import UsageError
from zoo.templates import TEMPLATES, Naming, new

_HINT = "Choose another name; two of a name could not be used."


@click.command("new")
@click.argument("name", metavar="NAME")
@click.option("--kind", required=True, type=click.Choice(list(TEMPLATES)), help="What the plugin brings.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write [zoo-NAME].")
@json_option
@pass_app
def command(app: App, name: str, kind: str, output: Path | None) -> None:
    """Write a plugin package.

    The package has its code on one screen, a pyproject.toml, tests, a CI file and a README, and works as it is:
    install it with pip, see it in `zoo plugins`, and begin to change it. What it brings is called NAME. No network is
    needed. The pages in docs/plugins explain the code.
    """
    naming = Naming(name)
    _check_free(app, naming)
    for taken in TEMPLATES[kind].kinds:
        for item in app.registry.items(taken):
            if item.description.name == naming.name:
                raise UsageError(
                    f"there is a {taken} named {naming.name} already, of {item.plugin.origin}",
                    hint=_HINT,
                )
    folder = new(name, kind, output)
    if app.json:
        app.emit({"folder": folder, "name": naming.name, "kind": kind, "distribution": naming.distribution})
        return
    sentence(f"wrote {folder}: {TEMPLATES[kind].summary}, named {naming.name}")
    sentence(f"install it by `pip install -e {folder}`")
    sentence("without a network, where hatchling is installed: with --no-build-isolation --no-deps")
    sentence(f"check it by `zoo check-plugin {naming.name}`")


def _check_free(app: App, naming: Naming) -> None:
    """Refuse the names of what is installed: of two modules of a name, one would hide the other and all it brings."""
    for plugin in app.registry.plugins:
        if naming.name == plugin.name or naming.module == plugin.module.partition(".")[0]:
            raise UsageError(
                f"there is a plugin named {plugin.name} already, {plugin.module} of {plugin.origin}", hint=_HINT
            )
    if find_spec(naming.module) is not None:
        raise UsageError(f"there is a module named {naming.module} already", hint=_HINT)
