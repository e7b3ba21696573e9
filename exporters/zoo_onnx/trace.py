"""From a :class:`zoo.programs.Graph` to an ONNX graph whose symbolic sizes are those of its ports."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import Tensor, nn
from torch.fx.experimental.sym_node import SymNode

from zoo.errors import ExportError, ProofError, ZooError
from zoo.models import calls, derivatives, loops
from zoo.models.blaming import line_here, line_of
from zoo.models.mending import replaced
from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo_onnx import forward_mode, turns
from zoo_onnx.alike import TensorsAsInputs
from zoo_onnx.cheaper import cheaper
from zoo_onnx.folding import folded, is_expensive
from zoo_onnx.lines import named_at
from zoo_onnx.portable import portable
from zoo_onnx.quiet import quiet
from zoo_onnx.shared import Network, Networks
from zoo_onnx.sizes import guarded_sizes, traced_sizes
from zoo_onnx.torch_exporter import to_onnx

_DTYPES = {"float32": torch.float32, "int32": torch.int32}
#: what torch raises where Python reads the values of a tensor
_BRANCHES = ("GuardOnDataDependentSymNode", "DataDependentOutputException")
#: an operator in a message: ``aten.special_airy_ai``
_OPERATOR = re.compile(r"\b\w+\.\w+")
_SPECIALIZED = re.compile(r"\bspecialized\b|Constraints violated|ConstraintViolation", re.IGNORECASE)


def trace(graph: Graph, opset: int, networks: Networks | None = None) -> ir.Model:
    """The ONNX graph of ``graph``, without traces of the machine that produced it.

    Args:
        graph: its module must be in float32, on the CPU and in evaluation mode.
        opset: ONNX opset.
        networks: those that other graphs may call too, which are traced once; None to trace all of this graph.

    Raises:
        ExportError: the module uses something that ONNX cannot express.
        ProofError: a size that should be symbolic became a number.
    """
    if networks is not None:
        # what a network cannot do alone, and what is wrong with it, is told of the whole
        with contextlib.suppress(ZooError):
            return _traced(graph, opset, forward_mode.Marking(), networks)
    marking = forward_mode.Marking()
    try:
        return _traced(graph, opset, marking)
    except ZooError as error:
        if marking.taken:  # the same network may well be exported without its derivative
            error.hint = forward_mode.advised(error.hint)
        raise


def _traced(graph: Graph, opset: int, marking: forward_mode.Marking, networks: Networks | None = None) -> ir.Model:
    inputs = example(graph)
    try:
        with quiet(), torch.no_grad():
            with contextlib.nullcontext() if networks is None else calls.method(networks.mark):
                program = _exported(graph, inputs, marking)
            model = to_onnx(program, opset)
            if networks is not None:
                networks.inlined(model, partial(_network, graph, opset))
    except ZooError:
        raise
    except Exception as error:  # torch's exporter raises exceptions of all kinds
        cause = _root(error)
        if isinstance(cause, ZooError):
            raise cause from error
        if type(cause).__name__ in _BRANCHES:
            raise ExportError(
                f"graph {graph.name} branches on the values of its inputs, which a graph cannot do: {_line(cause)}"
                f"{_at(error)}",
                hint="Compute both and choose with torch.where.",
            ) from error
        if _SPECIALIZED.search(str(error)):
            raise _baked(graph, f"tracing fixed it: {_line(error)}{_fixed_at(graph)}") from error
        where = _at(error) or _blamed(graph, inputs, str(error))
        raise ExportError(
            f"graph {graph.name} cannot be exported to ONNX: {_line(cause)}{where}",
            hint="Compute it by other operators, in the model or, while it is traced, in `mended` of its zoo.Wrapped.",
        ) from error
    forward_mode.expanded(model)
    turns.looped(model)
    check_shapes(model, graph)
    cheaper(model)
    portable(model)
    clean(model)
    name(model, graph)
    return model


def _network(graph: Graph, opset: int, network: Network) -> ir.Model:
    """The graph of a network that ``graph`` calls, with the shapes of all values."""
    part = dataclasses.replace(graph, module=network.module, inputs=network.inputs, outputs=(network.output,))
    inputs = [each.to(dtype) for each, dtype in zip(example(part), network.dtypes, strict=True)]
    model = to_onnx(_exported(part, inputs, forward_mode.Marking()), opset)
    check_shapes(model, part)
    return model


def example(graph: Graph) -> list[Tensor]:
    """Inputs to trace with: their values do not matter, and all sizes are distinct."""
    sizes = traced_sizes((*graph.inputs, *graph.outputs))
    generator = torch.Generator().manual_seed(0)
    tensors = []
    for port in graph.inputs:
        shape = tuple(sizes[d] if isinstance(d, str) else d for d in port.shape)
        if port.dtype not in _DTYPES:
            raise ExportError(f"graph {graph.name}: input {port.name} is {port.dtype}; ports are float32 or int32")
        if port.dtype == "int32":
            tensors.append(torch.zeros(shape, dtype=torch.int32))
        else:
            # between ½ and 1, so that nothing divides by zero or leaves its domain while tracing
            tensors.append(0.5 + 0.5 * torch.rand(shape, generator=generator))
    return tensors


def _program(graph: Graph, inputs: list[Tensor], marking: forward_mode.Marking) -> torch.export.ExportedProgram:
    with graph.mended(), derivatives.method(marking), loops.method(turns.loop), _without_stacks():
        return torch.export.export(
            _Positional(graph.module), tuple(inputs), dynamic_shapes=(_symbolic(graph),), strict=False
        )


def _symbolic(graph: Graph) -> tuple[dict[int, Any], ...]:
    return tuple(
        {i: torch.export.Dim.DYNAMIC for i, d in enumerate(p.shape) if isinstance(d, str)} for p in graph.inputs
    )


def _exported(graph: Graph, inputs: list[Tensor], marking: forward_mode.Marking) -> torch.export.ExportedProgram:
    program = _program(graph, inputs, marking)
    _check_guards(program, graph)
    if isinstance(graph.module, TensorsAsInputs) and any(is_expensive(node) for node in program.graph.nodes):
        raise ExportError(f"graph {graph.name} has linear algebra of weights that are its inputs")
    return folded(program, inputs, _symbolic(graph))


@contextlib.contextmanager
def _without_stacks() -> Iterator[None]:
    """A block in which torch notes no source lines of the operators it traces, which nobody reads here."""
    config = torch.fx.config
    before = getattr(config, "do_not_emit_stack_traces", None)
    if before is not None:
        config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        if before is not None:
            config.do_not_emit_stack_traces = before


class _Positional(nn.Module):
    """A callable as a module with positional inputs, whose names cannot clash in torch's exporter."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def clean(model: ir.Model) -> None:
    """Strip the metadata of torch's exporter on source files, code and itself."""
    for clear in (
        common.ClearMetadataAndDocStringPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=False, size_limit=16),
        common.RemoveUnusedNodesPass(),
    ):
        clear(model)
    model.producer_name = model.producer_version = None
    model.domain = model.doc_string = None
    model.metadata_props.clear()
    for graph in model.graphs():
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                # intermediate sizes carry the tracer's own symbols; every runtime infers them again
                value.metadata_props.clear()
                value.doc_string = None
                value.shape = value.type = None
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()
            value.doc_string = None


