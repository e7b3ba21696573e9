"""The command ``zoo``. Each command is a file of this folder that is imported only when it is used.

Not in ``__init__``: there the module ``list`` would hide the built-in function.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import CompletionItem

from zoo.cli._app import App
from zoo.cli._commands import COMMANDS
from zoo.cli._errors import guarded
from zoo.cli._streams import own_streams, terminable
from zoo.errors import PluginError

if TYPE_CHECKING:
    from zoo.registry import Item


class LazyGroup(click.Group):
    """A group of the modules of this package, and of the commands that plugins bring."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Allow ``--no-plugins`` without a value: click would take the following command as its value."""
        known = [f"{arg}=*" if arg == "--no-plugins" else arg for arg in args]
        # read before click does, since --help is answered before other options are looked at
        own = itertools.takewhile(lambda arg: arg.startswith("-"), known)
        left_out = {arg.partition("=")[2] for arg in own if arg.startswith("--no-plugins=")}
        ctx.obj.no_plugins, ctx.obj.disabled = "*" in left_out, frozenset(left_out - {"*"})
        rest = super().parse_args(ctx, known)
        # and set before the command is looked for, which may fail and warn
        ctx.obj.debug, ctx.obj.quiet = ctx.params["debug"], ctx.params["quiet"]
        return rest

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The built-in commands in the order in which users need them, then those of plugins."""
        return [*COMMANDS, *_brought(ctx.obj)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command.

        Raises:
            NameConflictError: two plugins bring it.
            PluginError, MissingDependencyError: it cannot be loaded, or is not a command.
        """
        if cmd_name in COMMANDS:
            command: click.Command = importlib.import_module(f"zoo.cli.{cmd_name.replace('-', '_')}").command
            return command
        return _plugins_command(ctx.obj, cmd_name) if cmd_name in _brought(ctx.obj) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, except that suggestions for a misspelt command are found by name, without importing any."""
        name = args[0] if args else "-"
        if name not in COMMANDS and not name.startswith("-"):
            known = self.list_commands(ctx)
            if name not in known:
                raise click.NoSuchCommand(name, possibilities=known, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if brought := _brought(ctx.obj):
            with formatter.section("Commands of plugins"):
                formatter.write_dl(list(brought.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names without importing what they stand for, so that a broken command completes as well."""
        known = {**COMMANDS, **_brought(ctx.obj)}
        names = [CompletionItem(name, help=told) for name, told in known.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

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
        arguments = list(sys.argv[1:] if args is None else args)
        app = App()
        app.arguments = arguments
        # checked here already, so that errors in the command line itself are JSON too
        before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
        app.json = "--json" in before_dashes
        if "_ZOO_COMPLETE" in os.environ:
            from zoo.cli._complete import register

            register()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a terminal that cannot show a Greek letter shows ? instead
                stream.reconfigure(errors="replace")

        def work() -> Any:
            return super(LazyGroup, self).main(
                arguments,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                obj=app,
                **extra,
            )

        with terminable(), app.own_stdout() if app.json else contextlib.nullcontext():
            code = guarded(app, work)
        if not standalone_mode:
            return code
        sys.exit(code)


def _brought(app: App) -> dict[str, str]:
    """The commands of plugins by name, with their summaries."""
    claims: dict[str, list[Item]] = {}
    for item in app.registry.items("command"):
        if item.description.name not in COMMANDS:
            claims.setdefault(item.description.name, []).append(item)
    return {
        name: items[0].description.summary
        if len(items) == 1
        else f"(claimed by {' and '.join(item.plugin.origin for item in items)}; neither can be used)"
        for name, items in claims.items()
    }


def _plugins_command(app: App, name: str) -> click.Command:
    """The command of a plugin, imported."""
    item = app.registry.item("command", name)
    app.plugin = f"plugin {item.plugin.name} of {item.plugin.origin}"
    command = app.registry.load_entry(item.description)
    if not isinstance(command, click.Command):
        raise PluginError(
            f"command {name!r} of {item.plugin.origin} is not a click.Command, but a {type(command).__name__}"
        )
    return command


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        import zoo
        from zoo.cli._text import echo

        echo(f"zoo {zoo.__version__}")
        context.exit()


@click.group(
    "zoo", cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
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
@click.pass_context
def cli(context: click.Context, no_plugins: tuple[str, ...], debug: bool, quiet: bool) -> None:
    """A zoo of flow and diffusion models that leave PyTorch.

    MODEL, wherever a command takes one, is the name of a model that `zoo list` shows, or the path of a model's folder
    or of an exported bundle.

    Exit codes: 0 done, 1 error, 2 usage, 3 a check or the parity proof failed, 129 the terminal is gone, 130
    interrupted, 143 terminated.
    """
    if context.invoked_subcommand is None:
        from zoo.cli._text import echo

        echo(context.get_help(), lines=True)


def main() -> NoReturn:
    """Entry point of the console script."""
    own_streams()
    cli.main(prog_name="zoo")
    raise AssertionError("unreachable")
