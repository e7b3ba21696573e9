"""The rules for a graph of a bundle, held before ONNX Runtime sees the file. Weights are not loaded.

A graph passes if it is what the manifest says (opset, IR version, inputs, outputs); uses only the operators of
:mod:`zoo.scan.operators`; takes external data only from the bundle's own files, whole and inside them; ends (a ``Loop``
has a constant number of turns); and asks for no more memory, where it says so in constants, than a graph could need.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from zoo.errors import BundleError
from zoo.ports import Port
from zoo.scan import messages as m
from zoo.scan.operators import ALLOWED, SIZED, SIZING, SUBGRAPHS
from zoo.scan.wire import Budget, Malformed, decode, signed

OPSETS = range(17, 26)
IR_VERSIONS = range(8, 14)
MAX_GRAPH_BYTES = 64 << 20
MAX_NODES = 100_000
#: graphs inside graphs; a sampler in a Loop with an If in it has 2
MAX_DEPTH = 4
#: turns of a Loop, or of nested ones together; also the most rows of a step table
MAX_TURNS = 10_000
#: numbers in one tensor that a graph asks for in constants: 1 GB in float32
MAX_ELEMENTS = 1 << 28
#: enlargement by one attribute of a convolution or pooling
_MAX_SIZING = 1 << 16
_READ = 256  # a constant of at most so many numbers is looked at

#: ONNX's number of a type -> (name, bits). No strings, no complex numbers, no 8-bit floats.
_TYPES = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    16: ("bfloat16", 16),
    21: ("uint4", 4),
    22: ("int4", 4),
}
#: where numbers stand that are not raw: the field, and the types it serves
_FIELDS = {
    "float_data": {"float32"},
    "double_data": {"float64"},
    "int64_data": {"int64"},
    "uint64_data": {"uint32", "uint64"},
    "int32_data": {"int32", "int16", "int8", "uint16", "uint8", "bool", "float16", "bfloat16", "int4", "uint4"},
}
_UNUSED = {
    "training_info": "training graphs",
    "functions": "functions of its own",
    "configuration": "device configurations",
    "sparse_initializer": "sparse tensors",
    "quantization_annotation": "quantization annotations",
    "metadata_props": "metadata, which can tell of the machine that made it and change how ONNX Runtime loads it",
    "device_configurations": "device configurations",
    "overload": "overloads of functions",
    "tp": "types as attributes",
    "type_protos": "types as attributes",
    "ref_attr_name": "attributes of functions",
    "sparse_tensor": "sparse tensors",
    "sparse_tensors": "sparse tensors",
    "segment": "tensors in segments",
    "string_data": "texts",
}

Fields = dict[str, Any]
Constants = Mapping[str, Fields]


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
        opset: as the manifest states it, like the three that follow.
        ir_version: version of the file format.
        inputs: in order.
        outputs: in order.
        files: size of every file of the bundle that has been checked, by name.

    Raises:
        BundleError: with the rule that is broken.
    """
    if len(data) > MAX_GRAPH_BYTES:
        raise BundleError(f"{file} has {len(data)} bytes; a graph has at most {MAX_GRAPH_BYTES}, weights stand outside")
    try:
        _Scan(files).model(memoryview(data), opset, ir_version, inputs, outputs)
    except Malformed as error:
        raise BundleError(f"the graph {file} {error}") from None