def name(model: ir.Model, graph: Graph) -> None:
    """Check inputs and outputs against their ports, and give them the names, types and sizes of these."""
    model.graph.name = graph.name
    inputs, outputs = list(model.graph.inputs), list(model.graph.outputs)
    if len(inputs) != len(graph.inputs) or len(outputs) != len(graph.outputs):
        raise ExportError(
            f"graph {graph.name} has {len(inputs)} inputs and {len(outputs)} outputs in ONNX, and "
            f"{len(graph.inputs)} and {len(graph.outputs)} in its description"
        )
    ports = (*graph.inputs, *graph.outputs)
    _free_names(model, {port.name for port in ports})
    for value, port in zip((*inputs, *outputs), ports, strict=True):
        value.name = port.name
        value.type = ir.TensorType(ir.DataType.FLOAT if port.dtype == "float32" else ir.DataType.INT32)
        value.shape = ir.Shape(port.shape)


def _free_names(model: ir.Model, wanted: set[str]) -> None:
    """Rename values whose names clash with those of ports."""
    for each in model.graphs():
        values = [*each.inputs, *each.initializers.values(), *(v for node in each for v in node.outputs)]
        for value in values:
            if value.name in wanted:
                value.name = f"{value.name}.inner"


def check_shapes(model: ir.Model, graph: Graph) -> None:
    """Refuse a graph whose inputs and outputs do not have the symbolic sizes of their ports.

    Raises:
        ProofError: a size that should be symbolic is a number.
        ExportError: a size or rank differs from the port's.
    """
    for values, ports in ((model.graph.inputs, graph.inputs), (model.graph.outputs, graph.outputs)):
        for value, port in zip(values, ports, strict=False):
            _check_port(graph, port, list(value.shape) if value.shape is not None else None)


