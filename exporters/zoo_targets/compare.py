"""Checks that a target gives the same results as its bundle."""

from __future__ import annotations

import math
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import weights
from zoo.arrays import Array
from zoo.bundle import GOLDEN, Bundle, Manifest
from zoo.bundle.differences import relative_difference
from zoo.bundle.example import example_of, text_of
from zoo.errors import BundleError, OutputError, ProofError, UsageError
from zoo.files import atomic_file
from zoo.runtime import BundledModel
from zoo.runtime.check import tolerance_of
from zoo.runtime.session import Session

#: the folder of values of parts, for the commands in documents of a target
EXAMPLES = "example"
#: the run that checks a target's program
SEED, SAMPLES = 5, 3


def chosen(model: BundledModel, scratch: Path) -> tuple[Any, list[str]]:
    """A condition to check a program with, and the program's arguments for it: of vectors and of named parts.

    Classes have a default. Parts are written to files in the folder ``scratch``.
    """
    if model.condition is None or model.condition.kind == "classes":
        return None, []
    if not model.condition.plain:
        return _written(golden_parts(model.bundle), scratch)
    vector = golden_context(model.bundle)
    return vector, [f"--class={','.join(map(str, vector.tolist()))}"]


def _written(parts: dict[str, Array], scratch: Path) -> tuple[dict[str, Array], list[str]]:
    """Parts, and the options that read them from the files that are written here."""
    for name, value in parts.items():
        np.save(scratch / f"{name}.npy", value)
    return parts, [f"--condition={name}={scratch / name}.npy" for name in parts]


def golden_parts(bundle: Bundle, program: str = "sample") -> dict[str, Array]:
    """Values of named parts typical of the training data, by name: the bundle's example, or else the condition of the
    first golden sample, or of the first golden log-density.

    Tokens come without those that fill them up. An example may leave out parts that need not be given.

    Raises:
        BundleError: the golden values have none, or the example does not fit the model.
    """
    if (stated := example_of(bundle)) is not None:
        return stated
    golden, parts = weights.read(bundle.file(GOLDEN)), {}
    for part in () if bundle.manifest.condition is None else bundle.manifest.condition.parts:
        values = golden.get(f"program:{program}/0/in/condition/{part.name}")
        if values is None:
            raise BundleError(f"the golden values of {bundle.folder} have no part {part.name}")
        parts[part.name] = np.asarray(values[0])
        if part.modality == "tokens" and part.padding is not None:
            parts[part.name] = np.trim_zeros(parts[part.name] - part.padding, "b") + part.padding
    return parts


def values_shown(bundle: Bundle) -> dict[str, str]:
    """What to write after ``--condition`` for each part that :func:`shown_parts` gives: a value where that is short, or
    a file of :func:`write_parts`."""
    condition, values = bundle.manifest.condition, shown_parts(bundle)
    parts = () if condition is None else condition.parts
    return {
        part.name: text_of(part, values[part.name]) or f"{EXAMPLES}/{part.name}.npy"
        for part in parts
        if part.name in values
    }


def shown_parts(bundle: Bundle) -> dict[str, Array]:
    """The values of named parts that documents of a target show."""
    return golden_parts(bundle, "sample" if bundle.manifest.sample is not None else "log_prob")


def write_parts(bundle: Bundle, folder: Path) -> None:
    """Write the values of named parts, so that what documents show can be run: ``example/<part>.npy`` in ``folder``.

    Nothing for a model without named parts.

    Raises:
        OutputError: the folder cannot be written.
    """
    if bundle.manifest.condition is None or bundle.manifest.condition.plain:
        return
    try:
        (folder / EXAMPLES).mkdir()
    except OSError as error:
        raise OutputError(f"cannot write {folder / EXAMPLES}: {error.strerror}") from error
    for name, value in shown_parts(bundle).items():
        with atomic_file(folder / EXAMPLES / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, value)


def options_shown(bundle: Bundle) -> str:
    """The options of a target's command line that give a condition, for documents; empty for a model without one."""
    condition = bundle.manifest.condition
    if condition is None:
        return ""
    if condition.kind == "classes":
        return f" --class {shlex.quote(class_shown(bundle))}"
    return example(bundle) if condition.kind == "parts" else f" --class={vector_shown(bundle)}"


def class_shown(bundle: Bundle) -> str:
    """The label of the class of the bundle's example, or the number of the first class."""
    stated, condition = example_of(bundle), bundle.manifest.condition
    if stated is None or condition is None:
        return "0"
    return text_of(condition.parts[0], next(iter(stated.values()))) or "0"


def vector_shown(bundle: Bundle) -> str:
    """The numbers of a typical vector, with commas between them."""
    vector = golden_context(bundle, "sample" if bundle.manifest.sample is not None else "log_prob")
    return ",".join(str(number) for number in vector)


