"""Names for a shell to complete: of models, samplers, data sets and whatever else plugins describe."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from zoo.cli._app import App

Completed = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(*kinds: str, files: bool = False) -> Completed:
    """What completes an argument that is a name of one of these kinds, such as ``"model"``.

    Args:
        kinds: keys of :data:`zoo.registry.discovery.KINDS`.
        files: whether it may be a path instead, which the shell then completes.
    """

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        registry = context.ensure_object(App).find_registry()
        described = [item.description for kind in kinds for item in registry.items(kind)]
        names = [CompletionItem(each.name, help=each.summary) for each in described if each.name.startswith(incomplete)]
        return names if names or not files else [CompletionItem(incomplete, type="file")]

    return complete
