"""Every error that genzoo raises on purpose.

    ZooError                      something a user can act on
    ├── UsageError                an invalid request (exit code 2)
    │   ├── UnknownNameError      no such model, sampler, data set, ...; suggests the closest names
    │   └── ConditionError        a class or context that the model does not accept
    ├── PluginError               a plugin could not be loaded or described something wrong
    │   └── NameConflictError     two plugins claim one name
    ├── MissingDependencyError    a package that this command needs is not installed
    ├── ConfigError               a model or training configuration that cannot be built
    ├── DataError                 data of the wrong shape, dtype or content, or unavailable
    ├── WeightsError              a weights file that is damaged or does not fit its model
    ├── BundleError               a bundle that is damaged, altered or too new
    ├── OutputError               a place that cannot be written
    ├── HubError                  a hub or host that cannot be reached, refuses, or has not what is asked for
    ├── RuntimeFailure            ONNX Runtime could not load or run a graph
    │   ├── ProviderError         the requested execution provider is not the one in use
    │   └── DeviceMemoryError     a batch does not fit into the memory of its device
    ├── ExportError               a model that the target cannot express
    ├── ProofError                exported graphs do not equal the model (exit code 3)
    ├── CheckError              a plugin does not keep what its hook promises (exit code 3)
    └── NotApplicable             a check that there is nothing for, with the reason

Each has a message of one sentence that says what was wrong, and optionally a ``hint``: what to do
next. The command line prints both and exits with ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Base of all errors of this package.

    ``str(error)`` is the sentence; ``hint`` the next step or None, which a traceback of Python shows below it.
    """

    exit_code = 1
    _hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def hint(self) -> str | None:
        """What to do next, or None."""
        return self._hint

    @hint.setter
    def hint(self, hint: str | None) -> None:
        others = list(getattr(self, "__notes__", []))
        if self._hint in others:
            others.remove(self._hint)
        self._hint = hint
        # of an exception's notes, tracebacks print each on a line of its own
        self.__notes__ = others if hint is None else [hint, *others]


class UsageError(ZooError):
    """The request itself is invalid; nothing was attempted."""

    exit_code = 2


class UnknownNameError(UsageError):
    """No such name. The hint lists the closest names, or all names if there are few."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = None
        if close:
            hint = f"Did you mean {' or '.join(close)}?"
        elif known and len(known) <= 20:
            hint = f"There are: {', '.join(known)}."
        elif not known:
            hint = f"No {kind} is installed; `zoo plugins` shows what is."
        super().__init__(f"there is no {kind} named {name!r}", hint=hint)
        self.kind, self.name, self.known = kind, name, tuple(known)


class ConditionError(UsageError):
    """A class label or context vector that the model does not accept."""


class PluginError(ZooError):
    """A plugin could not be loaded, or described something wrong."""


class NameConflictError(PluginError):
    """Two plugins claim one name; neither is used until one is removed or disabled."""


class MissingDependencyError(ZooError):
    """A required package is not installed.

    >>> MissingDependencyError("torch", "export a model", extra="onnx").hint
    "pip install 'genzoo[onnx]'"
    """

    def __init__(self, package: str, purpose: str, *, extra: str) -> None:
        super().__init__(
            f"{package} is needed to {purpose} and is not installed", hint=f"pip install 'genzoo[{extra}]'"
        )
        self.package = package


class ConfigError(ZooError):
    """A model or training configuration that cannot be built."""


class DataError(ZooError):
    """Data of the wrong shape, dtype or content, or unavailable."""


class WeightsError(ZooError):
    """A weights file that is damaged or does not fit its model."""


class BundleError(ZooError):
    """A bundle that is damaged, altered, or written by a newer format."""


class OutputError(ZooError):
    """A file or folder that cannot be written."""


class HubError(ZooError):
    """A hub or another host that cannot be reached, refuses, or does not have what is asked for."""


class RuntimeFailure(ZooError):  # noqa: N818 - RuntimeError is a built-in name
    """ONNX Runtime could not load or run a graph."""


class ProviderError(RuntimeFailure):
    """The requested execution provider is not the one in use."""


class DeviceMemoryError(RuntimeFailure):
    """A graph does not fit into the memory of its device, with the batch that it was given."""


class ExportError(ZooError):
    """A model, or a part of it, that the target of an export cannot express."""


class ProofError(ZooError):
    """The exported graphs do not equal the model within the stated tolerance."""

    exit_code = 3


class CheckError(ZooError):
    """Something of a plugin is not as its hook promises (:mod:`zoo.testing`)."""

    exit_code = 3


class NotApplicable(ZooError):  # noqa: N818 - nothing is wrong
    """A check does not apply; the message says why."""
