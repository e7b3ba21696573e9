"""Bundles from strangers: each attack is one change to a good bundle, its lesson in a line, refused in a sentence."""

from __future__ import annotations

import os
import resource
import time

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from zoo.bundle import open_bundle  # noqa: E402
from zoo.errors import ZooError  # noqa: E402
from zoo.runtime import contract  # noqa: E402

SECONDS, MEGABYTES = 5, 300


def _noise(name, distribution):
    return {"name": name, "distribution": distribution}


def field(path, value):
    """Set one field of the manifest; the last part of the path may be new."""

    def change(values):
        *way, last = path.split(".")
        for part in way:
            values = values[int(part) if part.isdigit() else part]
        values[int(last) if last.isdigit() else last] = value

    return lambda v: v.manifest(change)


def later(path, value):
    """Set one field of a manifest of version 2, which first had it."""

    def change(victim):
        field("format.version", 2)(victim)
        field(path, value)(victim)

    return change


def text(old, new):
    return lambda v: (v / "manifest.json").write_text((v / "manifest.json").read_text().replace(old, new, 1))


def external(key, value):
    """Change where the graph says that its weights stand."""

    def change(model):
        (tensor,) = (t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL)
        found = [e for e in tensor.external_data if e.key == key]
        if found:
            found[0].value = value
        else:
            tensor.external_data.add(key=key, value=value)

    return lambda v: v.graph(change)


def node(op, inputs=("z",), domain="", outputs=("extra",), **attributes):
    """Add a node to the graph."""
    made = helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes)
    return lambda v: v.graph(lambda model: model.graph.node.append(made))


def sized(op, values, dtype=np.int64, before=("z",)):
    """Add a node that is told by a constant how large its output is."""

    def change(model):
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), "size"))
        model.graph.node.append(helper.make_node(op, [*before, "size"], ["extra"]))

    return lambda v: v.graph(change)


def body(nodes=(), name="body"):
    """The graph inside a Loop, which hands on the one value that it is given."""
    inputs = [
        helper.make_tensor_value_info(f"{name}_i", TensorProto.INT64, []),
        helper.make_tensor_value_info(f"{name}_c", TensorProto.BOOL, []),
        helper.make_tensor_value_info(f"{name}_x", TensorProto.FLOAT, None),
    ]
    outputs = [
        helper.make_tensor_value_info(f"{name}_o", TensorProto.BOOL, []),
        helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None),
    ]
    handed = [helper.make_node("Identity", [f"{name}_{a}"], [f"{name}_{b}"]) for a, b in ("co", "xy")]
    return helper.make_graph([*handed, *nodes], name, inputs, outputs)


def loop(turns, inner=None):
    """Add a Loop; ``turns`` is a number, or the name of a value, or empty for while."""

    def change(model):
        name = turns
        if isinstance(turns, int):
            name = "turns"
            model.graph.initializer.append(numpy_helper.from_array(np.array(turns, np.int64), name))
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go"))
        inside = body() if inner is None else inner()
        model.graph.node.append(helper.make_node("Loop", [name, "go", "z"], ["extra"], body=inside))

    return lambda v: v.graph(change)


def nested(depth, turns="turns"):
    graph = body(name=f"b{depth}")
    for level in reversed(range(depth)):
        inside = helper.make_node("Loop", [turns, "go", "z"], [f"extra{level}"], body=graph)
        graph = body([inside], name=f"b{level}")
    return graph


def proto(change):
    return lambda v: v.graph(change)


def tensor(change):
    """Change the initializer that stands inside the graph."""
    return proto(lambda m: change(next(t for t in m.graph.initializer if t.name == "mean")))


def header(change):
    return lambda v: v.header(change)


def unsealed(name, change):
    """Change a file without telling the manifest."""
    return lambda v: (v / name).write_bytes(change((v / name).read_bytes()))


def replaced(name, make):
    def change(v):
        (v / name).unlink()
        make(v / name)

    return change


