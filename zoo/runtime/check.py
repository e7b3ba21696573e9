"""The proof of a bundle, repeated where it runs: golden inputs through every graph and program, without PyTorch.

``golden.safetensors`` contains, for each graph and program, inputs and the outputs of PyTorch (or of the bundle, if its
arithmetic is lowered)::

    <graph>/<case>/in/<port>                      <graph>/<case>/out/<port>
    program:sample/<case>/in/<seed, n, ...>       program:sample/<case>/out/x
    program:sample/<case>/in/condition/<part or mask>
    program:fused/<case>/in/<seed, n, ...>        program:fused/<case>/out/x
    program:log_prob/<case>/in/<x, ...>           program:log_prob/<case>/out/log_prob

Two values are the same if they differ by no more than tolerance·(unit + \\|value\\|), with the tolerance that the
manifest's proof states (for that graph or program, or for all) and the units of the proof: 1 for a graph's outputs, the
scale of the data for samples, the number of dimensions for log-densities.

The step tables are recomputed, too: golden values do not cover all of them, and some runtimes depend on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo import weights
from zoo.arrays import Array
from zoo.bundle import GOLDEN, Bundle, Manifest
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.counts import Progress
from zoo.errors import BundleError, DataError, MissingDependencyError, ProofError, ProviderError, UsageError
from zoo.paths import absent
from zoo.runtime import tables
from zoo.runtime.device import choose_provider
from zoo.runtime.model import BundledModel
from zoo.samplers import BUILTIN, SamplerFunction

Arrays = dict[str, Array]
_PROGRAM = "program:"
#: a part of the condition among a program's arguments
_PART = "condition/"
#: arguments of programs that golden values may contain
_ARGUMENTS = {
    "sample": {"seed", "n", "condition", "steps"},
    "log_prob": {"x", "condition", "seed", "steps"},
    "fused": {"seed", "n", "condition"},
}
_RESULTS = {"sample": "x", "log_prob": "log_prob", "fused": "x"}


@dataclass(frozen=True)
class Row:
    """One output of one graph or program on one provider, or one step table.

    Attributes:
        provider: where it ran; nothing for a table.
        what: ``"graph step"``, ``"sample"``, ``"fused"``, ``"log_prob"`` or ``"table"``.
        output: its output, or the table's name.
        cases: how many golden cases were replayed; 0 for a table.
        difference: the largest, in units of (unit + \\|value\\|).
        tolerance: the largest tolerated difference.
    """

    provider: str
    what: str
    output: str
    cases: int
    difference: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether it is within tolerance."""
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class Report:
    """The result of :func:`check`.

    Attributes:
        rows: one for each provider, graph or program, and output.
        unusable: providers that this ONNX Runtime was built with but that cannot be used here, and why.
        unmade: step tables that could not be compared, and why: the plugin of their sampler or path is not installed.
        unrun: programs that could not be run for some case, and why: the plugin of their path is not installed.
    """

    rows: tuple[Row, ...]
    unusable: Mapping[str, str] = field(default_factory=dict)
    unmade: Mapping[str, str] = field(default_factory=dict)
    unrun: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether everything is within tolerance."""
        return all(row.ok for row in self.rows)


def check(
    bundle: Bundle,
    provider: str | None = None,
    *,
    samplers: Mapping[str, SamplerFunction] = BUILTIN,
    progress: Progress | None = None,
) -> Report:
    """Replay a bundle's golden inputs, and recompute its step tables.

    Args:
        bundle: an opened bundle, whose files have been checked on opening.
        provider: ``"cpu"``, ``"cuda"`` or another; None for all that can be used here.
        samplers: where samplers are looked up by name, for those of plugins.
        progress: called with (cases done, cases in all).

    Raises:
        BundleError: no golden values, or golden values or tables that do not fit the bundle.
        UnknownNameError, MissingDependencyError, ProviderError: see :class:`~zoo.runtime.session.Session`.
        RuntimeFailure: ONNX Runtime failed.
    """
    cases = _cases(bundle)
    providers = ["cpu", "cuda"] if provider is None and choose_provider("auto") == "cuda" else [provider or "cpu"]
    rows: list[Row] = []
    unusable: dict[str, str] = {}
    unrun: dict[str, str] = {}
    for turn, each in enumerate(providers):
        model = BundledModel(bundle, each, samplers=samplers)

        def tick(done: int, turn: int = turn) -> None:
            if progress is not None:
                progress(turn * len(cases) + done, len(providers) * len(cases))

        try:
            rows += _replay(model, each, cases, tick, unrun)
        except ProviderError as error:
            if provider is not None:
                raise
            unusable[each] = str(error)
    differences, unmade = tables.compared(bundle, samplers)
    rows += [Row("", "table", name, 0, value, tables.TOLERANCE) for name, value in differences.items()]
    return Report(tuple(rows), unusable, unmade, unrun)


def confirm(bundle: Bundle, provider: str = "cpu") -> Report:
    """:func:`check`, and refuse the bundle if anything differs.

    Raises:
        ProofError: something differs; the message says what.
        BundleError, ProviderError, RuntimeFailure: as for :func:`check`.
    """
    report = check(bundle, provider)
    for row in report.rows:
        if not row.ok:
            raise ProofError(
                f"{bundle.folder} does not reproduce its golden values here: {row.what}, output "
                f"{row.output}, is off by {row.difference:.1e}; the tolerance is {row.tolerance:.1e}"
            )
    return report


@dataclass
class Case:
    """Inputs and outputs of one call.

    Attributes:
        subject: a graph, or ``program:`` and a program.
        inputs: its inputs or arguments by name.
        outputs: its outputs by name.
    """

    subject: str
    inputs: Arrays = field(default_factory=dict)
    outputs: Arrays = field(default_factory=dict)


def _cases(bundle: Bundle) -> list[Case]:
    if GOLDEN not in bundle.manifest.files:
        raise BundleError(f"{bundle.folder} has no {GOLDEN}: there is nothing to replay", hint="Export it again.")
    try:
        cases = grouped(weights.read(bundle.file(GOLDEN)))
    except ValueError as error:
        raise _unfit(bundle, str(error)) from error
    for case in cases.values():
        _check_case(bundle, case)
    if not cases:
        raise _unfit(bundle, "it is empty")
    return [cases[key] for key in sorted(cases)]


def grouped(arrays: Arrays) -> dict[tuple[str, str], Case]:
    """The cases of golden tensors, by subject and number.

    Raises:
        ValueError: a tensor's name.
    """
    cases: dict[tuple[str, str], Case] = {}
    for name, array in arrays.items():
        parts = name.split("/", 3)
        if len(parts) != 4 or parts[2] not in ("in", "out"):
            raise ValueError(f"{name!r} is not named as <graph or program>/<case>/in or out/<name>")
        case = cases.setdefault((parts[0], parts[1]), Case(parts[0]))
        (case.inputs if parts[2] == "in" else case.outputs)[parts[3]] = array
    return cases


def _check_case(bundle: Bundle, case: Case) -> None:
    """Refuse golden values that no call could have, in particular more samples than there are results."""
    manifest = bundle.manifest
    if not case.outputs:
        raise _unfit(bundle, f"{case.subject} has no outputs")
    if not case.subject.startswith(_PROGRAM):
        if case.subject not in manifest.graphs:
            raise _unfit(bundle, f"there is no graph {case.subject!r}")
        outputs = {port.name for port in manifest.graphs[case.subject].outputs}
        if unknown := case.outputs.keys() - outputs:
            raise _unfit(bundle, f"graph {case.subject} has no output {min(unknown)!r}")
        return
    name = case.subject.removeprefix(_PROGRAM)
    if name not in _ARGUMENTS or getattr(manifest, name) is None:
        raise _unfit(bundle, f"there is no program {name!r}")
    parts = () if manifest.condition is None or manifest.condition.plain else manifest.condition.parts
    known = _ARGUMENTS[name] | {f"{_PART}{each}" for part in parts for each in (part.name, part.mask) if each}
    if case.outputs.keys() != {_RESULTS[name]} or case.inputs.keys() - known:
        raise _unfit(bundle, f"program {name} has other inputs or outputs than {', '.join(sorted(_ARGUMENTS[name]))}")
    for argument in ("seed", "n", "steps"):
        if argument in case.inputs and not (
            case.inputs[argument].shape == () and case.inputs[argument].dtype.kind in "iu"
        ):
            raise _unfit(bundle, f"{argument} of program {name} is not a whole number")
    result = case.outputs[_RESULTS[name]]
    if name != "log_prob" and (
        "n" not in case.inputs or result.shape != (int(case.inputs["n"]), *manifest.event_shape)
    ):
        raise _unfit(bundle, f"n samples of shape {manifest.event_shape} are not what program {name} gave")


def _replay(
    model: BundledModel, provider: str, cases: Sequence[Case], tick: Callable[[int], None], unrun: dict[str, str]
) -> list[Row]:
    """Run all cases; programs that lack the plugin of their path go into ``unrun``."""
    by_output: dict[tuple[str, str], list[float]] = {}
    for done, case in enumerate(cases):
        try:
            actual = run_case(model, case)
        except MissingDependencyError as error:
            if not _lacks_path(model, case):
                raise
            unrun[what_of(case)] = str(error)
            tick(done + 1)
            continue
        except (DataError, UsageError) as error:
            raise _unfit(model.bundle, str(error)) from error
        for output, expected in case.outputs.items():
            what = what_of(case)
            difference = math.inf
            if actual[output].shape == expected.shape:
                difference = relative_difference(actual[output], expected, unit_of(model, case, expected))
            by_output.setdefault((what, output), []).append(difference)
        tick(done + 1)
    return [
        Row(provider, what, output, len(differences), max(differences), tolerance_of(model.manifest, what))
        for (what, output), differences in by_output.items()
    ]


def _lacks_path(model: BundledModel, case: Case) -> bool:
    """Whether a case is of a program whose path is of a plugin that is not installed."""
    program = getattr(model.manifest, what_of(case), None) if case.subject.startswith(_PROGRAM) else None
    described = None if program is None else program.path_description
    return described is not None and absent(described) is not None


def what_of(case: Case) -> str:
    """The subject of a case, as in :attr:`Row.what`."""
    program = case.subject.startswith(_PROGRAM)
    return case.subject.removeprefix(_PROGRAM) if program else f"graph {case.subject}"


def tolerance_of(manifest: Manifest, what: str) -> float:
    """The tolerated difference of a graph's or program's outputs."""
    own = manifest.proof.get("tolerances", {})
    return float(own.get(what, manifest.proof.get("tolerance", TOLERANCE)))


def run_case(model: BundledModel, case: Case) -> Mapping[str, Array]:
    """The outputs of a bundle's model for a case's inputs."""
    if not case.subject.startswith(_PROGRAM):
        return model.session(case.subject).run(case.inputs, list(case.outputs))
    arguments: dict[str, Any] = {
        name: value.item() if value.shape == () else value
        for name, value in case.inputs.items()
        if not name.startswith(_PART)
    }
    if parts := {n.removeprefix(_PART): value for n, value in case.inputs.items() if n.startswith(_PART)}:
        arguments["condition"] = parts if model.condition is None else model.condition.restored(parts)
    name = case.subject.removeprefix(_PROGRAM)
    if name != "log_prob":
        return {"x": model.sample(arguments.pop("n"), fused=name == "fused", **arguments)}
    return {"log_prob": model.log_prob(arguments.pop("x", None), **arguments)}


def unit_of(model: BundledModel, case: Case, expected: Array) -> float:
    """The absolute size of a relative difference of 1, as in the exporter's proof."""
    manifest = model.manifest
    dimensions = math.prod(manifest.event_shape)
    if case.subject in (f"{_PROGRAM}sample", f"{_PROGRAM}fused"):
        return manifest.sampling.unit(expected)
    if case.subject == f"{_PROGRAM}log_prob":
        return float(dimensions)
    return 1.0 if manifest.log_prob is None else manifest.log_prob.graph_unit(case.subject, dimensions)


def _unfit(bundle: Bundle, what: str) -> BundleError:
    return BundleError(f"{bundle.folder / GOLDEN} does not fit its bundle: {what}")
