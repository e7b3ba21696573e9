/**
 * Inlines the weights of nested graphs into the ONNX file. ONNX Runtime takes weights of the outermost graph from
 * memory, but looks for those of a loop's body on disk, which a browser does not have.
 *
 * @license Apache-2.0
 */

import { ZooError } from "./errors.mjs";

// fields of onnx.proto
const MODEL = { graph: 7 };
const GRAPH = { node: 1, initializer: 5 };
const NODE = { attribute: 5 };
const ATTRIBUTE = { g: 6, graphs: 11 };
const TENSOR = { raw_data: 9, external_data: 13, data_location: 14 };
const ENTRY = { key: 1, value: 2 };

/**
 * An ONNX model in which no nested graph takes weights from a file.
 * @param {Uint8Array} bytes of the model
 * @param {Map<string, Uint8Array>} files that contain weights, by name
 * @returns {Uint8Array} `bytes` themselves if there is nothing to do
 */
export function inlined(bytes, files) {
  const graph = (part, inner) => rewritten(part, (field, content) => {
    if (field === GRAPH.node) return rewritten(content, (name, attribute) => (name === NODE.attribute ? body(attribute) : null));
    return field === GRAPH.initializer && inner ? tensor(content, files) : null;
  });
  const body = (attribute) => rewritten(attribute, (field, content) => {
    return field === ATTRIBUTE.g || field === ATTRIBUTE.graphs ? graph(content, true) : null;
  });
  return rewritten(bytes, (field, content) => (field === MODEL.graph ? graph(content, false) : null)) ?? bytes;
}

/** A TensorProto with its values in it, or null if they are already. */
function tensor(bytes, files) {
  const entries = new Map(), kept = [];
  for (const { field, content, from, to } of fieldsOf(bytes)) {
    if (field === TENSOR.external_data) entries.set(...entryOf(content));
    else if (field !== TENSOR.data_location) kept.push(bytes.subarray(from, to));
  }
  if (!entries.size) return null;
  const file = files.get(entries.get("location")), offset = Number(entries.get("offset") ?? 0);
  const end = entries.has("length") ? offset + Number(entries.get("length")) : file?.length;
  if (!file || !(offset >= 0 && offset <= end && end <= file.length)) {
    throw new ZooError(`a graph takes weights from ${entries.get("location")}, which does not contain them`);
  }
  return joined([...kept, ...fieldBytes(TENSOR.raw_data, file.subarray(offset, end))]);
}

function entryOf(bytes) {
  const texts = new Map(Array.from(fieldsOf(bytes), ({ field, content }) => [field, new TextDecoder().decode(content)]));
  return [texts.get(ENTRY.key), texts.get(ENTRY.value)];
}

/** A message with the contents that `change(field, content)` replaced, or null if it replaced none. */
function rewritten(bytes, change) {
  const parts = [];
  let copied = 0;
  for (const { field, content, from, to } of fieldsOf(bytes)) {
    const made = content && change(field, content);
    if (!made) continue;
    parts.push(bytes.subarray(copied, from), ...fieldBytes(field, made));
    copied = to;
  }
  return parts.length ? joined([...parts, bytes.subarray(copied)]) : null;
}

// -- protobuf ---------------------------------------------------------------------------------------------------------

/** Fields of a message: number, place with its tag, and the content of those that have a length (else null). */
function* fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1;
    for (let byte = 128; byte >= 128; scale *= 128) {
      if (at >= bytes.length) throw new ZooError("a graph is not ONNX: it ends too early");
      byte = bytes[at++];
      value += (byte % 128) * scale;
    }
    return value;
  };
  while (at < bytes.length) {
    const from = at, tag = varint(), wire = tag % 8;
    let content = null;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      content = bytes.subarray(at, at + length);
      at += length;
    } else throw new ZooError(`a graph is not ONNX: it has fields of kind ${wire}`);
    if (at > bytes.length) throw new ZooError("a graph is not ONNX: it ends too early");
    yield { field: Math.floor(tag / 8), content, from, to: at };
  }
}

/** Tag, length and content of a field. */
function fieldBytes(field, content) { return [varintOf(field * 8 + 2), varintOf(content.length), content]; }

function varintOf(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push(128 + (value % 128));
  return Uint8Array.of(...bytes, value);
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