def grow(name, size):
    def change(v):
        with (v / name).open("r+b") as file:
            file.truncate(size)  # a sparse file: large for whoever reads it, nothing on the disk
        v.manifest(lambda values: values["files"][name].update(size=size))

    return change


def entry(name, **fields):
    return header(lambda h: h[name].update(fields))


def constant(name, values, dtype=np.int64):
    return numpy_helper.from_array(np.array(values, dtype), name)


def divided(divisor, *before, op="Div", tensors=(), inside=False):
    """Divide 64-bit zeros, made of the input, by a value that the nodes before make, of constants or of the input."""

    def change(model):
        whole = helper.make_node("Cast", ["z"], ["whole"], to=TensorProto.INT64)
        division = helper.make_node(op, ["whole", divisor], ["quotient"])
        model.graph.initializer.extend(tensors)
        if not inside:
            model.graph.node.extend([whole, *before, division])
            return
        branch = [helper.make_graph([division], "b", [], [helper.make_empty_tensor_value_info("quotient")])]
        other = helper.make_node("Identity", ["whole"], ["other"])
        branch.append(helper.make_graph([other], "c", [], [helper.make_empty_tensor_value_info("other")]))
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "which"))
        chosen = helper.make_node("If", ["which"], ["extra"], then_branch=branch[0], else_branch=branch[1])
        model.graph.node.extend([whole, *before, chosen])

    return proto(change)


def attribute(op, change, *, tensors=(), **attributes):
    """Add a node without inputs, one attribute of which is then changed."""

    def add(model):
        made = helper.make_node(op, [t.name for t in tensors], ["extra"], **attributes)
        change(made.attribute)
        model.graph.initializer.extend(tensors)
        model.graph.node.append(made)

    return proto(add)


def also(**fields):
    """Let the first attribute hold a second value."""

    def change(attributes):
        for name, value in fields.items():
            if isinstance(value, onnx.TensorProto):
                getattr(attributes[0], name).CopyFrom(value)
            elif isinstance(value, list):
                getattr(attributes[0], name).extend(value)
            else:
                setattr(attributes[0], name, value)

    return change


def another(name, value):
    return lambda attributes: attributes.append(helper.make_attribute(name, value))


def long_dims(count, size):
    """A tensor of very many sizes, each very large, packed."""

    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    dims = varint(size) * count
    tensor = b"\x0a" + varint(len(dims)) + dims + b"\x10\x01\x42\x01t"
    graph = b"\x2a" + varint(len(tensor)) + tensor

    def change(data):
        model = onnx.load_from_string(data)
        inner = model.graph.SerializeToString() + graph
        model.ClearField("graph")
        return model.SerializeToString() + b"\x3a" + varint(len(inner)) + inner

    return lambda v: v.bytes(change)


def range_to(limit):
    def change(model):
        ends = enumerate((0, limit, 1))
        model.graph.initializer.extend(numpy_helper.from_array(np.array(n, np.int64), f"r{i}") for i, n in ends)
        model.graph.node.append(helper.make_node("Range", ["r0", "r1", "r2"], ["extra"]))

    return proto(change)


