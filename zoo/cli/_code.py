"""MODEL as commands take it that run code for it: ``my_module.py:make_flow`` and ``package.module:factory`` too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._app import App
from zoo.errors import UsageError
from zoo.models.factories import Factory
from zoo.models.sources import run_code

if TYPE_CHECKING:
    from zoo.models.sources import Source

weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights (.safetensors) for the model that code makes, as MODULE.py:FUNCTION.",
)


def made_by_code(app: App, model: str, weights: Path | None, importing: Mapping[str, Any]) -> Source | None:
    """The source of MODEL if it names code, which is then run, as one line says before; None for any other MODEL.

    Raises:
        UsageError: options that do not go with it.
        what :func:`~zoo.models.sources.run_code` does.
    """
    factory = Factory.of(model)
    if factory is None:
        if weights is not None:
            raise UsageError(
                f"{model} has its own weights, so it takes no --weights",
                hint="--weights are for a model that code makes: MODULE.py:FUNCTION or package.module:FUNCTION.",
            )
        return None
    if importing:
        raise UsageError(f"{model} is made by code, so it takes no option {', '.join(importing)} of an importer")
    factory.check()
    where = factory.module if factory.file is None else factory.file
    app.say(f"running the code of {where}, which can do whatever you can")
    return run_code(factory, weights)
