"""Names for a shell to complete: of models, samplers, data sets and whatever else plugins describe, and addresses."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

from zoo.cli._app import App
from zoo.errors import ZooError

Completed = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

#: how addresses of models begin, and where Bash breaks them into words
_SCHEMES, _BREAKS = ("hf", "https", "http"), (":", "@", "=")


def names_of(*kinds: str, files: bool = False) -> Completed:
    """What completes an argument that is a name of one of these kinds, such as ``"model"``.

    Args:
        kinds: keys of :data:`zoo.registry.discovery.KINDS`; with ``"model"``, addresses of pulled models count too.
        files: whether it may be a path instead, which the shell then completes.
    """

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = names_beginning(context, kinds, incomplete)
        if "model" in kinds:
            names += [each for each in addresses(context, parameter, incomplete) if _is_remote(each.value)]
        return names if names or not files else [CompletionItem(incomplete, type="file")]

    return complete


def names_beginning(context: click.Context, kinds: tuple[str, ...], incomplete: str) -> list[CompletionItem]:
    """The names of these kinds that begin so."""
    registry = context.ensure_object(App).find_registry()
    items = [item.description for kind in kinds for item in registry.items(kind)]
    return [CompletionItem(each.name, help=each.summary) for each in items if each.name.startswith(incomplete)]


def addresses(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Addresses of the models in the cache that begin so: as they were pulled, and those of exactly these files."""
    from zoo.hub import Store

    try:
        named = Store().addresses()
    except (ZooError, OSError):
        return []
    return [CompletionItem(address, help=name) for address, name in named.items() if address.startswith(incomplete)]


def _is_remote(address: str) -> bool:
    return address.startswith(tuple(f"{scheme}:" for scheme in _SCHEMES))


class _Bash(BashComplete):
    """Completion for Bash, which breaks a word at ``:``, ``@`` and ``=`` and replaces what stands after the last break.

    So the words of an address are joined again, and completions leave out what stays.
    """

    _kept = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that one."""
        words, place = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        words = (words if len(words) > place else [*words, ""])[: place + 1]
        *args, incomplete = _unbroken(words)
        if _is_remote(incomplete):
            # an @ belongs to what is replaced, as the beginning of a host's name
            after = max(incomplete.rfind(":") + 1, incomplete.rfind("=") + 1, incomplete.rfind("@"))
            self._kept = incomplete[:after]
        return args[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """A line of the answer."""
        return f"{item.type},{item.value.removeprefix(self._kept)}"


def _unbroken(words: list[str]) -> list[str]:
    """Words with addresses in one piece, and the values of long options without the ``=`` before them.

    >>> _unbroken(["zoo", "run", "hf", ":", "lab/flow", "@", "0a1", "--format", "=", "npy"])
    ['zoo', 'run', 'hf:lab/flow@0a1', '--format', 'npy']
    """
    joined: list[str] = []
    goes_on = False
    for i, word in enumerate(words):
        before = joined[-1] if joined else ""
        if word == "=" and before.startswith("--"):
            joined += [""] if i == len(words) - 1 else []
        elif word in _BREAKS and (_is_remote(before) or (word == ":" and before in _SCHEMES)):
            joined[-1], goes_on = before + word, True
        elif goes_on:
            joined[-1], goes_on = before + word, False
        else:
            joined.append(word)
    return joined


def register() -> None:
    """Let click complete in Bash as here."""
    add_completion_class(_Bash)