def _check_port(graph: Graph, port: Port, shape: Sequence[object] | None) -> None:
    if shape is None or len(shape) != len(port.shape):
        raise ExportError(f"graph {graph.name}: {port.name} has shape {shape} in ONNX, expected {list(port.shape)}")
    for have, want in zip(shape, port.shape, strict=True):
        if isinstance(want, str) and isinstance(have, int):
            how = f"{port.name} has size {have} where {want} is expected{_fixed_at(graph)}"
            raise _baked(graph, how)
        if isinstance(want, int) and have != want:
            raise ExportError(f"graph {graph.name}: {port.name} has shape {shape} in ONNX, expected {list(port.shape)}")


def _check_guards(program: torch.export.ExportedProgram, graph: Graph) -> None:
    """Refuse a graph that was traced for some sizes only, since a branch of its Python code asks for them.

    The tracer follows the branch that its example takes, and notes the condition as a guard that no graph contains.

    Raises:
        ProofError: a guard does not hold for every size that is symbolic.
    """
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    shapes = [nodes[name].meta["val"].shape for name in program.graph_signature.user_inputs if name in nodes]
    symbols = {
        size.node.expr: name
        for shape, port in zip(shapes, graph.inputs, strict=False)
        for size, name in zip(shape, port.shape, strict=True)
        if isinstance(size, torch.SymInt) and isinstance(name, str) and size.node.expr.is_Symbol
    }
    if not symbols:
        return
    environment = next(size.node.shape_env for shape in shapes for size in shape if isinstance(size, torch.SymInt))
    for guard in environment.guards:
        expression = environment.replace(guard.expr)
        for sizes in guarded_sizes((*graph.inputs, *graph.outputs)):
            if expression.xreplace({symbol: sizes[name] for symbol, name in symbols.items()}) == False:  # noqa: E712
                asked = ", ".join(sorted({symbols[each] for each in expression.free_symbols if each in symbols}))
                raise ProofError(
                    f"graph {graph.name} branches on the size of {asked}: it computes something else where {asked} is "
                    f"{', '.join(str(sizes[each]) for each in asked.split(', '))}{_asked_at(graph, guard.expr)}",
                    hint="A graph computes the same for every size: leave sizes out of conditions.",
                )


def _baked(graph: Graph, how: str) -> ProofError:
    return ProofError(
        f"the batch was baked into graph {graph.name}: {how}",
        hint="Take sizes from the shape of the inputs (x.shape[0], new_zeros), not from len(x) or Python numbers.",
    )


def _fixed_at(graph: Graph) -> str:
    """The first line that makes a number of a symbolic size, in brackets, found by tracing once more; or nothing."""
    return next((f" ({line})" for line in _lines(graph, "guard_int").values()), "")


def _asked_at(graph: Graph, condition: Any) -> str:
    """The line that asks whether a condition of sizes holds, likewise."""
    lines = _lines(graph, "guard_bool")
    line = next((lines[said] for said in (str(condition), str(~condition)) if said in lines), "")
    return f" ({line})" if line else ""


def _lines(graph: Graph, method: str) -> dict[str, str]:
    """What of symbolic sizes is read as a number or as true or false while a graph is traced, and where first."""
    lines: dict[str, str] = {}
    original = getattr(SymNode, method)

    def noting(node: Any, *where: Any) -> Any:
        if not node.expr.is_number and (line := line_here()):
            lines.setdefault(str(node.expr), line)
        return original(node, *where)

    # the error that is told is the first
    with contextlib.suppress(Exception), quiet(), torch.no_grad(), replaced((SymNode, method, noting)):
        _program(graph, example(graph), forward_mode.Marking())
    return lines


def _blamed(graph: Graph, inputs: list[Tensor], message: str) -> str:
    """The line of the operator that an error names, in brackets, found by running the graph once more; or nothing."""

    def again() -> None:
        with quiet(), graph.mended():
            graph.module(*inputs)

    return named_at(again, frozenset(_OPERATOR.findall(message)))


def _at(error: BaseException) -> str:
    """The line of other people's code that an error comes from, in brackets, or nothing."""
    line = line_of(error)
    return f" ({line})" if line else ""


def _root(error: BaseException) -> BaseException:
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        error = cause
    return error


def _line(error: BaseException) -> str:
    """The first non-empty line of an exception's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