GRAPH = "graphs.inverse"
INFO = '{"size": 1, "sha256": "' + "0" * 64 + '"}'
ATTACKS = [
    # -- the folder
    ("a file that nobody listed is not carried along", "does not list", lambda v: (v / "extra.so").write_bytes(b"x")),
    ("a hidden file neither", "does not list", lambda v: (v / ".hidden").write_bytes(b"x")),
    ("nor a folder", "does not list", lambda v: (v / "more").mkdir()),
    ("a file that is listed is there", "is missing", lambda v: (v / "golden.safetensors").unlink()),
    ("a changed byte changes the digest", "altered", unsealed("inverse.onnx", lambda b: b[:-1] + bytes([b[-1] ^ 1]))),
    ("a missing byte changes the size", "bytes, expected", unsealed("inverse.onnx", lambda b: b[:-1])),
    ("a link leads anywhere", "is a link", replaced("inverse.onnx", lambda p: p.symlink_to("/dev/zero"))),
    ("a manifest that is a link, too", "is a link", replaced("manifest.json", lambda p: p.symlink_to("/dev/zero"))),
    ("a pipe makes readers wait for ever", "pipe or device", replaced("inverse.onnx", os.mkfifo)),
    ("a manifest that is a pipe, too", "pipe or device", replaced("manifest.json", os.mkfifo)),
    ("a folder is no file", "is a folder", replaced("inverse.onnx", os.mkdir)),
    ("a graph of gigabytes is not read", "at most", grow("inverse.onnx", 8 << 30)),
    ("golden values of gigabytes are not read", "at most", grow("golden.safetensors", 8 << 30)),
    (
        "a manifest of gigabytes is not read",
        "too large for a manifest",
        lambda v: os.truncate(v / "manifest.json", 8 << 30),
    ),
    # -- names
    ("a file name cannot climb", "plain file", text('"golden.safetensors": {', '"../golden.safetensors": {')),
    ("or start at the root", "plain file", text('"golden.safetensors": {', '"/etc/passwd": {')),
    ("or use the other slash", "plain file", text('"golden.safetensors": {', '"a\\\\b": {')),
    ("or hide", "plain file", text('"golden.safetensors": {', '".golden": {')),
    ("or be a device on Windows", "plain file", text('"golden.safetensors": {', '"nul.bin": {')),
    ("or end in a line break", "plain file", text('"golden.safetensors": {', '"golden\\n": {')),
    (
        "two names that one system takes for one",
        "same file on some",
        text('"files": {', f'"files": {{"INVERSE.onnx": {INFO},'),
    ),
    ("a graph's file is listed", "not listed", field(f"{GRAPH}.file", "other.onnx")),
    ("a graph's file cannot climb", "plain file", field(f"{GRAPH}.file", "../inverse.onnx")),
    ("two graphs in one file", "are both in", field(f"{GRAPH}.file", "log_prob.onnx")),
    # -- the manifest
    (
        "a key that stands twice is read in two ways",
        "appears twice",
        text('"levels": null', '"levels": null, "levels": 4'),
    ),
    ("NaN is not JSON", "not JSON", text('"levels": null', '"levels": NaN')),
    ("a number beyond all floats is infinite", "too large", text('"levels": null', '"levels": 1e999')),
    ("nesting exhausts the stack", "not a manifest", text('"levels": null', '"levels": ' + "[" * 100_000)),
    ("escape sequences reach terminals", "control character", field("model.name", "\x1b[2J")),
    ("half a character cannot be written", "control character", text('"good"', '"\\ud800"')),
    ("a name is no path", "without slashes", field("model.name", "../../x")),
    ("an unknown field is an unknown meaning", "there is no field", field("plugin", "os:system")),
    ("a number is no text", "expected a list, not", field("event_shape", "2")),
    ("true is no number", "expected a whole number, not", field("event_shape", [True])),
    ("a sample of petabytes is not drawn", "at most", field("event_shape", [1 << 40])),
    ("a sample of many small sizes neither", "more than", field("event_shape", [1 << 20, 1 << 20])),
    ("a program that this version cannot run", "kind", field("programs.sample.kind", "exec")),
    ("a program over a graph that is not there", "missing graph", field("programs.sample.graph", "other")),
    ("a newer format may mean anything", "bundle format 3", field("format.version", 3)),
    ("a digest is 64 digits", "hexadecimal", text('"sha256": "', '"sha256": "0x')),
    ("an expression is no size", "name of a size", field(f"{GRAPH}.inputs.0.shape", ["__import__('os')", 2])),
    # -- the protobuf
    ("an empty file is no graph", "IR version None", lambda v: v.bytes(lambda b: b"")),
    ("a truncated file is told as such", "cut off", lambda v: v.bytes(lambda b: b[:-3])),
    ("a varint has ten bytes at most", "64 bits", lambda v: v.bytes(lambda b: b"\xff" * 40)),
    ("a length beyond the end", "cut off", lambda v: v.bytes(lambda b: b + b"\x3a\xff\xff\xff\xff\x0f")),
    ("a second graph would be merged with the first", "second value", lambda v: v.bytes(lambda b: b + b"\x3a\x00")),
    ("a field nobody knows", "does not have", lambda v: v.bytes(lambda b: b + b"\xf8\x06\x01")),
    ("a group is not used in ONNX", "wire type 3", lambda v: v.bytes(lambda b: b + b"\x3b")),
    ("a field of the wrong type is unknown to others", "a varint where", lambda v: v.bytes(lambda b: b + b"\x38\x01")),
    # -- external data
    ("external data cannot climb", "not a weights file", external("location", "../weights.safetensors")),
    ("or start at the root", "not a weights file", external("location", "/etc/passwd")),
    ("or be a device", "not a weights file", external("location", "/dev/zero")),
    ("or be the runtime's own memory", "not a weights file", external("location", "*/_ORT_MEM_ADDR_/*")),
    ("or be a file that is no weights file", "not a weights file", external("location", "manifest.json")),
    ("external data begins in the file", "from bytes", external("offset", "-8")),
    ("and ends in it", "from bytes", external("offset", "4096")),
    ("offsets do not wrap around", "from bytes", external("offset", str(2**64 - 8))),
    ("offsets are numbers", "from bytes", external("offset", "0x10")),
    ("its length is that of the tensor", "which has 16", external("length", "8")),
    ("a petabyte of length", "from bytes", external("length", str(10**15))),
    ("a key nobody knows", "key 'checksum'", external("checksum", "x")),
    # -- operators
    ("random numbers differ everywhere", "RandomNormalLike", node("RandomNormalLike")),
    ("a custom domain is somebody's code", "not ONNX's own", node("Evil", domain="evil")),
    ("so is a runtime's own", "not ONNX's own", node("EPContext", domain="com.microsoft")),
    ("and Python's", "not ONNX's own", node("PythonOp", domain="com.microsoft")),
    ("an image parser is no network", "ImageDecoder", node("ImageDecoder")),
    ("a training operator draws numbers", "Dropout", node("Dropout")),
    (
        "an import of another domain",
        "domain 'evil'",
        proto(lambda m: m.opset_import.append(helper.make_opsetid("evil", 1))),
    ),
    ("an opset of the far future", "opset 99", proto(lambda m: setattr(m.opset_import[0], "version", 99))),
    ("an IR version that the manifest denies", "IR version 11", proto(lambda m: setattr(m, "ir_version", 11))),
    ("functions hide operators", "functions", proto(lambda m: m.functions.add(name="f", domain="f"))),
    (
        "metadata tells of machines and sets options",
        "metadata",
        proto(lambda m: m.metadata_props.add(key="ort_config", value="{}")),
    ),
    (
        "a node's metadata holds source code",
        "metadata",
        proto(lambda m: m.graph.node[0].metadata_props.add(key="k", value="v")),
    ),
    ("a graph as an attribute of an operator without graphs", "has a graph in", node("Relu", body=body())),
    # -- what never ends, and what never fits
    ("a while loop need not end", "not constant", loop("")),
    ("turns that data decide", "not constant", loop("z")),
    ("a loop of 2^62 turns", "iterations", loop(2**62)),
    ("loops in loops multiply", "iterations", loop(1000, lambda: nested(2))),
    ("graphs in graphs exhaust the stack", "deep", loop(1, lambda: nested(6))),
    ("a constant of 2^44 numbers", "more than", sized("ConstantOfShape", [2**22, 2**22], before=())),
    ("an expansion to as many", "more than", sized("Expand", [2**44, 2])),
    ("tiles", "more than", sized("Tile", [2**44, 2])),
    ("padding", "more than", sized("Pad", [0, 2**44, 0, 0])),
    ("a range without end", "Range", range_to(2**60)),
    ("a convolution that pads", "enlarge", node("Conv", ("z", "factor"), pads=[2**40, 0])),
    ("a tensor with more data than it says", "12 bytes", tensor(lambda t: setattr(t, "raw_data", b"\0" * 12))),
    ("a tensor of petabytes", "of data, not", tensor(lambda t: t.dims.__setitem__(0, 1 << 46))),
    ("a tensor of negative size", "of shape", tensor(lambda t: t.dims.__setitem__(0, -1))),
    ("a tensor of texts", "type 8", tensor(lambda t: setattr(t, "data_type", 8))),
    ("a tensor with data twice", "data in", tensor(lambda t: t.float_data.extend([1, 2]))),
    ("a name that stands for two values", "twice", proto(lambda m: m.graph.initializer.append(m.graph.initializer[1]))),
    ("an initializer that inputs override", "twice", proto(lambda m: setattr(m.graph.initializer[1], "name", "z"))),
    ("inputs are those of the manifest", "the manifest says", proto(lambda m: setattr(m.graph.input[0], "name", "y"))),
    ("and so are their sizes", "the manifest says", field(f"{GRAPH}.inputs.0.shape", ["batch", 3])),
    # -- what stops the processor, and the process with it
    ("a division by 0", "divides integers", divided("d", tensors=[constant("d", 0)])),
    ("a division of the least number by -1", "divides integers", divided("d", tensors=[constant("d", -1)])),
    ("a remainder by 0", "divides integers", divided("d", op="Mod", tensors=[constant("d", [2, 0])])),
    (
        "by a constant that is cast to 0",
        "divides integers",
        divided(
            "d", helper.make_node("Cast", ["c"], ["d"], to=TensorProto.INT64), tensors=[constant("c", 0, np.int32)]
        ),
    ),
    (
        "by a float that is cast to 0",
        "divides integers",
        divided(
            "d", helper.make_node("Cast", ["c"], ["d"], to=TensorProto.INT64), tensors=[constant("c", 0.5, np.float32)]
        ),
    ),
    (
        "by a constant of another shape",
        "divides integers",
        divided(
            "d", helper.make_node("Reshape", ["c", "s"], ["d"]), tensors=[constant("c", [0]), constant("s", [1, 1])]
        ),
    ),
    (
        "by a choice among constants",
        "divides integers",
        divided(
            "d",
            helper.make_node("Where", ["w", "c", "c"], ["d"]),
            tensors=[constant("c", [0]), numpy_helper.from_array(np.array([True]), "w")],
        ),
    ),
    (
        "by sums of constants",
        "divides integers",
        divided("d", helper.make_node("Sub", ["c", "c"], ["d"]), tensors=[constant("c", [7])]),
    ),
    (
        "by a node that is a constant",
        "divides integers",
        divided("d", helper.make_node("Constant", [], ["d"], value_int=0)),
    ),
    (
        "by the size of nothing",
        "divides integers",
        divided("d", helper.make_node("Shape", ["none"], ["d"]), tensors=[constant("none", np.zeros((0, 1)))]),
    ),
    ("by what goes in", "divides integers", divided("whole")),
    (
        "by a maximum with 0",
        "divides integers",
        divided("d", helper.make_node("Max", ["whole", "c"], ["d"]), tensors=[constant("c", [0])]),
    ),
    (
        "by a maximum with numbers one of which is 0",
        "divides integers",
        divided("d", helper.make_node("Max", ["whole", "c"], ["d"]), tensors=[constant("c", [1, 0])]),
    ),
    (
        "by a maximum minus as much",
        "divides integers",
        divided(
            "d",
            helper.make_node("Max", ["whole", "c"], ["m"]),
            helper.make_node("Sub", ["m", "m"], ["d"]),
            tensors=[constant("c", [1])],
        ),
    ),
    ("in a branch", "divides integers", divided("d", tensors=[constant("d", 0)], inside=True)),
    (
        "by a default of ConstantOfShape",
        "divides integers",
        divided(
            "d",
            helper.make_node("ConstantOfShape", ["s"], ["d"], value=constant("", [0])),
            tensors=[constant("s", [1])],
        ),
    ),
    (
        "a count below 0 is read as a very large one",
        "batch_dims is below 0",
        proto(
            lambda m: (
                m.graph.initializer.append(constant("at", [[0]])),
                m.graph.node.append(helper.make_node("GatherND", ["z", "at"], ["extra"], batch_dims=-2)),
            )
        ),
    ),
    (
        "more outputs than are made",
        "a different number of parts",
        node("Split", outputs=("p", "q", "r"), num_outputs=1),
    ),
    # -- what two readers could read in two ways
    (
        "a tensor beside an integer",
        "is of type 2 and holds i, t",
        attribute("Constant", also(t=constant("", 3)), value_int=1 << 40),
    ),
    (
        "a type that is not the operator's",
        "where its operator has 4 and t",
        attribute("Constant", also(type=2, i=1 << 40), value=constant("", 3)),
    ),
    (
        "one constant with two values",
        "2 values",
        attribute("Constant", another("value", constant("", 3)), value_int=1 << 40),
    ),
    ("and as many of one kind", "2 values", attribute("Constant", another("value_int", 3), value_ints=[1 << 40])),
    ("an attribute twice", "two attributes", attribute("Constant", another("value_int", 3), value_int=4)),
    ("none at all", "0 values", attribute("Constant", lambda attributes: attributes.pop(), value_int=4)),
    (
        "sizes made in two ways",
        "holds i, t",
        attribute("ConstantOfShape", also(i=3), tensors=[constant("s", [1])], value=constant("", [3])),
    ),
    ("numbers beside one number", "holds i, ints", attribute("Constant", also(ints=[1, 2]), value_int=1)),
    (
        "an attribute without a value",
        "holds nothing",
        attribute("Constant", lambda attributes: attributes[0].ClearField("i"), value_int=1),
    ),
    ("an attribute that its operator has not", "does not know", node("Relu", alpha=1.0)),
    ("one that the operator lacks", "without the attribute to", node("Cast")),
    ("an operator that a size of 0 makes stop", "'STFT'", node("STFT", ("z", "factor", "factor"))),
    ("an operator of a later opset", "opset 18 does not have", node("Gelu")),
    ("too many inputs", "3 inputs", node("Relu", ("z", "z", "z"))),
    ("an input that is left out", "needs", node("Add", ("", "z"))),
    ("a value used before it is made", "not computed before", node("Relu", ("extra",))),
    ("a value that nobody makes", "not computed before", node("Relu", ("ghost",))),
    (
        "a number that its type cannot hold",
        "cannot hold",
        proto(
            lambda m: m.graph.initializer.append(
                onnx.TensorProto(name="n", data_type=TensorProto.UINT8, dims=[1], int32_data=[256])
            )
        ),
    ),
    (
        "a number with more bytes than it takes",
        "more bytes than needed",
        lambda v: v.bytes(lambda b: b"\x08\x88\x00" + b[2:]),
    ),
    (
        "control characters in a name",
        "control character",
        proto(lambda m: setattr(m.graph.node[0], "name", "\x1b]0;owned\x07")),
    ),
    (
        "letters in another order than they have",
        "control character",
        proto(lambda m: setattr(m.graph.node[0], "name", "\u202egnp.exe")),
    ),
    ("words that no operator knows", "not a valid word", node("Resize", ("z", "", "", "z"), mode="\x1b[2J")),
    ("very many sizes, each very large", "more than 16 numbers", long_dims(10**6, 1 << 40)),
    ("a name of pages", "bytes", proto(lambda m: setattr(m.graph.node[0], "name", "x" * 100_000))),
    # -- safetensors
    (
        "a header of exabytes",
        "claims a header",
        lambda v: v.bytes(lambda b: b"\xff" * 8 + b[8:], "weights.safetensors"),
    ),
    ("a file too short for a header", "too short", lambda v: v.bytes(lambda b: b"abc", "weights.safetensors")),
    ("a header that is not JSON", "not JSON", header(lambda h: "{nope")),
    (
        "a pickle is no weights file",
        "header",
        lambda v: v.bytes(lambda b: b"\x80\x04\x95" + b"\0" * 40, "weights.safetensors"),
    ),
    ("a tensor beyond the end", "bytes, F32", entry("factor", data_offsets=[0, 1 << 40])),
    (
        "a tensor that begins in another",
        "overlaps",
        header(lambda h: h.update(other={"dtype": "F32", "shape": [2], "data_offsets": [0, 8]})),
    ),
    ("a hole between tensors", "gap", entry("factor", shape=[1, 2], data_offsets=[8, 16])),
    (
        "bytes after the last tensor",
        "tensors end at",
        lambda v: v.bytes(lambda b: b + b"hidden", "weights.safetensors"),
    ),
    ("a shape that is not its bytes", "takes", entry("factor", shape=[1 << 30, 1 << 30])),
    ("a dtype nobody knows", "dtype", entry("factor", dtype="PICKLE")),
    ("a negative size", "shape", entry("factor", shape=[-2, -2])),
    (
        "weights that are not numbers",
        "not finite",
        lambda v: v.bytes(lambda b: b[:-4] + np.float32(np.nan).tobytes(), "weights.safetensors"),
    ),
    # -- what fits, and makes no sense
    ("samples of another shape than the graph's", "shape", field("event_shape", [3])),
    ("a sampler without noise", "no input for the noise", field("programs.sample.noise", None)),
    ("noise of another distribution", "is not one of", later("programs.sample.noise", [_noise("z", "cauchy")])),
    ("no noises", "too few", later("programs.sample.noise", [])),
    ("a noise twice", "cannot run", later("programs.sample.noise", [_noise("z", "normal"), _noise("z", "uniform")])),
    (
        "a noise that the graph lacks",
        "graph inverse takes z, expected w",
        later("programs.sample.noise", [_noise("w", "normal")]),
    ),
    ("a length of two rules", "the end of an event is marked by", later("length", {"end": 0, "mask": 1})),
    ("a length in a version without lengths", "length", field("length", {"end": 0})),
    ("a length that events lack", "end by a mask", later("length", {"mask": 1})),
]


