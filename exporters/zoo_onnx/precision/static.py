"""Products of 8-bit integers, with activation ranges calibrated on the model's own runs.

ONNX Runtime's quantizer inserts the operators; genzoo adds the calibration: the feeds of whole sampling runs, from
noise to data, for every class.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from zoo.arrays import Array
from zoo.errors import ExportError
from zoo.programs import Graph, Iterate
from zoo.runtime.ort import onnxruntime
from zoo.samplers import table_for
from zoo.samplers.state import RowInputs, begin
from zoo_onnx.inputs import Feeds, Inputs
from zoo_onnx.precision.storage import numbers, remove_unused, scaled_integers
from zoo_onnx.reference import call

_SEED = 30_000
_SAMPLES = 10
_STEPS = 20
#: operators to quantize: the first group if the graph has any of it, else the second
_KINDS = (("Conv",), ("Gemm", "MatMul"))


def trajectories(program: Iterate, graph: Graph, inputs: Inputs) -> Iterator[Feeds]:
    """The feeds of the graph ``step`` over whole runs of the model's own sampler.

    Args:
        program: a model's program ``sample``.
        graph: the graph that the program steps.
        inputs: draws the conditions.
    """
    # what named parts are guided away from is not among the inputs that are drawn
    guidance = 1.0 if inputs.model.takes_parts else None
    table = table_for(program, steps=min(program.steps, _STEPS), guidance=guidance)
    shape = program.noise_shape({graph.name: graph})
    condition = inputs.condition_ports(_SAMPLES) if inputs.model.takes_parts else inputs.condition(_SAMPLES)
    state = begin(program, table, shape, _SAMPLES, seed=_SEED, condition=condition)
    slots = state.slots
    with RowInputs(program, state) as row_inputs:
        for row in state.remaining():
            available = {**row_inputs(row), "state": slots}
            feeds = {port.name: available[port.name] for port in graph.inputs}
            yield feeds
            slots = call(graph, feeds)["next_state"]


def lower(model: ir.Model, feeds: Iterator[Feeds]) -> ir.Model:
    """The graph with 8-bit products.

    Args:
        model: the graph, with weights stored as integers; modified in place.
        feeds: the feeds to calibrate on.

    Raises:
        ExportError: ONNX Runtime's quantizer fails.
    """
    onnxruntime()  # with its settings, before its own tools import it
    from onnxruntime import quantization

    present = {node.op_type for node in model.graph}
    kinds = next((list(k) for k in _KINDS if present & set(k)), None)
    if kinds is None:
        raise ExportError(f"graph {model.graph.name} has no products to quantize")
    _unpack(model.graph, kinds)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Array] | None:
            return next(feeds, None)

    with tempfile.TemporaryDirectory(prefix="genzoo-") as folder:
        plain, quantized = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        proto = ir.to_proto(model)
        del proto.graph.value_info[:]
        onnx.save(proto, str(plain), save_as_external_data=True, location="float.data")
        quiet = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # it logs to the root logger, and prints
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                quantization.quantize_static(
                    str(plain),
                    str(quantized),
                    Reader(),
                    quant_format=quantization.QuantFormat.QDQ,
                    op_types_to_quantize=kinds,
                    per_channel=True,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                    calibrate_method=quantization.CalibrationMethod.Percentile,
                )
        except ExportError:
            raise
        except Exception as error:  # whatever the quantizer raises
            said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            raise ExportError(f"graph {model.graph.name} cannot be quantized: {said}") from error
        finally:
            logging.getLogger().setLevel(quiet)
        result = ir.from_proto(onnx.load(str(quantized)))
    _copy_interface(result, model)
    return result


def _unpack(graph: ir.Graph, kinds: list[str]) -> None:
    """Restore float32 weights for products, since the quantizer stores them itself, as the same integers."""
    for node in list(graph):
        value = node.inputs[1] if node.op_type in kinds else None
        stored = None if value is None else scaled_integers(value)
        if value is None or stored is None:
            continue
        integers, scale, turned = stored
        array = numbers(integers).astype(np.float32) * numbers(scale)
        array = np.ascontiguousarray(array.T) if turned else array
        name = f"{value.name}.float"
        plain = ir.Value(
            name=name,
            type=ir.TensorType(ir.DataType.FLOAT),
            shape=ir.Shape(array.shape),
            const_value=ir.Tensor(array, name=name),
        )
        graph.register_initializer(plain)
        ir.convenience.replace_all_uses_with(value, plain)
    remove_unused(graph)


def _copy_interface(result: ir.Model, model: ir.Model) -> None:
    """Copy the names of sizes, and strip metadata on the producer."""
    result.graph.name = model.graph.name
    result.producer_name = result.producer_version = result.domain = result.doc_string = None
    result.metadata_props.clear()
    for domain in set(result.opset_imports) - {""}:
        del result.opset_imports[domain]
    for node in result.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            value.shape = value.type = None
    for mine, theirs in zip(
        (*result.graph.inputs, *result.graph.outputs), (*model.graph.inputs, *model.graph.outputs), strict=True
    ):
        mine.shape, mine.type = theirs.shape, theirs.type
