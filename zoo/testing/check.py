"""One check of something that a plugin brings, and the report of many."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from zoo.errors import CheckError, MissingDependencyError, NotApplicable, ZooError
from zoo.registry.discovery import located

#: the work of a check by its name
Checks = dict[str, Callable[[], None]]


@dataclass(frozen=True)
class PluginCheck:
    """A check of one thing.

    Attributes:
        kind: of the thing: ``"architecture"``, ``"sampler"``, ...
        name: of the thing.
        what: the name of the check.
        work: does it; raises a :class:`~zoo.errors.ZooError` if it fails.
        subject: the class or function of the thing, for messages; None if it could not be imported.
    """

    kind: str
    name: str
    what: str
    work: Callable[[], None]
    subject: object = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.what}"

    def __call__(self) -> None:
        """Run it.

        Raises:
            CheckError: it fails; the message says what was expected, what came, and where to look.
            NotApplicable: there is nothing to check, or something is not installed that it needs.
        """
        try:
            self.work()
        except NotApplicable:
            raise
        except MissingDependencyError as error:
            raise NotApplicable(str(error), hint=error.hint) from error
        except ZooError as error:
            raise CheckError(f"{self}: {error}", hint=self._where(error, error.hint)) from error
        except Exception as error:
            raise CheckError(f"{self}: {located(error)}", hint=self._where(error, None)) from error

    def _where(self, error: Exception, hint: str | None) -> str | None:
        """What to do next, and the file and line of what was checked: where it raised, or where it begins."""
        try:
            file = str(inspect.getsourcefile(self.subject))  # type: ignore[arg-type]
            line = inspect.getsourcelines(self.subject)[1]  # type: ignore[arg-type]
        except (OSError, TypeError):
            return hint
        lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == file]
        place = f"Look at {file}:{lines[-1] if lines else line}."
        return f"{hint} {place}" if hint else place


@dataclass(frozen=True)
class Outcome:
    """How a check went.

    Attributes:
        check: the check.
        status: ``"ok"``, ``"failed"`` or ``"not run"``.
        message: of a check that failed or was not run, why.
        hint: what to do about a failure, or None.
    """

    check: PluginCheck
    status: str
    message: str = ""
    hint: str | None = None

    @classmethod
    def of(cls, check: PluginCheck) -> Outcome:
        """Run a check."""
        try:
            check()
        except NotApplicable as error:
            return cls(check, "not run", str(error), error.hint)
        except ZooError as error:
            return cls(check, "failed", str(error), error.hint)
        return cls(check, "ok")


@dataclass(frozen=True)
class Report:
    """The outcomes of a plugin's checks."""

    outcomes: Sequence[Outcome]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not any(each.status == "failed" for each in self.outcomes)

    def of(self, status: str) -> list[Outcome]:
        """The outcomes of a status."""
        return [each for each in self.outcomes if each.status == status]

    def __str__(self) -> str:
        ran = len(self.outcomes) - len(self.of("not run"))
        return (
            f"{ran} check{'s' * (ran != 1)} ran, {len(self.of('failed'))} failed, {len(self.of('not run'))} did not run"
        )


def skipping(check: PluginCheck) -> Callable[[], None]:
    """A check for pytest, which skips a test that raises what pytest's own ``skip`` raises."""

    def run() -> None:
        try:
            check()
        except NotApplicable as error:
            sys.modules["pytest"].skip(str(error))

    return run


def ids(checks: Sequence[PluginCheck]) -> Iterator[str]:
    """Names of checks for pytest."""
    return (f"{each.kind.replace(' ', '-')}-{each.name}-{each.what}" for each in checks)
