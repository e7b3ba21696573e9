"""A node's attributes: those of its operator's schema, each once, with the value in the field that its type names.

ONNX Runtime reads ``type`` for some operators and whichever field is set for others, and ignores the rest. So an
attribute with two values, or a value that contradicts its type, could be read differently here and there.
"""

from __future__ import annotations

from zoo.bundle.scan import messages as m
from zoo.bundle.scan.operators import ALLOWED, FREE, SIGNED, SIZING
from zoo.bundle.scan.reading import Reader, refuse, shown
from zoo.bundle.scan.schemas import ATTRIBUTES, Schema, schema_of
from zoo.bundle.scan.values import Fields
from zoo.bundle.scan.wire import signed

#: the largest enlargement by one attribute of a convolution or pooling
_MAX_SIZING = 1 << 16
#: integers have 64 bits, but some operators truncate counts to 32
_MAX_WHOLE = 1 << 31
_MAX_STRING = 256
#: fields of an attribute besides its value
_ABOUT = {"name", "type", "doc_string"}


def describe(node: Fields) -> str:
    """A node's operator and name, for messages."""
    return f"{shown(node.get('op_type', '')).strip(chr(39))} {shown(node.get('name', ''))}".strip()


def schema_for(node: Fields, opset: int) -> Schema:
    """The schema of a node's operator, having checked the numbers of inputs and outputs."""
    operator = node.get("op_type", "")
    if (domain := node.get("domain", "")) not in ("", "ai.onnx"):
        refuse(f"uses the operator {shown(f'{domain}.{operator}')}, which is not ONNX's own")
    if operator not in ALLOWED:
        refuse(f"uses the operator {shown(operator)}, which bundles must not use")
    schema = schema_of(operator, opset)
    if schema is None:
        refuse(f"uses the operator {operator}, which opset {opset} does not have")
    for what, (least, most) in (("input", schema.inputs), ("output", schema.outputs)):
        number = len(node.get(what, ()))
        if not least <= number <= most:
            refuse(f"has a node {describe(node)} with {number} {what}s, and its operator has {least} to {most}")
    names = node.get("input", ())
    if any(i < len(names) and not names[i] for i in schema.needs):
        refuse(f"has a node {describe(node)} without an input that its operator needs")
    return schema


def attributes_of(reader: Reader, node: Fields, schema: Schema) -> dict[str, Fields]:
    """A node's attributes by name; the tensors in them are decoded, the graphs are not."""
    attributes: dict[str, Fields] = {}
    for each in node.get("attribute", ()):
        attribute = reader.decode(each, m.ATTRIBUTE)
        name = attribute.get("name", "")
        if name in attributes:
            refuse(f"has a node {describe(node)} with two attributes {shown(name)}")
        _check(node, name, attribute, schema)
        if "t" in attribute:
            attribute["t"] = reader.tensor(attribute["t"], initializer=False)
        attributes[name] = attribute
    if missing := [name for name in schema.required if name not in attributes]:
        refuse(f"has a node {describe(node)} without the attribute {missing[0]}")
    if node.get("op_type") == "Constant" and len(attributes) != 1:
        refuse(f"has a node {describe(node)} with {len(attributes)} values, but a constant has one")
    return attributes


def _check(node: Fields, name: str, attribute: Fields, schema: Schema) -> None:
    """Refuse an attribute that the schema does not have, or that does not hold one value of the schema's type."""
    if (kind := schema.attributes.get(name)) is None:
        if "g" in attribute or "graphs" in attribute:
            refuse(f"has a graph in attribute {shown(name)} of {describe(node)}")
        refuse(f"has a node {describe(node)} with an attribute {shown(name)} that its operator does not know")
    if kind not in ATTRIBUTES:
        refuse(f"has a node {describe(node)} with an attribute {name} of a type that bundles do not use")
    number, field = ATTRIBUTES[kind]
    held = attribute.keys() - _ABOUT
    # an empty list is stored as a missing field
    if attribute.get("type") != number or held - {field} or (not held and not kind.endswith("S")):
        refuse(
            f"has a node {describe(node)} whose attribute {name} is of type {attribute.get('type')} and holds "
            f"{', '.join(sorted(held)) or 'nothing'}, where its operator has {number} and {field}"
        )
    numbers = (*attribute.get("ints", ()), signed(attribute.get("i", 0)))
    if name in SIZING and any(abs(v) > _MAX_SIZING for v in numbers):
        refuse(f"has a node {describe(node)} whose {name} would enlarge it beyond bounds")
    least = -_MAX_WHOLE if name in SIGNED else 0
    if name not in FREE and not all(least <= v < _MAX_WHOLE for v in numbers):
        refuse(f"has a node {describe(node)} whose {name} is below {least} or beyond {_MAX_WHOLE}")
    texts = [bytes(text) for text in (*attribute.get("strings", ()), *([attribute["s"]] if "s" in attribute else ()))]
    if any(len(text) > _MAX_STRING or not (text.isascii() and text.decode().isprintable()) for text in texts):
        refuse(f"has a node {describe(node)} whose {name} is not a valid word")