class _Scan:
    def __init__(self, files: Mapping[str, int]) -> None:
        self._files = files
        self._budget = Budget()
        self._nodes = 0

    def _decode(self, data: memoryview, fields: m.Message) -> Fields:
        found = decode(data, fields, self._budget)
        for name in found.keys() & _UNUSED.keys():
            if found[name]:  # an empty overload says nothing
                _refuse(f"holds {_UNUSED[name]}")
        return found

    # -- the model -----------------------------------------------------------------------------------------------------

    def model(
        self, data: memoryview, opset: int, ir_version: int, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
    ) -> None:
        model = self._decode(data, m.MODEL)
        if (found := model.get("ir_version")) != ir_version or ir_version not in IR_VERSIONS:
            _refuse(
                f"is of IR version {found}, the manifest says {ir_version}; "
                f"{IR_VERSIONS[0]} to {IR_VERSIONS[-1]} are read"
            )
        imports = [self._decode(each, m.OPSET) for each in model.get("opset_import", ())]
        for each in imports:
            if each.get("domain", "") not in ("", "ai.onnx"):
                _refuse(f"uses operators of the domain {each['domain']!r}, which is not ONNX's own")
        versions = [each.get("version") for each in imports]
        if versions != [opset] or opset not in OPSETS:
            said = " and ".join(map(str, versions)) or "none"
            _refuse(f"is of opset {said}, the manifest says {opset}; {OPSETS[0]} to {OPSETS[-1]} are read")
        if "graph" not in model:
            _refuse("holds no graph")
        graph = self._decode(model["graph"], m.GRAPH)
        self._check_ports("inputs", graph.get("input", ()), inputs)
        self._check_ports("outputs", graph.get("output", ()), outputs)
        self._graph(graph, depth=0, outer={}, taken=frozenset(), turns=1)

    def _check_ports(self, what: str, values: Any, stated: tuple[Port, ...]) -> None:
        found = [self._port(each) for each in values]
        wanted = [(p.name, p.dtype, p.shape) for p in stated]
        if found != wanted:
            _refuse(f"has the {what} {_say(found)}, the manifest says {_say(wanted)}")

    def _port(self, data: memoryview) -> tuple[str, str, tuple[int | str, ...]]:
        """Name, dtype and sizes of an input or output; sizes that are not stated are ``"?"``."""
        value = self._decode(data, m.VALUE)
        name = value.get("name", "")
        kind = self._decode(value["type"], m.TYPE) if "type" in value else {}
        if not kind:
            return name, "?", ()
        if "tensor_type" not in kind:
            _refuse(f"has {name!r}, which is no tensor")
        tensor = self._decode(kind["tensor_type"], m.TENSOR_TYPE)
        dtype = self._type(tensor.get("elem_type", 0), name)[0]
        sizes: list[int | str] = []
        for each in self._decode(tensor["shape"], m.SHAPE).get("dim", ()) if "shape" in tensor else ():
            dim = self._decode(each, m.DIMENSION)
            if "dim_value" in dim and "dim_param" in dim:
                _refuse(f"has a size of {name!r} that is a number and a name at once")
            sizes.append(signed(dim["dim_value"]) if "dim_value" in dim else dim.get("dim_param") or "?")
        self._bound([s for s in sizes if isinstance(s, int)], f"{name!r}")
        return name, dtype, tuple(sizes)

    # -- graphs and nodes ----------------------------------------------------------------------------------------------

    def _graph(self, graph: Fields, depth: int, outer: Constants, taken: frozenset[str], turns: int) -> None:
        """Check a graph whose inputs are those of ``graph``; ``taken`` are the names of the graphs around it."""
        if depth > MAX_DEPTH:
            _refuse(f"has graphs inside graphs, more than {MAX_DEPTH} deep")
        own: set[str] = set()

        def define(name: str) -> None:
            # a name that stands for two values stands for another one here than in ONNX Runtime
            if name in own or name in taken:
                _refuse(f"defines {name!r} twice")
            own.add(name)

        for each in graph.get("input", ()):
            define(self._port(each)[0])
        for each in (*graph.get("output", ()), *graph.get("value_info", ())):
            self._port(each)
        constants = dict(outer)
        for each in graph.get("initializer", ()):
            tensor = self._tensor(each, initializer=True)
            define(tensor.get("name", ""))
            constants[tensor.get("name", "")] = tensor
        nodes = []
        for each in graph.get("node", ()):
            self._nodes += 1
            if self._nodes > MAX_NODES:
                _refuse(f"has more than {MAX_NODES} nodes")
            node = self._decode(each, m.NODE)
            for output in node.get("output", ()):
                if output:  # an optional output that is not wanted has no name
                    define(output)
            attributes = dict(self._attributes(node))
            if (known := _constant(node, attributes, constants)) is not None:
                constants[node["output"][0]] = known
            nodes.append((node, attributes))
        names = taken | own
        for node, attributes in nodes:
            self._node(node, attributes, depth, constants, names, turns)

    def _attributes(self, node: Fields) -> Iterator[tuple[str, Fields]]:
        """Name and fields of each attribute; the tensors in them are decoded, the graphs are not."""
        seen = set()
        for each in node.get("attribute", ()):
            attribute = self._decode(each, m.ATTRIBUTE)
            name = attribute.get("name", "")
            if name in seen:
                _refuse(f"has a node {_name(node)} with two attributes {name!r}")
            seen.add(name)
            if "t" in attribute:
                attribute["t"] = self._tensor(attribute["t"], initializer=False)
            for tensor in attribute.get("tensors", ()):
                self._tensor(tensor, initializer=False)
            yield name, attribute

    def _node(
        self,
        node: Fields,
        attributes: Mapping[str, Fields],
        depth: int,
        constants: Constants,
        names: frozenset[str] | set[str],
        turns: int,
    ) -> None:
        operator = node.get("op_type", "")
        if (domain := node.get("domain", "")) not in ("", "ai.onnx"):
            _refuse(f"uses the operator {domain}.{operator}, which is not ONNX's own")
        if operator not in ALLOWED:
            _refuse(f"uses the operator {operator!r}, which bundles may not")
        for name, attribute in attributes.items():
            if "graphs" in attribute or ("g" in attribute and name not in SUBGRAPHS.get(operator, ())):
                _refuse(f"has a graph in attribute {name!r} of {_name(node)}")
            if name in SIZING and any(
                abs(v) > _MAX_SIZING for v in (*attribute.get("ints", ()), signed(attribute.get("i", 0)))
            ):
                _refuse(f"has a node {_name(node)} whose {name} would enlarge it beyond bounds")
        self._check_size(node, operator, constants)
        if operator == "Loop":
            turns *= self._turns(node, constants)
            if turns > MAX_TURNS:
                _refuse(f"has a Loop of {turns} turns, all told; at most {MAX_TURNS} are run")
        for name in SUBGRAPHS.get(operator, ()):
            if "g" in attributes.get(name, {}):
                inner = self._decode(attributes[name]["g"], m.GRAPH)
                self._graph(inner, depth + 1, constants, frozenset(names), turns)

    def _turns(self, node: Fields, constants: Constants) -> int:
        name = (node.get("input") or [""])[0]
        values = _values(constants.get(name)) if name else None
        if values is None or values.size != 1 or values.dtype.kind not in "iu":
            _refuse(f"has a Loop, {_name(node)}, whose number of turns is no constant")
        return max(int(values.ravel()[0]), 1)

    def _check_size(self, node: Fields, operator: str, constants: Constants) -> None:
        given = node.get("input", [])
        if operator == "Range":
            start, limit, delta = (_values(constants.get(n)) for n in given) if len(given) == 3 else (None,) * 3
            if (
                start is not None
                and limit is not None
                and delta is not None
                and start.size == limit.size == delta.size == 1
            ):
                a, b, d = (float(v.ravel()[0]) for v in (start, limit, delta))
                if not all(map(math.isfinite, (a, b, d))) or d == 0 or (b - a) / d > MAX_ELEMENTS:
                    _refuse(f"has a Range, {_name(node)}, of more than {MAX_ELEMENTS} numbers")
        elif operator in SIZED and len(given) > SIZED[operator]:
            values = _values(constants.get(given[SIZED[operator]]))
            if values is not None and values.dtype.kind in "iu":
                self._bound([abs(int(v)) for v in values.ravel()], f"what {_name(node)} gives")

    # -- tensors -------------------------------------------------------------------------------------------------------

    def _tensor(self, data: memoryview, *, initializer: bool) -> Fields:
        """Check that a tensor's numbers are as many as it says, and where they may be."""
        tensor = self._decode(data, m.TENSOR)
        name = repr(tensor.get("name", ""))
        dtype, bits = self._type(tensor.get("data_type", 0), name)
        dims = tensor.get("dims", [])
        if any(d < 0 for d in dims) or (count := math.prod(dims)) >= 1 << 48:
            _refuse(f"has a tensor {name} of shape {dims}")
        size = -(-count * bits // 8)
        external = tensor.get("data_location", 0)
        inline = [field for field in (*_FIELDS, "raw_data") if field in tensor]
        if external not in (0, 1) or (external == 0 and "external_data" in tensor):
            _refuse(f"has a tensor {name} whose data is neither inside nor outside")
        if external:
            if not initializer or inline:
                _refuse(f"has a tensor {name} whose data may not stand outside")
            self._check_external(name, tensor.get("external_data", ()), size)
            return tensor
        if len(inline) > 1:
            _refuse(f"has a tensor {name} with data in {' and '.join(inline)}")
        if inline == ["raw_data"]:
            have, want = len(tensor["raw_data"]), size
        elif inline:
            if dtype not in _FIELDS[inline[0]]:
                _refuse(f"has a tensor {name} of {dtype} with data in {inline[0]}")
            width = {"float_data": 4, "double_data": 8}.get(inline[0])
            values = tensor[inline[0]]
            have = sum(map(len, values)) // width if width else len(values)
            want = -(-count // 2) if bits == 4 else count
        else:
            have, want = 0, size
        if have != want:
            _refuse(f"has a tensor {name} of {dtype}{dims} with {have} bytes or numbers of data, not {want}")
        return tensor

    def _check_external(self, name: str, entries: Any, size: int) -> None:
        found: dict[str, str] = {}
        for each in entries:
            entry = self._decode(each, m.ENTRY)
            key = entry.get("key", "")
            if key in found or key not in ("location", "offset", "length"):
                _refuse(f"has a tensor {name} with a key {key!r} of external data, twice or unknown")
            found[key] = entry.get("value", "")
        if found.keys() != {"location", "offset", "length"}:
            _refuse(f"has a tensor {name} whose external data lacks location, offset or length")
        location = found["location"]
        if location not in self._files or not location.endswith(".safetensors"):
            _refuse(f"takes tensor {name} from {location!r}, which is no weights file of the bundle")
        offset, length = (_whole(found[key]) for key in ("offset", "length"))
        if offset is None or length is None or offset + length > self._files[location]:
            _refuse(
                f"takes tensor {name} from bytes {found['offset']!r} + {found['length']!r} of {location}, "
                f"which has {self._files[location]}"
            )
        if length != size:
            _refuse(f"takes {length} bytes for tensor {name}, which has {size}")

    def _type(self, number: int, name: str) -> tuple[str, int]:
        if number not in _TYPES:
            _refuse(f"has {name} of ONNX type {number}, which bundles do not use")
        return _TYPES[number]

    def _bound(self, sizes: list[int], what: str) -> None:
        if any(s < 0 for s in sizes) or math.prod(max(s, 1) for s in sizes) > MAX_ELEMENTS:
            _refuse(f"has sizes {sizes} for {what}, more than {MAX_ELEMENTS} numbers")


def _constant(node: Fields, attributes: Mapping[str, Fields], known: Constants) -> Fields | None:
    """The tensor that a node gives whatever goes in, if it is plain to see."""
    operator, given, gives = node.get("op_type"), node.get("input", ()), node.get("output", ())
    if len(gives) != 1 or operator not in ("Constant", "Identity"):
        return None
    if operator == "Identity":
        return known.get(given[0]) if given else None
    if (tensor := attributes.get("value", {}).get("t")) is not None:
        return dict(tensor)
    whole = attributes.get("value_ints", {}).get("ints")
    if (one := attributes.get("value_int", {}).get("i")) is not None:
        whole = [signed(one)]
    return None if whole is None else {"data_type": 7, "dims": [len(whole)], "int64_data": whole}


def _values(tensor: Fields | None) -> NDArray[Any] | None:
    """The numbers of a small constant; None for what is no constant, large or of a rare type."""
    if tensor is None or tensor.get("data_location", 0):
        return None
    dtype = _TYPES[tensor["data_type"]][0]
    if dtype not in ("int32", "int64", "float32", "float64") or math.prod(tensor.get("dims", [])) > _READ:
        return None
    little = np.dtype(dtype).newbyteorder("<")
    if "raw_data" in tensor:
        return np.frombuffer(tensor["raw_data"], little)
    for field in ("float_data", "double_data"):
        if field in tensor:
            return np.frombuffer(b"".join(tensor[field]), little)
    numbers = tensor.get("int64_data") or tensor.get("int32_data") or []
    if any(not -(1 << 63) <= v < 1 << 63 for v in numbers):
        return None
    return np.array(numbers, np.int64)


def _whole(digits: str) -> int | None:
    """A number that is written in one way only, below 2⁶³."""
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18 or (digits[0] == "0" and digits != "0"):
        return None
    return int(digits)


def _say(ports: list[tuple[str, str, tuple[int | str, ...]]]) -> str:
    shown = ", ".join(f"{name} {dtype}[{', '.join(map(str, shape))}]" for name, dtype, shape in ports[:12])
    return shown or "none"


def _name(node: Fields) -> str:
    return f"{node.get('op_type', '')} {node.get('name', '')!r}".strip()


def _refuse(what: str) -> NoReturn:
    raise Malformed(what)
