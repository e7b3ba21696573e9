"""Ending a command: every exception becomes an exit code, one sentence on stderr and, with ``--json``, a document.

Exit codes: 0 done, 1 error, 2 usage, 3 a check or the parity proof failed, 129 hung up (SIGHUP),
130 interrupted (Ctrl-C), 143 terminated (SIGTERM).
"""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback
from collections.abc import Callable

import click

from zoo.cli._app import App
from zoo.cli._streams import StdoutError, Terminated, abandon
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
    except click.UsageError as error:
        if error.ctx is not None:
            echo(error.ctx.get_usage(), err=True, lines=True)
        hint = f"Try `{error.ctx.command_path} --help`." if error.ctx is not None else None
        _tell(app, "UsageError", error.format_message(), hint)
        return 2
    except click.ClickException as error:
        _tell(app, type(error).__name__, error.format_message(), None)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        return _interrupted(app, error.__cause__ if isinstance(error, click.Abort) else error)
    except OSError as error:
        if isinstance(error, StdoutError) or error.errno == errno.EPIPE:
            _stdout_failed(app, error)
        else:
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
    _document(app, kind, message, hint)


def _document(app: App, kind: str, message: str, hint: str | None) -> None:
    if app.json and not app.emitted:
        with contextlib.suppress(OSError):  # stdout may be what failed
            app.emit({"error": {"type": kind, "message": message, "hint": hint}})


def _unexpected(app: App, error: Exception) -> None:
    told = traceback.format_exception_only(error)[-1].strip()
    whose = f"of {app.plugin}" if app.plugin else ""
    hint = f"This is a bug{whose and f' {whose}'}. Run it again as `zoo --debug ...` for the traceback, and report it."
    _tell(app, "InternalError", f"internal error{whose and f' {whose}'}: {told}", None if app.debug else hint)


def _interrupted(app: App, cause: BaseException | None) -> int:
    """Say so, unless the command has said it itself (an exception with arguments says what was kept)."""
    ended = isinstance(cause, Terminated)
    if not (cause and cause.args):
        _tell(app, "Interrupted", "terminated" if ended else "interrupted", None)
    else:
        _document(app, "Interrupted", str(cause), None)
    return cause.code if isinstance(cause, Terminated) else INTERRUPTED


def _stdout_failed(app: App, failure: OSError) -> None:
    """Say that stdout cannot be written, unless its reader has left."""
    for stream in (app.stdout, sys.stdout):
        abandon(stream)
    if failure.errno != errno.EPIPE:
        reason = "it is closed" if failure.errno == errno.EBADF else (failure.strerror or "it failed").lower()
        _tell(app, "OutputError", f"cannot write to stdout: {reason}", None)
