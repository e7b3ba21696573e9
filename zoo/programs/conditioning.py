"""The ports of a condition: the inputs by which graphs take its parts, or their encodings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from zoo.conditions import Condition
from zoo.errors import BundleError
from zoo.parts import ONLY, Part
from zoo.programs.graph import HasPorts
from zoo.programs.ports import Port

#: the leading dimension of a condition encoder's ports: different conditions, fewer than there are samples
ROWS = "rows"
#: names of inputs and outputs that the graphs of programs have besides a condition
RESERVED = frozenset(
    (
        *("x", "z", "state", "time", "alpha", "sigma", "clip", "noise_scale", "noise_range", "rescale", "matrix"),
        *("noise", "weights", "known", "mask", "probe", "seed", "first", "n", "next_state", "denoised", "trace"),
        *("log_prob", "latent", "log_det", "margin"),
    )
)


def part_ports(condition: Condition, *leading: str) -> tuple[Port, ...]:
    """The inputs that carry the parts of a condition, in order, and then the masks of tokens and sequences."""
    parts = [Port(part.name, part.dtype, (*leading, *part.shape), _meaning(part)) for part in condition.parts]
    masks = [
        Port(part.mask, "float32", (*leading, part.shape[0]), f"1 where {part.name} is, 0 where it is filled up")
        for part in condition.parts
        if part.mask is not None
    ]
    return (*parts, *masks)


def led_by(ports: Iterable[Port], *leading: str) -> tuple[Port, ...]:
    """Outputs of a condition encoder as inputs of another graph, which takes one for each of its samples."""
    return tuple(dataclasses.replace(port, shape=(*leading, *port.shape[1:])) for port in ports)


def condition_names(condition: Condition | None, graphs: Mapping[str, HasPorts], encoder: str | None) -> list[str]:
    """The names of the inputs by which a program's graphs take a condition; none for a model without one."""
    if condition is None:
        return []
    return [port.name for port in (part_ports(condition, ROWS) if encoder is None else graphs[encoder].outputs)]


def check_encoder(
    condition: Condition | None, graphs: Mapping[str, HasPorts], encoder: str, batch: int | None = None
) -> None:
    """Refuse a condition encoder that does not take the parts of a condition, or whose outputs no graph could take.

    In a bundle of a fixed batch, it takes one condition at a time.

    Raises:
        BundleError: with what does not fit.
    """
    if condition is None:
        raise BundleError(f"graph {encoder} encodes a condition, but the model has none")
    graph, leading = graphs[encoder], ROWS if batch is None else 1
    wanted = [dataclasses.replace(port, shape=(leading, *port.shape[1:])) for port in part_ports(condition, ROWS)]
    if {_form(port) for port in graph.inputs} != {_form(port) for port in wanted}:
        raise BundleError(f"graph {encoder} takes {_list(graph.inputs)}, expected {_list(wanted)}")
    for port in graph.outputs:
        if not port.shape or port.shape[0] != leading or ROWS in port.shape[1:]:
            raise BundleError(f"{port.name} of graph {encoder} has shape {list(port.shape)}, expected {leading} first")
        if port.name in RESERVED:
            raise BundleError(f"graph {encoder} gives {port.name}, which means something else to other graphs")


def _form(port: Port) -> tuple[str, str, tuple[int | str, ...]]:
    return port.name, port.dtype, port.shape


def _list(ports: Iterable[Port]) -> str:
    return ", ".join(f"{port.name} {port.dtype}{list(port.shape)}" for port in ports) or "nothing"


def _meaning(part: Part) -> str:
    if part.modality == "classes":
        kind = f"class, 0 to {(part.size or 1) - 1}"
    elif part.name == ONLY and part.modality == "numbers":
        kind = "condition vector"
    else:
        kind = part.modality if part.size is None else f"{part.modality}, 0 to {part.size - 1}"
    return f"{part.meaning} ({kind})" if part.meaning else kind
