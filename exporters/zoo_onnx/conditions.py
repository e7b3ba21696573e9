"""Whether graphs take named parts of conditions as runtimes give them: filled up where masks say, and with their nulls.

A runtime pads tokens and sequences to the longest of a call, so a sample must not depend on the length of others; and
it takes the nulls of all parts as no condition, as PyTorch must too. Checked in float64, in PyTorch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.conditions import Condition
from zoo.errors import ProofError
from zoo.models.interface import GenerativeModel
from zoo.programs import Programs
from zoo.programs.conditioning import ROWS
from zoo_onnx.inputs import Inputs
from zoo_onnx.reference import Feeds
from zoo_onnx.sizes import ONE_ROW

#: a graph in float64, by name
Run = Callable[[str, Feeds], Mapping[str, NDArray[np.float64]]]
#: numbers of conditions, of entries of tokens and sequences, and of entries of additional padding
_ROWS, _LENGTH, _MORE = 2, 3, 4


def check_conditions(model: GenerativeModel, programs: Programs, inputs: Inputs, run: Run) -> None:
    """Check masks and nulls of a model that is conditioned on named parts.

    Args:
        model: in any precision.
        programs: its programs.
        inputs: draws the inputs.
        run: computes the outputs of a graph in float64.

    Raises:
        ProofError: they are not what a runtime assumes; the message names the part.
    """
    condition = model.condition
    if condition is None or not model.takes_parts:
        return
    with inputs.aside():
        graph = model.condition_graph()
        encode = (lambda feeds: feeds) if graph is None else (lambda feeds: run(graph.name, feeds))
        _check_masks(model, programs, inputs, run, encode)
    sample = programs.sample
    if sample is not None and sample.stepped and all(part.null is not None for part in condition.parts):
        _check_nulls(model, condition, encode)


def _check_masks(
    model: GenerativeModel, programs: Programs, inputs: Inputs, run: Run, encode: Callable[[Feeds], Mapping[str, Array]]
) -> None:
    condition = model.condition
    assert condition is not None
    names = {
        part.shape[0]: part for part in condition.parts if part.mask is not None and isinstance(part.shape[0], str)
    }
    ports = {port.name: port for port in model.condition_inputs("batch")}
    main = programs.sample or programs.log_prob
    encoder = None if main is None else main.condition_encoder
    for length, part in names.items():
        feeds = inputs.parts.feeds({ROWS: _ROWS})
        longer = _filled_up(condition, feeds, length)
        encoded = [encode(each) for each in (feeds, longer)]
        for graph in programs.graphs:
            taken = [port for port in graph.inputs if port.name in ports]
            if not taken or graph.name == encoder:
                continue
            sizes = {d: ONE_ROW.get(d, _ROWS) for port in graph.inputs for d in port.shape if isinstance(d, str)}
            row = inputs.ordinary(graph, {**sizes, **dict.fromkeys(map(str, names), _LENGTH)})
            results = [
                run(graph.name, {**row, **{port.name: _led(each[port.name], len(port.shape)) for port in taken}})
                for each in encoded
            ]
            for name, value in results[0].items():
                apart = relative_difference(results[1][name], value, 1.0)
                if not apart <= TOLERANCE:
                    raise ProofError(
                        f"graph {graph.name}, output {name}, depends on the padding of part {part.name}: with {_MORE} "
                        f"more entries, which {part.mask} marks as absent, it differs by {apart:.2g}",
                        hint=f"Attend to entries, and average over them, only where {part.mask} is 1.",
                    )


def _led(value: Array, axes: int) -> Array:
    """A condition ``[rows, ...]`` as a port of so many axes takes it: of one evaluation, if those come first."""
    return value if value.ndim == axes else value[None]


def _filled_up(condition: Condition, feeds: Feeds, length: int | str) -> Feeds:
    """The same parts with entries more that masks hide."""
    longer = dict(feeds)
    for part in condition.parts:
        if part.mask is None or part.shape[0] != length:
            continue
        for name, filler in ((part.name, part.padding or 0), (part.mask, 0)):
            value = feeds[name]
            more = np.full((len(value), _MORE, *value.shape[2:]), filler, value.dtype)
            longer[name] = np.concatenate([value, more], 1)
    return longer


def _check_nulls(model: GenerativeModel, condition: Condition, encode: Callable[[Feeds], Mapping[str, Array]]) -> None:
    lengths: dict[int | str, int] = {
        part.shape[0]: part.shape[0] if isinstance(part.shape[0], int) else _LENGTH
        for part in condition.parts
        if part.mask is not None
    }
    expected = encode(condition.nulls(lengths))
    own = model.null_condition(1, lengths) or {}
    for name, value in expected.items():
        if name not in own:
            raise ProofError(f"PyTorch's null condition lacks {name}, which graphs take")
        actual = own[name].detach().cpu().double().numpy()
        apart = (
            np.inf if actual.shape != value.shape else relative_difference(actual, np.asarray(value, np.float64), 1.0)
        )
        if not apart <= TOLERANCE:
            raise ProofError(
                f"PyTorch's null condition does not consist of the nulls of {condition.told}: {name} differs by "
                f"{apart:.2g}, and a bundle is guided away from those",
                hint="Give the parts the nulls that the model was trained with, and leave null_condition as it is.",
            )
