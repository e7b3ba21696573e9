/**
 * What `--condition`, `--negative` and `--compose` stand for: a file, or the named parts of a condition, each a file or a value.
 *
 * @license Apache-2.0
 */

import { existsSync, readFileSync } from "node:fs";

import { ZooError, partsOf, takesTexts } from "./index.mjs";

/**
 * The value of a condition, in one of the forms that Model.sample takes.
 * @param {object} condition of a manifest
 * @param {string[]} texts one file or value; or, of named parts, NAME=FILE or NAME=VALUE each
 * @param {string} option its name, for messages
 */
export function conditionFrom(condition, texts, option) {
  const parts = partsOf(condition);
  if (!parts.length) throw new ZooError("the model takes no condition");
  if (!condition.parts) {
    if (texts.length > 1) throw new ZooError(`--${option} is given ${texts.length} times; this model takes one ${condition.kind === "classes" ? "class" : "vector"}`);
    return valueOf(parts[0], texts[0], option);
  }
  if (texts.length === 1 && (!texts[0].includes("=") || existsSync(texts[0]))) return ofFile(parts, texts[0]);
  const values = {};
  for (const text of texts) {
    const at = text.indexOf("="), name = text.slice(0, Math.max(at, 0)), part = parts.find((each) => each.name === name);
    if (!part) {
      throw new ZooError(`--${option} ${text} does not begin with the name of a part and an equals sign`, `The parts are ${parts.map((each) => each.name).join(", ")}.`);
    }
    if (Object.hasOwn(values, name)) throw new ZooError(`--${option} ${name} is given twice`);
    values[name] = valueOf(part, text.slice(at + 1), option);
  }
  return values;
}

/** What `--compose` stands for: pairs of a condition and its weight, which the last colon separates. */
export function compositionFrom(condition, texts) {
  return texts.map((text) => {
    const at = text.lastIndexOf(":"), stated = text.slice(0, Math.max(at, 0)), weight = text.slice(at + 1);
    if (!stated || weight.trim() === "" || !Number.isFinite(Number(weight))) {
      throw new ZooError(`--compose takes a condition and its weight, CONDITION:WEIGHT, not ${text}`);
    }
    return [conditionFrom(condition, condition?.parts ? stated.split(";") : [stated], "compose"), Number(weight)];
  });
}

/** All parts of one JSON file, by their names; other fields of it are left alone. */
function ofFile(parts, path) {
  const values = contentOf(path);
  const found = Object.fromEntries(parts.filter(({ name }) => Object.hasOwn(values ?? {}, name)).map(({ name }) => [name, values[name]]));
  if (!Object.keys(found).length) throw new ZooError(`${path} has none of the parts ${parts.map(({ name }) => name).join(", ")}`);
  return found;
}

function valueOf(part, text, option) {
  if (existsSync(text)) return contentOf(text);
  if (takesTexts(part)) return text;
  const numbers = text.split(",").map((number) => (number.trim() === "" ? NaN : Number(number)));
  if (!numbers.every(Number.isFinite)) throw new ZooError(`--${option} ${part.name}: ${text} is neither a file nor a list of numbers`);
  return numbers;
}

/** A .npy file as {data, shape}, or what a .json file holds. */
function contentOf(path) {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new ZooError(`${path} cannot be read: ${error.message}`, "", error);
  }
  if (/\.npy$/i.test(path)) return npyOf(bytes, path);
  if (!/\.json$/i.test(path)) throw new ZooError(`${path} ends in neither .npy nor .json, which parts of a condition are read from`);
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new ZooError(`${path} is not JSON: ${error.message}`, "", error);
  }
}

const TYPES = { "<f4": Float32Array, "<f8": Float64Array, "|u1": Uint8Array, "|i1": Int8Array, "<u2": Uint16Array, "<i2": Int16Array,
  "<u4": Uint32Array, "<i4": Int32Array, "<u8": BigUint64Array, "<i8": BigInt64Array };

/** An array of NumPy's file format. */
function npyOf(bytes, path) {
  const wrong = (why) => new ZooError(`${path} is not a NumPy file that can be used here: ${why}`);
  if (bytes.length < 12 || bytes.toString("latin1", 0, 6) !== "\x93NUMPY") throw wrong("it does not begin like one");
  const start = bytes[6] === 1 ? 10 : 12, length = bytes[6] === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const header = bytes.toString("latin1", start, start + length);
  const type = /'descr': '([^']*)'/.exec(header)?.[1], shape = /'shape': \(([^)]*)\)/.exec(header)?.[1];
  const Kind = Object.hasOwn(TYPES, type ?? "") ? TYPES[type] : null;
  if (!Kind || shape === undefined) throw wrong(`it is of type ${type}`);
  if (!/'fortran_order': False/.test(header)) throw wrong("it is in Fortran order");
  const sizes = shape.split(",").filter((size) => size.trim()).map(Number), content = bytes.subarray(start + length);
  if (content.length !== sizes.reduce((a, b) => a * b, 1) * Kind.BYTES_PER_ELEMENT) throw wrong("it has more or fewer numbers than its shape");
  const data = new Kind(content.buffer.slice(content.byteOffset, content.byteOffset + content.length));
  return { data: data instanceof BigInt64Array || data instanceof BigUint64Array ? Array.from(data, Number) : data, shape: sizes };
}
