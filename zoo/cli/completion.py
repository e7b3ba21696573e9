"""``zoo completion``: prints what makes a shell complete commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from zoo.cli._text import echo
from zoo.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and names.

    Names of models, samplers, data sets, metrics, formats and targets are completed as they are installed at that time,
    and addresses of pulled models.

    \b
    eval "$(zoo completion bash)"                                    in ~/.bashrc
    eval "$(zoo completion zsh)"                                     in ~/.zshrc
    zoo completion fish > ~/.config/fish/completions/zoo.fish        once
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"there is no completion for {shell}")
    echo(kind(context.find_root().command, {}, "zoo", "_ZOO_COMPLETE").source(), lines=True)
