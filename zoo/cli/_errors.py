"""Ending a command: every exception becomes an exit code, one sentence on stderr and, with ``--json``, a document.

Exit codes: 0 done, 1 error, 2 usage, 3 a check or the parity proof failed, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

import click

from zoo.cli._app import App
from zoo.cli._text import echo
from zoo.errors import ZooError

INTERRUPTED = 130


def guarded(app: App, work: Callable[[], object]) -> int:
    """Run ``work`` and return the exit code; nothing but SystemExit escapes."""
    try:
        result = work()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except ZooError as error:
        _tell(app, type(error).__name__, str(error), error.hint)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.ctx.get_help() if error.ctx else "", err=True, lines=True)
        return 2
    except click.UsageError as error:
        if error.ctx is not None:
            echo(error.ctx.get_usage(), err=True, lines=True)
        hint = f"Try `{error.ctx.command_path} --help`." if error.ctx is not None else None
        _tell(app, "UsageError", error.format_message(), hint)
        return 2
    except click.ClickException as error:
        _tell(app, type(error).__name__, error.format_message(), None)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _tell(app, "Interrupted", "interrupted", None)
        return INTERRUPTED
    except OSError as error:
        if error.errno == errno.EPIPE:
            _close_quietly()
            return 1
        _unexpected(app, error)
    except Exception as error:
        _unexpected(app, error)
    return 1


def _tell(app: App, kind: str, message: str, hint: str | None) -> None:
    if app.debug and sys.exc_info()[0] is not None:
        echo(traceback.format_exc().rstrip(), err=True, lines=True)
    echo(f"Error: {message}", err=True)
    if hint:
        echo(hint, err=True)
    if app.json and not app.emitted:
        app.emit({"error": {"type": kind, "message": message, "hint": hint}})


def _unexpected(app: App, error: Exception) -> None:
    told = traceback.format_exception_only(error)[-1].strip()
    whose = f"of {app.plugin}" if app.plugin else ""
    hint = f"This is a bug{whose and f' {whose}'}. Run it again as `zoo --debug ...` for the traceback, and report it."
    _tell(app, "InternalError", f"internal error{whose and f' {whose}'}: {told}", None if app.debug else hint)


def _close_quietly() -> None:
    """The reader of the pipe is gone: avoid an error message when Python finally flushes stdout."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