def example(bundle: Bundle) -> str:
    """The options of a command line that give each named part."""
    return "".join(f" --condition {name}={shlex.quote(text)}" for name, text in values_shown(bundle).items())


def golden_context(bundle: Bundle, program: str = "sample") -> NDArray[np.float32]:
    """A vector ``[d]`` typical of the training data: the bundle's example, or the condition of the first golden
    sample, or of the first golden log-density.

    Raises:
        BundleError: the golden values have none, or the example does not fit the model.
    """
    if (stated := example_of(bundle)) is not None:
        return np.asarray(next(iter(stated.values())), np.float32)
    golden = weights.read(bundle.file(GOLDEN)).get(f"program:{program}/0/in/condition")
    if golden is None or bundle.manifest.condition is None:
        raise BundleError(f"the golden values of {bundle.folder} have no condition")
    return np.asarray(golden[0], np.float32)


def last_line(said: str) -> str:
    """The last line of a program's output."""
    return (said.strip().splitlines() or ["it printed no message"])[-1].removeprefix("Error: ")


def agree(what: str, actual: Array, expected: Array, model: BundledModel) -> None:
    """Refuse samples that differ by more than the bundle's tolerance.

    Raises:
        ProofError: they do.
    """
    unit = model.manifest.sampling.unit(expected)
    tolerance = tolerance_of(model.manifest, "sample")
    difference = relative_difference(actual, expected, unit) if actual.shape == expected.shape else float("inf")
    if not difference <= tolerance:
        raise ProofError(
            f"{what} gives samples that differ by {difference:.1e} from those of genzoo's runtime; "
            f"the tolerance is {tolerance:.1e}"
        )


def refuse_scoring_alone(manifest: Manifest, target: str) -> None:
    """Refuse a model that only scores, for a target that draws samples.

    Raises:
        UsageError: it does.
    """
    if manifest.sample is None:
        raise UsageError(
            f"the target {target} draws samples, and {manifest.model.get('name', 'this model')} only scores data",
            hint="Its bundle scores in zoo.runtime, and by the targets python and cpp.",
        )


def agree_on_densities(what: str, command: list[str], model: BundledModel) -> str:
    """Compare what a program prints for data, given by ``--score FILE``, with the runtime, and report it.

    Raises:
        ProofError: it fails, or prints others.
    """
    golden = weights.read(model.bundle.file(GOLDEN))
    x, condition = golden["program:log_prob/0/in/x"], golden.get("program:log_prob/0/in/condition")
    flags = [] if condition is None else [f"--class={','.join(map(str, condition[0].ravel().tolist()))}"]
    one: Any = None if condition is None else condition[0]
    with tempfile.TemporaryDirectory(prefix="genzoo-") as scratch:
        if model.condition is not None and not model.condition.plain:
            one, flags = _written(golden_parts(model.bundle, "log_prob"), Path(scratch))
        data = Path(scratch) / "x.npy"
        np.save(data, x)
        done = subprocess.run([*command, "--score", str(data), *flags], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProofError(f"{what} fails: {last_line(done.stderr)}")
    densities = np.array([float(line) for line in done.stdout.split()])
    expected = model.log_prob(x, condition=one)
    unit, tolerance = float(math.prod(model.event_shape)), tolerance_of(model.manifest, "log_prob")
    difference = relative_difference(densities, expected, unit) if densities.shape == expected.shape else float("inf")
    if not difference <= tolerance:
        raise ProofError(f"{what} gives log-densities that differ by {difference:.1e} from those of genzoo's runtime")
    return f"{len(x)} log-densities by {what}"


def replay(session: Session, name: str, manifest: Manifest, golden: Path) -> int:
    """Run a converted graph on the bundle's golden inputs, and return the number of cases.

    Args:
        session: the target's form of the graph.
        name: the graph's name.
        manifest: of the bundle.
        golden: its golden values.

    Raises:
        ProofError: its outputs differ from the golden ones.
    """
    scores = manifest.log_prob
    unit = 1.0 if scores is None else scores.graph_unit(name, math.prod(manifest.event_shape))
    tolerance = tolerance_of(manifest, f"graph {name}")
    cases: dict[str, tuple[dict[str, Array], dict[str, Array]]] = {}
    for key, array in weights.read(golden).items():
        subject, case, way, port = key.split("/", 3)
        if subject == name:
            cases.setdefault(case, ({}, {}))[way == "out"][port] = array
    for feeds, expected in cases.values():
        for output, actual in session.run(feeds, list(expected)).items():
            difference = relative_difference(actual, expected[output], unit)
            if not difference <= tolerance:
                raise ProofError(
                    f"{session.graph.name} gives an output {output} that differs from the golden one by "
                    f"{difference:.1e}; the tolerance is {tolerance:.1e}"
                )
    return len(cases)
