"""Named parts of a condition within a fused graph: filled up, encoded once with their nulls, given to each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from zoo.conditions import Condition
from zoo.parts import Part
from zoo_onnx.build import Builder

#: prefix of the names of an encoder's values
_PREFIX = "condition."
_TYPES = {"float32": np.float32, "int32": np.int32}

Values = Mapping[str, ir.Value]
Inline = Callable[[Builder, ir.Graph, Values], list[ir.Value]]


@dataclass(frozen=True)
class GuidedRows:
    """Inputs of a graph that carry conditions, ``[n, ...]`` by name.

    Attributes:
        condition: those of the samples.
        other: what they are guided away from; empty without guidance.
    """

    condition: Values
    other: Values


def renamed(graph: ir.Graph) -> ir.Graph:
    """A graph whose nodes and values, but for its inputs, have names that no other graph has; nested graphs too."""
    values = list(graph.initializers.values())
    for node in graph.all_nodes():
        node.name = f"{_PREFIX}{node.name}"
        values += node.outputs
    for nested in graph.subgraphs():
        values += [*nested.inputs, *nested.initializers.values()]
    for value in values:
        value.name = f"{_PREFIX}{value.name}"
    return graph


def guided_rows(
    builder: Builder,
    condition: Condition,
    values: Values,
    n: ir.Value,
    guided: bool,
    encoder: ir.Graph | None,
    inline: Inline,
) -> GuidedRows:
    """Named parts of each sample, and their nulls, which take one more row of the encoder.

    Args:
        builder: of the outer graph.
        condition: describes the parts.
        values: the inputs of the graph by name, parts and masks ``[rows, ...]``.
        n: number of samples.
        guided: whether the nulls are needed.
        encoder: the graph that encodes them, or None; it is emptied.
        inline: moves a graph into the builder.
    """
    names = [name for part in condition.parts for name in (part.name, part.mask) if name is not None]
    rows = {name: values[name] for name in names}
    if guided:
        rows = _with_nulls(builder, condition, rows)
    if encoder is not None:
        outputs = [str(value.name).removeprefix(_PREFIX) for value in encoder.outputs]
        rows = dict(zip(outputs, inline(builder, encoder, rows), strict=True))

    def spread(value: ir.Value) -> ir.Value:
        rank = builder("Shape", builder("Shape", value))
        ones = builder("Expand", np.array([1]), builder("Sub", rank, builder.integers(1)))
        shape = builder("Concat", builder("Unsqueeze", n, builder.integers(0)), ones, axis=0)
        return builder("Expand", value, shape)

    def some(value: ir.Value, first: int, end: int) -> ir.Value:
        return builder("Slice", value, builder.integers(first), builder.integers(end), builder.integers(0))

    if not guided:
        return GuidedRows({name: spread(value) for name, value in rows.items()}, {})
    last = np.iinfo(np.int64).max
    return GuidedRows(
        {name: spread(some(value, 0, -1)) for name, value in rows.items()},
        {name: spread(some(value, -1, last)) for name, value in rows.items()},
    )


def _with_nulls(builder: Builder, condition: Condition, rows: Values) -> dict[str, ir.Value]:
    """Parts and masks with a last row of nulls; tokens and sequences as long as the longest of the two."""
    nulls = condition.nulls()
    lengths: dict[int | str, ir.Value] = {}
    for part in condition.parts:
        if part.mask is not None and part.shape[0] not in lengths:
            own = builder("Gather", builder("Shape", rows[part.name]), np.array(1), axis=0)
            least = np.array(nulls[part.name].shape[1])
            # Max of integers is not among the operators that every runtime computes
            longer = builder("Where", builder("Less", own, least), builder.constant(least), own)
            lengths[part.shape[0]] = builder("Unsqueeze", longer, builder.integers(0))
    joined = {}
    for part in condition.parts:
        for name, filler in ((part.name, part.padding or 0), (part.mask, 0)):
            if name is None:
                continue
            null = builder.constant(nulls[name])
            if part.mask is None:
                joined[name] = builder("Concat", rows[name], null, axis=0)
                continue
            both = [_filled(builder, value, lengths[part.shape[0]], part, name, filler) for value in (rows[name], null)]
            joined[name] = builder("Concat", *both, axis=0)
    return joined


def _filled(builder: Builder, value: ir.Value, length: ir.Value, part: Part, name: str, filler: int) -> ir.Value:
    """Tokens, a sequence or a mask ``[rows, own, ...]``, filled up to a length."""
    shape = builder("Shape", value)
    own = builder("Slice", shape, builder.integers(1), builder.integers(2), builder.integers(0))
    missing = builder("Sub", length, own)
    rank = 2 if name == part.mask else 1 + len(part.shape)
    before, after = builder.integers(*[0] * rank), [builder.integers(0), missing, *[builder.integers(0)] * (rank - 2)]
    room = builder("Concat", before, *after, axis=0)
    dtype = np.float32 if name == part.mask else _TYPES[part.dtype]
    return builder("Pad", value, room, builder.constant(np.array(filler, dtype)), mode="constant")
