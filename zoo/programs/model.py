"""All programs of a model, and programs as JSON values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo import records
from zoo.density import cannot_sample
from zoo.errors import BundleError
from zoo.programs.graph import Graph
from zoo.programs.one_call import Direct, Fused
from zoo.programs.program import Integrate, Iterate, Program
from zoo.registry.extensions import plugin_program

#: the built-in kinds of a manifest's ``sample`` and ``log_prob``
KINDS: dict[str, type[Program]] = {program.kind: program for program in (Direct, Iterate, Integrate)}


@dataclass(frozen=True)
class Programs:
    """Everything that an exporter needs of a model; None for what it does not do, sampling or scoring."""

    graphs: tuple[Graph, ...]
    sample: Program | None = None
    log_prob: Program | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

    @property
    def sampling(self) -> Program:
        """The program that samples.

        Raises:
            UsageError: the model only scores.
        """
        if self.sample is None:
            raise cannot_sample("the model")
        return self.sample

    @property
    def steps(self) -> bool:
        """Whether the model samples in steps."""
        return self.sample is not None and self.sample.stepped


def describe(program: Program) -> dict[str, object]:
    """A program as JSON values, without fields that are omitted at their default."""
    described: dict[str, object] = records.write(program)
    return described


def program_from(described: Mapping[str, object]) -> Program:
    """The inverse of :func:`describe`.

    Raises:
        BundleError: unknown kind or fields.
    """
    values = dict(described)
    kind = str(values.pop("kind", None))
    try:
        return (KINDS[kind] if kind in KINDS else plugin_program(kind))(**values)
    except (KeyError, TypeError, ValueError):
        raise BundleError(
            f"the manifest describes a program of kind {kind!r} that this version cannot run",
            hint=None if kind in KINDS else "A plugin may provide it: see `zoo plugins`.",
        ) from None


def fused_from(described: Mapping[str, Any]) -> Fused:
    """The inverse of :func:`describe` for a fused run.

    Raises:
        BundleError: unknown or missing fields.
    """
    try:
        return Fused(**{name: value for name, value in described.items() if name != "kind"})
    except TypeError:
        raise BundleError("the manifest describes a fused run that this version cannot run") from None
