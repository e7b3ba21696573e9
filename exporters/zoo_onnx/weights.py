"""One weights file for all graphs: large initializers become views into a safetensors file.

ONNX external data is a file, an offset and a length, and so is a tensor in a safetensors file::

    8 bytes      n, the length of the header, little-endian
    n bytes      JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}
    the rest     the tensors; tensor data stands at 8 + n + begin

so graphs point into the same file that PyTorch loads, and each weight is stored once.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir

from zoo import weights
from zoo.arrays import Array
from zoo.weights import DERIVED

#: initializers of this many bytes and more go into the weights file; smaller ones are clearer in the graph
THRESHOLD = 256

#: operators whose further inputs are sizes, which are read when a graph is loaded; they stay in the graph at any length
_SIZED = {"Expand", "Pad", "Reshape", "Slice", "Split", "Tile"}

Arrays = dict[str, Array]


class Store:
    """The content of the weights file.

    Args:
        state: the model's tensors by name; all are kept, whether or not a graph uses them.

    Attributes:
        arrays: all tensors by name. Those that only graphs need have names that begin with ``graph:``.
    """

    def __init__(self, state: Mapping[str, Array]) -> None:
        self.arrays: Arrays = dict(sorted(state.items()))
        self._names: dict[tuple[str, bytes], list[str]] = {}
        for name, array in self.arrays.items():
            self._names.setdefault(_content(array), []).append(name)
        self._uses: list[tuple[ir.Value, str]] = []

    def adopt(self, model: ir.Model, *, inline: tuple[str, ...] = ()) -> None:
        """Name a graph's initializers after the model's tensors, and move the large ones into the store.

        Args:
            model: the graph, including nested graphs.
            inline: prefixes of the names of initializers that stay in the graph.
        """
        for graph in model.graphs():
            kept: dict[tuple[str, tuple[object, ...]], ir.Value] = {}
            taken = _names(graph)
            for value in list(graph.initializers.values()):
                if value.const_value is None or str(value.name).startswith(inline or ("\0",)):
                    continue
                array = np.asarray(value.const_value.numpy())
                if array.nbytes < THRESHOLD or _is_size(value):
                    if (known := self._known(str(value.name), array)) is not None:
                        _rename(taken, value, known)
                    continue
                if array.ndim == 2 and (turned := self._transposed(graph, value, array)) is not None:
                    value, array = turned
                name = self._stored(str(value.name), _packed(array))
                if (name, array.shape) in kept:
                    ir.convenience.replace_all_uses_with(value, kept[name, array.shape])
                    del graph.initializers[str(value.name)]
                else:
                    kept[name, array.shape] = value
            for (name, _), value in kept.items():
                _rename(taken, value, name)
                self._uses.append((value, name))

    def write(self, path: Path) -> None:
        """Write the weights file, and make the graphs point into it.

        Raises:
            OutputError: it cannot be written.
        """
        weights.write(path, self.arrays)
        spans = dict(spans_of(path))
        for value, name in self._uses:
            tensor = value.const_value
            assert tensor is not None
            offset, length = spans[name]
            value.const_value = ir.ExternalTensor(
                path.name,
                offset,
                length,
                tensor.dtype,
                shape=ir.Shape(tensor.numpy().shape),
                name=str(value.name),
                base_dir=path.parent,
            )

    def _stored(self, name: str, array: Array) -> str:
        """The name under which a tensor's bytes are stored, adding them if needed."""
        if (known := self._known(name, array)) is not None:
            return known
        unique, n = f"{DERIVED}{name}", 1
        while unique in self.arrays:
            n += 1
            unique = f"{DERIVED}{name}.{n}"
        self.arrays[unique] = array
        self._names.setdefault(_content(array), []).append(unique)
        return unique

    def _known(self, name: str, array: Array) -> str | None:
        """The stored tensor with these bytes, preferably of the same name; its shape may differ."""
        same = self._names.get(_content(array), [])
        return next((known for known in same if name == known or name.endswith(f".{known}")), same[0] if same else None)

    def _transposed(self, graph: ir.Graph, value: ir.Value, array: Array) -> tuple[ir.Value, Array] | None:
        """An initializer for the stored tensor whose transpose is ``value``; the graph then transposes it.

        ONNX Runtime does that once, when it loads the graph.
        """
        straight = np.ascontiguousarray(array.T)
        if self._known(str(value.name), array) is not None or self._known("", straight) is None:
            return None
        source = ir.Value(
            name=f"{value.name}.T",
            type=value.type,
            shape=ir.Shape(straight.shape),
            const_value=ir.Tensor(straight, name=f"{value.name}.T"),
        )
        node = ir.node("Transpose", [source], {"perm": [1, 0]}, name=f"{value.name}.transpose")
        (output,) = node.outputs
        output.name = f"{value.name}.turned"
        graph.insert_before(graph[0], node)
        ir.convenience.replace_all_uses_with(value, output)
        del graph.initializers[str(value.name)]
        graph.register_initializer(source)
        return source, straight


def _is_size(value: ir.Value) -> bool:
    return any(node.op_type in _SIZED and index > 0 for node, index in value.uses())


def spans_of(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name, offset from the beginning of the file, and length in bytes of each tensor of a safetensors file."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            yield name, (8 + size + begin, end - begin)


def _packed(array: Array) -> Array:
    """An array as safetensors can store it: 4-bit integers packed in pairs, the first in the lower half of the byte."""
    if array.dtype != ml_dtypes.int4:
        return array
    nibbles = array.reshape(-1).view(np.uint8) & 0xF
    nibbles = np.append(nibbles, np.zeros(len(nibbles) % 2, np.uint8))
    return nibbles[::2] | nibbles[1::2] << 4


def _content(array: Array) -> tuple[str, bytes]:
    """A key that is equal for tensors of the same dtype and bytes, regardless of shape."""
    return str(array.dtype), hashlib.sha256(np.asarray(array, order="C").tobytes()).digest()


def _names(graph: ir.Graph) -> set[str]:
    """The names of all values of a graph."""
    values = {str(value.name) for value in graph.inputs} | graph.initializers.keys()
    return values | {str(value.name) for node in graph for value in node.outputs}


def _rename(taken: set[str], value: ir.Value, name: str) -> None:
    """Rename an initializer, unless something else in the graph has that name."""
    if name not in taken:
        taken.add(name)
        value.name = name
