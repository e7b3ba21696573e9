"""The command ``zoo``. Each command is a file of this folder that is imported only when it is used.

Not in ``__init__``: there the module ``list`` would hide the built-in function.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from zoo.cli._app import App
from zoo.cli._errors import guarded

#: name -> summary, kept here so that ``zoo --help`` imports no command; a test compares them with the commands.
COMMANDS = {
    "list": "List models and everything else that is installed.",
    "show": "Show a model's card, and explain its bundle.",
    "run": "Sample from a model, or score data with it.",
    "eval": "Measure a model on held-out data.",
    "export": "Export a model to a bundle that runs without PyTorch.",
    "check": "Check a bundle, and repeat its proof on this machine.",
    "train": "Train a model.",
    "plugins": "List the installed plugins.",
    "doctor": "Check this installation.",
}


class LazyGroup(click.Group):
    """A group whose commands are the modules of this package."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Allow ``--no-plugins`` without a value: click would take the following command as its value."""
        return super().parse_args(ctx, [f"{arg}=*" if arg == "--no-plugins" else arg for arg in args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which users need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"zoo.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, except that suggestions for a misspelt command come from :data:`COMMANDS`."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit with its code; errors are reported by :mod:`zoo.cli._errors`."""
        given = list(sys.argv[1:] if args is None else args)
        app = App()
        # checked here already, so that errors in the command line itself are JSON too
        before_dashes = given[: given.index("--")] if "--" in given else given
        app.json = "--json" in before_dashes
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a terminal that cannot show a Greek letter shows ? instead
                stream.reconfigure(errors="replace")

        def work() -> Any:
            return super(LazyGroup, self).main(
                given,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                obj=app,
                **extra,
            )

        with app.own_stdout() if app.json else contextlib.nullcontext():
            code = guarded(app, work)
        if not standalone_mode:
            return code
        sys.exit(code)


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        import zoo
        from zoo.cli._text import echo

        echo(f"zoo {zoo.__version__}")
        context.exit()


@click.group("zoo", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--no-plugins",
    "no_plugins",
    multiple=True,
    metavar="[=NAME]",
    help="Load only the built-in plugins; with =NAME, all but that one. Repeatable.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="Print only errors on stderr.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.pass_obj
def cli(app: App, no_plugins: tuple[str, ...], debug: bool, quiet: bool) -> None:
    """A zoo of flow and diffusion models that leave PyTorch.

    MODEL, wherever a command takes one, is the name of a model that `zoo list` shows, or the path of a model's folder
    or of an exported bundle.

    Exit codes: 0 done, 1 error, 2 usage, 3 a check or the parity proof failed, 130 interrupted.
    """
    app.debug, app.quiet = debug, quiet
    app.no_plugins = "*" in no_plugins
    app.disabled = frozenset(no_plugins) - {"*"}


def main() -> NoReturn:
    """Entry point of the console script."""
    cli.main(prog_name="zoo")
    raise AssertionError("unreachable")