def test_the_good_bundle_is_good(victim):
    bundle = open_bundle(victim.folder)
    contract.check(bundle)


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_a_division_by_a_maximum_with_one_is_taken(victim, op):
    """Whatever goes in, that is neither 0 nor -1."""
    largest = helper.make_node("Max", ["whole", "c"], ["m"])
    reshaped = helper.make_node("Reshape", ["m", "all"], ["d"])
    divided("d", largest, reshaped, op=op, tensors=[constant("c", 1), constant("all", [-1])])(victim)
    open_bundle(victim.folder)


def test_there_are_fifty_and_each_has_a_lesson():
    assert len(ATTACKS) >= 50
    assert len({(lesson, says) for lesson, says, _ in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize(("lesson", "says", "attack"), ATTACKS, ids=[f"{i}-{a[0]}" for i, a in enumerate(ATTACKS)])
def test_it_is_refused(victim, lesson, says, attack):
    attack(victim)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ZooError) as caught:
        contract.check(open_bundle(victim.folder))
    assert time.perf_counter() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024
    message = str(caught.value)
    assert says in message
    assert victim.folder.name in message
    assert "\n" not in message
    assert len(message) < 1000


def test_a_hard_link_gives_the_promised_bytes_or_nothing(victim, good, tmp_path):
    # package managers install files by linking them from a cache, so a link to the same bytes is as good as a copy
    (victim / "weights.safetensors").unlink()
    os.link(good / "weights.safetensors", victim / "weights.safetensors")
    open_bundle(victim.folder)
    # a link to a secret has other bytes than the manifest promises, unless its author knew them all
    (tmp_path / "secret").write_bytes(b"s" * (victim / "weights.safetensors").stat().st_size)
    (victim / "weights.safetensors").unlink()
    os.link(tmp_path / "secret", victim / "weights.safetensors")
    with pytest.raises(ZooError, match="altered"):
        open_bundle(victim.folder)
