"""Which line of other people's code failed, in words."""

from __future__ import annotations

import contextlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from zoo.errors import ExportError, ZooError

#: packages whose lines are not to blame: those that trace and run, and this one
_MACHINERY = ("torch", "zoo", "zoo_onnx", "onnx", "onnx_ir", "onnxscript", "contextlib", "numpy", "sympy")


@contextlib.contextmanager
def told(what: str, error_type: type[ZooError] = ExportError, hint: str | None = None) -> Iterator[None]:
    """A block whose errors become ZooErrors that name the line of the code that raised them.

    Args:
        what: the beginning of the message.
        error_type: the error to raise.
        hint: what to do.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:  # other people's code raises exceptions of all kinds
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        message = f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
        at = line_of(error)
        raise error_type(f"{what}: {message}" + (f" ({at})" if at else ""), hint=hint) from error


def line_of(error: BaseException) -> str:
    """The innermost line of code that is not torch's nor ours: ``RealNVP, coupling.py:76 of nflows``; or nothing."""
    seen: set[int] = set()
    each: BaseException | None = error
    best = ""
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        for frame, number in traceback.walk_tb(each.__traceback__):
            best = _told(frame, number) or best
        each = each.__cause__ or each.__context__
    return best


def line_here() -> str:
    """The innermost line of such code that is being called, likewise."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if told_line := _told(frame, frame.f_lineno):
            return told_line
        frame = frame.f_back
    return ""


def line_of_call(function: Callable[..., object], call: str) -> str:
    """The first line of a function that holds ``call``: ``transforms.py:610 of zuko``."""
    lines, first = inspect.getsourcelines(function)
    number = first + next((i for i, line in enumerate(lines) if call in line), 0)
    return f"{Path(function.__code__.co_filename).name}:{number} of {function.__module__.partition('.')[0]}"


def class_line(cls: type) -> str:
    """Where a class is defined: ``ActNorm, normalization.py:128 of nflows``; nothing where its source is not there."""
    try:
        path, (_, number) = inspect.getsourcefile(cls), inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return ""
    return f"{cls.__name__}, {Path(str(path)).name}:{number} of {cls.__module__.partition('.')[0]}"


def _told(frame: FrameType, number: int) -> str:
    """A line of other people's code in words, or nothing for one of the machinery's."""
    if (package := _package(frame)) in _MACHINERY:
        return ""
    owner = frame.f_locals.get("self")
    # of a method without self, such as a static one, the class is in its name
    qualified = frame.f_code.co_qualname.rpartition("<locals>.")[2].rpartition(".")[0]
    cls = qualified.rpartition(".")[2] if owner is None else type(owner).__name__
    return f"{cls + ', ' if cls else ''}{Path(frame.f_code.co_filename).name}:{number} of {package}"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
