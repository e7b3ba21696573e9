"""The whole sampler in one ONNX file: seed in, samples out, in one call of any ONNX runtime.

A diffusion's file is a ``Loop`` over the rows of one step table, with the traced step graph as its body. The weights
are constants *of the body*: in the outer graph ONNX Runtime would lose its blocked convolutions. A flow's file is its
inverse graph behind the noise. The noise is :mod:`zoo_onnx.noise`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.conditions import Condition
from zoo.errors import ExportError, UsageError
from zoo.noise import Noise, Stream
from zoo.programs import Fused, Iterate, Program, Programs
from zoo.programs.conditioning import ROWS, part_ports
from zoo.programs.ports import Port
from zoo.samplers import SamplerFunction, SamplingOptions, StepTable, evaluations, table_of
from zoo.samplers.options import OptionValue
from zoo_onnx import conditioning, noise
from zoo_onnx.build import Builder
from zoo_onnx.conditioning import GuidedRows

#: name of the graph
FUSED = "fused"
_BODY, _OUTER = "row.", "run."
#: prefix of the names of constants that belong to the sampler and not to the network
OWN = (_BODY, _OUTER)
_SHAPE_READERS = {"Shape", "Size", "Reshape", "Expand"}


@dataclass(frozen=True)
class Choice:
    """The sampler to fuse; None stands for the model's default.

    Attributes:
        sampler: its name.
        steps: number of steps.
        guidance: weight of classifier-free guidance.
        options: options of the sampler.
    """

    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)


def fused_program(
    programs: Programs, choice: Choice, samplers: Mapping[str, SamplerFunction], condition: Condition | None = None
) -> tuple[Fused, StepTable | None]:
    """The manifest's entry for the fused graph, and its table (None for a model that samples in one call).

    Raises:
        UsageError, UnknownNameError: the model does not support the choice.
    """
    sample = programs.sampling
    if not sample.fuses:
        raise ExportError(f"a program of kind {sample.kind} cannot be fused")
    _check_parts(condition)
    if not sample.stepped:
        if choice != Choice():
            raise UsageError("this model samples in one call, so sampler, steps and guidance cannot be chosen")
        return Fused(FUSED), None
    sample = sample.stepping("the model")
    if sample.decoder is not None:
        raise ExportError(
            "a model with a decoder cannot have a fused graph",
            hint="Leave out --fused: its step and its decoder are separate graphs.",
        )
    asked = SamplingOptions(choice.sampler, choice.steps, choice.guidance, own=choice.options)
    table = table_of(sample, asked, samplers, condition)
    fused = Fused(
        FUSED,
        sampler=choice.sampler or sample.sampler,
        steps=choice.steps or sample.steps,
        guidance=float(sample.guidance if choice.guidance is None else choice.guidance),
        options=dict(choice.options),
    )
    return fused, table


def ports(
    event_shape: tuple[int, ...], condition: Condition | None, *, parts: bool = False
) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Inputs and outputs of the fused graph; named parts have one row for all samples, or one for each."""
    inputs = [
        Port("seed", "int64", (), "key of the noise: the 64 bits of a whole number from 0 to 2⁶⁴ - 1"),
        Port("first", "int64", (), "index of the first sample; 0 except in later batches"),
        Port("n", "int64", (), "how many samples"),
    ]
    if condition is not None and parts:
        inputs += part_ports(condition, ROWS)
    elif condition is not None and condition.kind == "classes":
        inputs.append(Port("condition", "int32", ("batch",), f"class, 0 to {condition.size - 1}"))
    elif condition is not None:
        inputs.append(Port("condition", "float32", ("batch", condition.size), "condition vector"))
    return tuple(inputs), (Port("x", "float32", ("batch", *event_shape), "samples in data units"),)


def _check_parts(condition: Condition | None) -> None:
    """Refuse parts that have the name of another input or output of the fused graph, which takes them as they are.

    Raises:
        UsageError: with that name.
    """
    inputs, outputs = ports((), None)
    own = {port.name for port in (*inputs, *outputs)}
    parts = () if condition is None or condition.plain else part_ports(condition, ROWS)
    if taken := [port.name for port in parts if port.name in own]:
        raise UsageError(
            f"a fused graph has an input or output {taken[0]!r} of its own, so no part of the condition can have that "
            "name",
            hint="Leave out --fused, or give the part another name.",
        )


