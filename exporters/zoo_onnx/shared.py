"""Networks that several graphs call, in place of :func:`zoo.models.calls.called` while a graph is traced.

The tracer sees a mark instead of the network, as :mod:`zoo_onnx.forward_mode` marks derivatives. The network is traced
on its own, once for all graphs that call it with inputs of the same shapes, and :meth:`Networks.inlined` writes it in
place of each mark. Derivatives are expanded after that, over the operators that are there then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from zoo.errors import ExportError
from zoo.overriding import override
from zoo.programs.ports import Port

#: the domain of the mark; no finished graph has it
DOMAIN = "genzoo.network"
#: those of other marks, whose numbers are not to occur twice in one graph
_MARKS = re.compile(r"genzoo\.")
#: the first axis of inputs and output of a network
BATCH = "batch"


@dataclass(frozen=True)
class Network:
    """A network, and the inputs that it is called with.

    Attributes:
        module: takes as many inputs as there are ports.
        inputs: their ports, which may be of any type.
        output: the port of its output.
        dtypes: of the inputs.
    """

    module: nn.Module
    inputs: tuple[Port, ...]
    output: Port
    dtypes: tuple[torch.dtype, ...]


#: from a network to its graph, with the shapes of all values
Trace = Callable[[Network], ir.Model]


class Networks:
    """The networks of one export: which are called, and the graphs of those that are traced."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._networks: list[Network] = []
        self._traced: dict[int, ir.Model] = {}

    def mark(self, module: nn.Module, inputs: tuple[Tensor | None, ...], event: tuple[int, ...]) -> Tensor:
        """As :func:`zoo.models.calls.called`: to be traced, not run."""
        present = [each for each in inputs if each is not None]
        x = present[0]
        if any(each.ndim < 1 or any(not isinstance(size, int) for size in each.shape[1:]) for each in present):
            raise ExportError("a network that graphs share is called with sizes that are symbolic beside the batch")
        places = tuple(each is not None for each in inputs)
        described = tuple((each.dtype, tuple(each.shape[1:])) for each in present)
        key = (id(module), places, described, event, x.dtype)
        if key not in self._numbers:
            self._numbers[key] = len(self._networks)
            ports = tuple(Port(f"in_{i}", "float32", (BATCH, *shape)) for i, (_, shape) in enumerate(described))
            output = Port("out", "float32", (BATCH, *event))
            self._networks.append(Network(_Called(module, places), ports, output, tuple(d for d, _ in described)))
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::Call",
            present,
            {"number": self._numbers[key]},
            dtype=x.dtype,
            shape=(x.shape[0], *event),
            version=1,
        )

    def inlined(self, model: ir.Model, trace: Trace) -> None:
        """Replace the marks of a graph by the networks.

        Raises:
            ExportError, ProofError: a network cannot be traced alone, as it may be within the whole graph.
        """
        calls = [node for node in model.graph if node.domain == DOMAIN]
        for count, call in enumerate(calls):
            number = call.attributes.get_int("number")
            assert number is not None
            if number not in self._traced:
                self._traced[number] = trace(self._networks[number])
            _inline(model, call, self._traced[number].clone(), f"network_{count}.")
        model.opset_imports.pop(DOMAIN, None)
        model.graph.opset_imports.pop(DOMAIN, None)


class _Called(nn.Module):
    """A module that takes the inputs that there are, with None in the other places."""

    def __init__(self, module: nn.Module, places: tuple[bool, ...]) -> None:
        super().__init__()
        self.module, self._places = module, places

    @override
    def forward(self, *inputs: Tensor) -> Any:
        present = iter(inputs)
        return self.module(*(next(present) if there else None for there in self._places))


def _inline(model: ir.Model, call: ir.Node, network: ir.Model, prefix: str) -> None:
    """Move a network's nodes and constants to the place of its call."""
    graph, own = model.graph, network.graph
    if any(_MARKS.match(node.domain) for node in own.all_nodes()):
        raise ExportError("a network that graphs share has a loop or a derivative of its own")
    if network.functions:
        raise ExportError("a network that graphs share has functions of its own")
    (old,) = call.outputs
    rename = _renaming(own.inputs[0], call.inputs[0])
    constants = list(own.initializers.values())
    own.initializers.clear()
    for value in constants:
        value.name = f"{prefix}{value.name}"
    for node in own.all_nodes():
        node.name = f"{prefix}{node.name}"
        for value in node.outputs:
            value.name, value.shape = f"{prefix}{value.name}", rename(value.shape)
    for outside, inside in zip(call.inputs, list(own.inputs), strict=True):
        assert outside is not None
        ir.convenience.replace_all_uses_with(inside, outside, replace_graph_outputs=True)
    (new,) = own.outputs
    nodes = list(own)
    own.outputs.clear()
    own.remove(nodes)
    graph.insert_before(call, nodes)
    for value in constants:
        graph.register_initializer(value)
    for domain, version in network.opset_imports.items():
        graph.opset_imports.setdefault(domain, version)
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(call, safe=True)


def _renaming(inside: ir.Value, outside: ir.Value | None) -> Callable[[ir.Shape | None], ir.Shape | None]:
    """A function from shapes of a network to those of the graph around it, whose batch has another name."""
    sizes = [None if value is None or value.shape is None else value.shape[0] for value in (inside, outside)]
    before, after = (size.value if isinstance(size, ir.SymbolicDim) else None for size in sizes)
    if before is None or after is None:
        raise ExportError("a network that graphs share is called with a batch of a fixed size")
    symbol = re.compile(rf"\b{re.escape(before)}\b")

    def rename(shape: ir.Shape | None) -> ir.Shape | None:
        if shape is None:
            return None
        return ir.Shape([_renamed(size, symbol, before, after) for size in shape])

    return rename


def _renamed(size: int | ir.SymbolicDim, symbol: re.Pattern[str], before: str, after: str) -> int | str | None:
    if isinstance(size, int) or size.value is None:
        return size if isinstance(size, int) else None
    return after if size.value == before else symbol.sub(f"({after})", str(size.value))
