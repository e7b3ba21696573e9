"""The rules for a graph of a bundle, checked before ONNX Runtime sees the file. Weights are not loaded.

A graph passes if it matches the manifest (opset, IR version, inputs, outputs); uses only the operators of
:mod:`zoo.bundle.scan.operators`, according to their schemas (:mod:`zoo.bundle.scan.attributes`); computes
each value before it is used; takes external data only from the bundle's own files, within their bounds;
terminates (a ``Loop`` has a constant number of iterations); divides integers only by constants that cannot
trap; and does not allocate, as far as constants determine it, more memory than a graph could need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.bundle.scan import messages as m
from zoo.bundle.scan.attributes import attributes_of, describe, schema_for
from zoo.bundle.scan.operators import SIZED, SUBGRAPHS
from zoo.bundle.scan.reading import MAX_ELEMENTS, Reader, Stated, refuse, shown
from zoo.bundle.scan.traps import check_traps
from zoo.bundle.scan.values import FLOATS, UNKNOWN, Fields, Value, of_tensor, outputs_of
from zoo.bundle.scan.wire import Malformed
from zoo.errors import BundleError
from zoo.printable import printable, shortened
from zoo.programs.ports import Port

OPSETS = range(17, 26)
IR_VERSIONS = range(8, 14)
MAX_GRAPH_BYTES = 64 << 20
MAX_NODES = 100_000
#: nesting of graphs; a sampler in a Loop with an If in it has 2
MAX_DEPTH = 4
#: iterations of a Loop, or of nested ones in total; also the largest number of rows of a step table
MAX_TURNS = 10_000
_MAX_MESSAGE = 400


def scan_graph(
    data: bytes,
    file: str,
    *,
    opset: int,
    ir_version: int,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    files: Mapping[str, int],
) -> None:
    """Refuse a graph that breaks a rule.

    Args:
        data: content of the ONNX file.
        file: its name, for messages.
        opset: as stated in the manifest, like the next three.
        ir_version: version of the file format.
        inputs: in order.
        outputs: in order.
        files: sizes of the checked files of the bundle, by name.

    Raises:
        BundleError: with the broken rule.
    """
    if len(data) > MAX_GRAPH_BYTES:
        raise BundleError(
            f"{file} has {len(data)} bytes; a graph has at most {MAX_GRAPH_BYTES}, with weights stored outside"
        )
    try:
        _Scan(files, opset).model(memoryview(data), ir_version, inputs, outputs)
    except Malformed as error:
        raise BundleError(f"the graph {file} {shortened(printable(str(error)), _MAX_MESSAGE)}") from None


class _Scope:
    """The names of a graph and of its enclosing graphs, and what is known of the values computed so far."""

    def __init__(self, outer: _Scope | None = None) -> None:
        self._outer = outer
        self._names: set[str] = set()
        self._values: dict[str, Value] = {}

    def define(self, name: str) -> None:
        """Define a name, which must be unused: ONNX Runtime could resolve a duplicate differently."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope._names:
                refuse(f"defines {shown(name)} twice")
            scope = scope._outer
        self._names.add(name)

    def make(self, name: str, value: Value) -> None:
        """Record that the value of this name has been computed."""
        self._values[name] = value

    def value(self, name: str) -> Value:
        """The value of a name, which must have been computed."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope._values:
                return scope._values[name]
            scope = scope._outer
        return refuse(f"uses {shown(name)}, which is not computed before")


class _Scan:
    def __init__(self, files: Mapping[str, int], opset: int) -> None:
        self._reader = Reader(files)
        self._opset = opset
        self._nodes = 0

    # -- the model -----------------------------------------------------------------------------------------------------

    def model(self, data: memoryview, ir_version: int, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
        model = self._reader.decode(data, m.MODEL)
        if (stated := model.get("ir_version")) != ir_version or ir_version not in IR_VERSIONS:
            refuse(
                f"is of IR version {stated}, the manifest says {ir_version}; "
                f"{IR_VERSIONS[0]} to {IR_VERSIONS[-1]} are read"
            )
        imports = [self._reader.decode(each, m.OPSET) for each in model.get("opset_import", ())]
        for each in imports:
            if each.get("domain", "") not in ("", "ai.onnx"):
                refuse(f"uses operators of the domain {shown(each['domain'])}, which is not ONNX's own")
        versions = [each.get("version") for each in imports]
        if versions != [self._opset] or self._opset not in OPSETS:
            said = " and ".join(map(str, versions)) or "none"
            refuse(f"is of opset {said}, the manifest says {self._opset}; {OPSETS[0]} to {OPSETS[-1]} are read")
        if "graph" not in model:
            refuse("contains no graph")
        graph = self._reader.decode(model["graph"], m.GRAPH)
        self._check_ports("inputs", graph.get("input", ()), inputs)
        self._check_ports("outputs", graph.get("output", ()), outputs)
        self._graph(graph, _Scope(), depth=0, turns=1)

    def _check_ports(self, what: str, values: Any, stated: tuple[Port, ...]) -> None:
        ports = [self._reader.port(each) for each in values]
        wanted = [(p.name, p.dtype, p.shape) for p in stated]
        if ports != wanted:
            refuse(f"has the {what} {_say(ports)}, the manifest says {_say(wanted)}")

    # -- graphs and nodes ----------------------------------------------------------------------------------------------

    def _graph(
        self, graph: Fields, scope: _Scope, depth: int, turns: int, takes: Sequence[Value] | None = None
    ) -> list[Value]:
        """Check a graph; return what is known of its outputs.

        Args:
            graph: its fields.
            scope: for its names, within that of the enclosing graph.
            depth: number of enclosing graphs.
            turns: how often it runs.
            takes: the inputs of a nested graph.
        """
        if depth > MAX_DEPTH:
            refuse(f"has graphs nested more than {MAX_DEPTH} deep")
        self._inputs(graph, scope, takes)
        named = set()
        for each in (*graph.get("output", ()), *graph.get("value_info", ())):
            name = self._reader.port(each)[0]
            if name in named:
                refuse(f"declares {shown(name)} twice")
            named.add(name)
        for each in graph.get("initializer", ()):
            tensor = self._reader.tensor(each, initializer=True)
            name = tensor.get("name", "")
            scope.define(name)
            scope.make(name, of_tensor(tensor))
        nodes = [self._declared(each, scope) for each in graph.get("node", ())]
        for node in nodes:
            self._node(node, scope, depth, turns)
        return [scope.value(self._reader.port(each)[0]) for each in graph.get("output", ())]

    def _inputs(self, graph: Fields, scope: _Scope, takes: Sequence[Value] | None) -> None:
        ports = [self._reader.port(each) for each in graph.get("input", ())]
        if takes is not None and len(takes) != len(ports):
            refuse(f"has a nested graph with {len(ports)} inputs, but passes it {len(takes)}")
        for (name, dtype, _), value in zip(ports, takes or [UNKNOWN] * len(ports), strict=True):
            stated = "" if dtype == "?" else dtype
            if stated and value.dtype in FLOATS and stated not in FLOATS:
                refuse(f"has a nested graph with an input {shown(name)} of {stated}, but passes it {value.dtype}")
            scope.define(name)
            scope.make(name, Value(value.dtype or stated))

    def _declared(self, data: memoryview, scope: _Scope) -> Fields:
        """A node, having defined the names of its outputs."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            refuse(f"has more than {MAX_NODES} nodes")
        node = self._reader.decode(data, m.NODE)
        for output in node.get("output", ()):
            if output:  # an unused optional output has no name
                scope.define(output)
        return node

    def _node(self, node: Fields, scope: _Scope, depth: int, turns: int) -> None:
        schema = schema_for(node, self._opset)
        attributes = attributes_of(self._reader, node, schema)
        operator = node["op_type"]
        takes = [scope.value(name) if name else UNKNOWN for name in node.get("input", ())]
        outputs = node.get("output", ())
        self._check_sizes(node, takes)
        check_traps(node, attributes, takes)
        if operator in SUBGRAPHS:
            gives = self._inside(node, attributes, takes, scope, depth, turns)
            if len(gives) != len(outputs):
                refuse(
                    f"has a node {describe(node)} of {len(outputs)} outputs, but its nested graph gives {len(gives)}"
                )
        else:
            gives = outputs_of(operator, schema, attributes, takes, len(outputs))
        for name, value in zip(outputs, gives, strict=True):
            if name:
                scope.make(name, value)

    def _inside(
        self,
        node: Fields,
        attributes: Mapping[str, Fields],
        takes: Sequence[Value],
        scope: _Scope,
        depth: int,
        turns: int,
    ) -> list[Value]:
        """Check the graphs nested in a node; return what is known of its outputs."""

        def check(name: str, takes: Sequence[Value], turns: int = turns) -> list[Value]:
            inner = self._reader.decode(attributes[name]["g"], m.GRAPH)
            results = self._graph(inner, _Scope(scope), depth + 1, turns, [Value(each.dtype) for each in takes])
            return [
                Value(each.dtype) for each in results
            ]  # constants are dropped, since the branch or iteration is unknown

        if node["op_type"] == "If":
            first, second = check("then_branch", ()), check("else_branch", ())
            if [v.dtype for v in first] != [v.dtype for v in second]:
                refuse(f"has branches of {describe(node)} that give values of different types")
            return first
        if node["op_type"] == "Scan":
            return check("body", takes)
        turns *= self._turns(node, takes)
        if turns > MAX_TURNS:
            refuse(f"has a Loop of {turns} iterations in total; the limit is {MAX_TURNS}")
        carried = takes[2:]
        _, *gives = check("body", [Value("int64"), Value("bool"), *carried], turns) or [UNKNOWN]
        if any(a.dtype and b.dtype and a.dtype != b.dtype for a, b in zip(carried, gives, strict=False)):
            refuse(f"has a Loop, {describe(node)}, that returns values of different types than it takes")
        return gives

    def _turns(self, node: Fields, takes: Sequence[Value]) -> int:
        values = takes[0].constant
        if values is None or values.size != 1 or values.dtype.kind not in "iu":
            refuse(f"has a Loop, {describe(node)}, whose number of iterations is not constant")
        return max(int(values[0]), 1)

    def _check_sizes(self, node: Fields, takes: Sequence[Value]) -> None:
        """Refuse a node whose constants request more numbers than a graph could need."""
        operator = node["op_type"]
        if operator == "Range":
            numbers = [value.constant for value in takes]
            known = [float(n[0]) for n in numbers if n is not None and n.size == 1 and n.dtype.kind in "iuf"]
            if len(known) == 3:
                start, limit, delta = known
                if not all(map(math.isfinite, known)) or delta == 0 or (limit - start) / delta > MAX_ELEMENTS:
                    refuse(f"has a Range, {describe(node)}, of more than {MAX_ELEMENTS} numbers")
        elif operator in SIZED and len(takes) > SIZED[operator]:
            values = takes[SIZED[operator]].constant
            if values is not None and values.dtype.kind in "iu":
                self._reader.bound([abs(int(v)) for v in values], f"the output of {describe(node)}")


def _say(ports: Sequence[Stated]) -> str:
    said = ", ".join(f"{shown(name)} {dtype}[{', '.join(map(str, shape))}]" for name, dtype, shape in ports[:12])
    return shortened(said or "none", 160)