def fuse(
    traced: ir.Model,
    sample: Program,
    table: StepTable | None,
    event_shape: tuple[int, ...],
    condition: Condition | None,
    opset: int,
    noises: Sequence[Noise] = (),
    *,
    parts: bool = False,
    encoder: ir.Model | None = None,
) -> ir.Model:
    """The fused graph.

    Args:
        traced: the graph ``step`` or ``inverse``, left unchanged.
        sample: the program that it belongs to.
        table: the sampler, for an iterated program.
        event_shape: shape of one sample.
        condition: what samples are conditioned on, or None.
        opset: ONNX opset.
        noises: those of a program of one call.
        parts: whether the condition comes as named parts.
        encoder: the graph that encodes them, called before the loop, or None.
    """
    inner = ir.from_proto(ir.to_proto(traced)).graph
    builder = Builder(_OUTER)
    inputs, (output,) = ports(event_shape, condition, parts=parts)
    values = {port.name: _value(port) for port in inputs}
    run = _Run(builder, values["seed"], values["first"], values["n"])
    guided = table is not None and bool((table.guidance != 1.0).any())
    if parts and condition is not None:
        # the graph of an encoder is named before it is adopted: no two values of nested graphs share a name
        named = None if encoder is None else conditioning.renamed(ir.from_proto(ir.to_proto(encoder)).graph)
        conditions = conditioning.guided_rows(builder, condition, values, run.n, guided, named, _inline)
    else:
        conditions = _plain(builder, values.get("condition"), sample.null_class if guided else None)
    if sample.stepped:
        assert table is not None
        x = _iterated(run, inner, sample.stepping("the model"), table, event_shape, conditions)
    else:
        x = _direct(run, inner, noises, conditions.condition, sample.temperature)
    result = builder("Identity", x)
    result.name = output.name
    result.type, result.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(output.shape)
    graph = builder.graph([values[port.name] for port in inputs], [result], FUSED, opset)
    return ir.Model(graph, ir_version=traced.ir_version)


class _Run:
    """The inputs of every run, and the noise that they determine."""

    def __init__(self, builder: Builder, seed: ir.Value, first: ir.Value, n: ir.Value) -> None:
        self.builder, self.first, self.n = builder, first, n
        self.key = noise.key(builder, seed)

    def normal(self, builder: Builder, shape: tuple[int, ...], step: ir.Value, stream: Stream) -> ir.Value:
        return noise.normal(builder, self.key, self.first, self.n, shape, step, stream)

    def shape(self, *event: int) -> ir.Value:
        """[n, *event] as a vector."""
        return self.builder(
            "Concat", self.builder("Unsqueeze", self.n, self.builder.integers(0)), self.builder.integers(*event), axis=0
        )


def _plain(builder: Builder, condition: ir.Value | None, null_class: int | None) -> GuidedRows:
    """One class or vector, and the null class if the run is guided."""
    if condition is None:
        return GuidedRows({}, {})
    if null_class is None:
        return GuidedRows({"condition": condition}, {})
    null = builder("Expand", np.array(null_class, np.int32), builder("Shape", condition))
    return GuidedRows({"condition": condition}, {"condition": null})


def _direct(
    run: _Run, inner: ir.Graph, noises: Sequence[Noise], condition: Mapping[str, ir.Value], temperature: float
) -> ir.Value:
    builder = run.builder
    suppliers = dict(condition)
    for k, each in enumerate(noises):
        z = noise.drawn(builder, run.key, run.first, run.n, each, builder.constant(np.array(k)))
        suppliers[each.name] = z if temperature == 1 else builder("Mul", z, np.array(temperature, np.float32))
    return _inline(builder, inner, suppliers)[0]


def _iterated(
    run: _Run,
    inner: ir.Graph,
    sample: Iterate,
    table: StepTable,
    event: tuple[int, ...],
    conditions: GuidedRows,
) -> ir.Value:
    builder = run.builder
    start = builder(
        "Mul",
        run.normal(builder, event, builder.constant(np.array(0)), Stream.INITIAL),
        np.array(table.initial_scale, np.float32),
    )
    state = builder("Unsqueeze", start, builder.integers(0))
    if table.slots > 1:
        empty = builder(
            "Expand",
            np.zeros((), np.float32),
            builder("Concat", builder.integers(table.slots - 1), run.shape(*event), axis=0),
        )
        state = builder("Concat", state, empty, axis=0)
    evaluated, weights = _evaluations(builder, table, conditions)
    body = _body(run, inner, table, event, evaluated, weights)
    last = builder("Loop", np.array(len(table)), np.array(True), state, body=body)
    x = builder("Gather", last, np.array(0), axis=0)
    x = builder("Add", builder("Mul", x, np.array(sample.scale, np.float32)), np.array(sample.shift, np.float32))
    if sample.data_min is not None and sample.data_max is not None:
        x = builder("Clip", x, np.array(sample.data_min, np.float32), np.array(sample.data_max, np.float32))
    return x


