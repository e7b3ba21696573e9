"""The messages of an ONNX file, IR versions 8 to 13, and their fields; a test compares them with onnx's own."""

from __future__ import annotations

from zoo.bundle.scan.wire import Field

Message = dict[int, Field]

#: largest rank of a tensor; ONNX Runtime and NumPy support few operators beyond 8
MAX_RANK = 16

MODEL: Message = {
    1: Field("ir_version", "int"),
    2: Field("producer_name", "text"),
    3: Field("producer_version", "text"),
    4: Field("domain", "text"),
    5: Field("model_version", "int"),
    6: Field("doc_string", "text"),
    7: Field("graph", "message"),
    8: Field("opset_import", "message", many=True),
    14: Field("metadata_props", "message", many=True),
    20: Field("training_info", "message", many=True),
    25: Field("functions", "message", many=True),
    26: Field("configuration", "message", many=True),
}
OPSET: Message = {1: Field("domain", "text"), 2: Field("version", "int")}
GRAPH: Message = {
    1: Field("node", "message", many=True),
    2: Field("name", "text"),
    5: Field("initializer", "message", many=True),
    10: Field("doc_string", "text"),
    11: Field("input", "message", many=True),
    12: Field("output", "message", many=True),
    13: Field("value_info", "message", many=True),
    14: Field("quantization_annotation", "message", many=True),
    15: Field("sparse_initializer", "message", many=True),
    16: Field("metadata_props", "message", many=True),
}
NODE: Message = {
    1: Field("input", "text", many=True),
    2: Field("output", "text", many=True),
    3: Field("name", "text"),
    4: Field("op_type", "text"),
    5: Field("attribute", "message", many=True),
    6: Field("doc_string", "text"),
    7: Field("domain", "text"),
    8: Field("overload", "text"),
    9: Field("metadata_props", "message", many=True),
    10: Field("device_configurations", "message", many=True),
}
ATTRIBUTE: Message = {
    1: Field("name", "text"),
    2: Field("f", "float"),
    3: Field("i", "int"),
    4: Field("s", "bytes"),
    5: Field("t", "message"),
    6: Field("g", "message"),
    7: Field("floats", "fours", many=True),
    8: Field("ints", "numbers", many=True),
    9: Field("strings", "bytes", many=True),
    10: Field("tensors", "message", many=True),
    11: Field("graphs", "message", many=True),
    13: Field("doc_string", "text"),
    14: Field("tp", "message"),
    15: Field("type_protos", "message", many=True),
    20: Field("type", "int"),
    21: Field("ref_attr_name", "text"),
    22: Field("sparse_tensor", "message"),
    23: Field("sparse_tensors", "message", many=True),
}
TENSOR: Message = {
    1: Field("dims", "numbers", many=True, most=MAX_RANK),
    2: Field("data_type", "int"),
    3: Field("segment", "message"),
    4: Field("float_data", "fours", many=True),
    5: Field("int32_data", "numbers", many=True),
    6: Field("string_data", "bytes", many=True),
    7: Field("int64_data", "numbers", many=True),
    8: Field("name", "text"),
    9: Field("raw_data", "bytes"),
    10: Field("double_data", "eights", many=True),
    11: Field("uint64_data", "numbers", many=True),
    12: Field("doc_string", "text"),
    13: Field("external_data", "message", many=True),
    14: Field("data_location", "int"),
    16: Field("metadata_props", "message", many=True),
}
ENTRY: Message = {1: Field("key", "text"), 2: Field("value", "text")}
VALUE: Message = {
    1: Field("name", "text"),
    2: Field("type", "message"),
    3: Field("doc_string", "text"),
    4: Field("metadata_props", "message", many=True),
}
TYPE: Message = {
    1: Field("tensor_type", "message"),
    4: Field("sequence_type", "message"),
    5: Field("map_type", "message"),
    6: Field("denotation", "text"),
    7: Field("opaque_type", "message"),
    8: Field("sparse_tensor_type", "message"),
    9: Field("optional_type", "message"),
}
TENSOR_TYPE: Message = {1: Field("elem_type", "int"), 2: Field("shape", "message")}
SHAPE: Message = {1: Field("dim", "message", many=True)}
DIMENSION: Message = {
    1: Field("dim_value", "int"),
    2: Field("dim_param", "text"),
    3: Field("denotation", "text"),
}