def _evaluations(
    builder: Builder, table: StepTable, conditions: GuidedRows
) -> tuple[dict[str, ir.Value], NDArray[np.float32]]:
    """The conditions ``[evaluations, n, ...]`` of every row, and their weights ``[rows, evaluations]``.

    If only some rows are guided, all rows evaluate both conditions, some with weight 0.
    """
    single = np.ones((len(table), 1), np.float32)
    each = {name: builder("Unsqueeze", value, builder.integers(0)) for name, value in conditions.condition.items()}
    if not each or (table.guidance == 1.0).all():
        return each, single
    other = {name: builder("Unsqueeze", value, builder.integers(0)) for name, value in conditions.other.items()}
    if (table.guidance == 0.0).all():
        return other, single
    # conditions as the stepping loop makes them, for one sample with a class and the null class
    rows = [evaluations(np.zeros(1, np.int32), w, np.ones(1, np.int32)) for w in table.guidance.tolist()]
    weights = np.zeros((len(table), 2), np.float32)
    for row, (which, weight) in zip(weights, rows, strict=True):
        assert isinstance(which, np.ndarray)
        row[which[:, 0]] = weight
    return {name: builder("Concat", value, other[name], axis=0) for name, value in each.items()}, weights


def _body(
    run: _Run,
    inner: ir.Graph,
    table: StepTable,
    event: tuple[int, ...],
    evaluated: Mapping[str, ir.Value],
    weights: NDArray[np.float32],
) -> ir.Graph:
    """One row: its numbers are gathered by the loop's counter; everything else comes from the outer graph."""
    builder = Builder(_BODY)
    index = ir.Value(name=f"{_BODY}index", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(()))
    going = ir.Value(name=f"{_BODY}going", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape(()))
    state = ir.Value(
        name=f"{_BODY}state",
        type=ir.TensorType(ir.DataType.FLOAT),
        shape=ir.Shape((table.slots, None, *event)),
    )

    def column(name: str, values: Array) -> ir.Value:
        return builder("Gather", builder.constant(values.astype(np.float32), name=f"table.{name}"), index, axis=0)

    def spread(value: float, name: str) -> ir.Value:
        """A constant for an event-shaped input; a scalar is enough unless the graph reads its shape."""
        constant = builder.constant(np.full((1,) * (1 + len(event)), value, np.float32))
        (target,) = (v for v in inner.inputs if v.name == name)
        if any(node.op_type in _SHAPE_READERS for node, _ in target.uses()):
            return builder("Expand", constant, run.shape(*event))
        return constant

    suppliers = {"state": state, "matrix": column("matrix", table.matrix), "weights": column("weights", weights)}
    for name in (str(value.name) for value in inner.inputs):
        if name in ("time", "alpha", "sigma", "clip", "noise_scale", "noise_range", "rescale"):
            suppliers[name] = column(name, getattr(table, name))
        elif name in ("known", "mask"):
            suppliers[name] = spread(float(name == "mask"), name)
        elif name == "noise":
            quiet = not table.noise_scale.any()
            suppliers[name] = spread(0.0, name) if quiet else run.normal(builder, event, index, Stream.STEP)
        elif name in evaluated:
            suppliers[name] = evaluated[name]
    following, *_ = _inline(builder, inner, suppliers)
    carried = builder("Identity", going)
    carried.type = ir.TensorType(ir.DataType.BOOL)
    moved = builder("Identity", following)
    moved.type = ir.TensorType(ir.DataType.FLOAT)
    return builder.graph([index, going, state], [carried, moved], "row", None)


def _inline(builder: Builder, inner: ir.Graph, suppliers: Mapping[str, ir.Value]) -> list[ir.Value]:
    """Move a graph's nodes into ``builder``, with its inputs taken from ``suppliers`` by name; return its outputs."""
    for value in inner.inputs:
        if str(value.name) not in suppliers:
            raise ExportError(f"graph {inner.name} cannot be fused: nothing provides its input {value.name}")
        ir.convenience.replace_all_uses_with(value, suppliers[str(value.name)])
    outputs = list(inner.outputs)
    inner.outputs.clear()
    for output in outputs:
        output.name = f"{builder.prefix}{output.name}"
    builder.adopt(inner)
    return outputs


def _value(port: Port) -> ir.Value:
    types = {"float32": ir.DataType.FLOAT, "int32": ir.DataType.INT32, "int64": ir.DataType.INT64}
    return ir.Value(name=port.name, type=ir.TensorType(types[port.dtype]), shape=ir.Shape(port.shape))
