/**
 * Parts of a condition, each with a name: a class, numbers, an image, a recording, tokens or a sequence. What is given
 * for one is checked against its range, vocabulary, shape and type, as zoo/parts.py does.
 *
 * @license Apache-2.0
 */

import { count } from "./data.mjs";
import { ZooError } from "./errors.mjs";

/** The name of the part that one class or one vector is. */
export const ONLY = "condition";
const USUAL = { labels: [], minimum: null, maximum: null, alphabet: null, padding: null, null: null, required: true };

/** The parts of a manifest's condition, with all their fields; one class or one vector is one part. */
export function partsOf(condition) {
  if (!condition) return [];
  if (condition.parts) return condition.parts.map((part) => ({ ...USUAL, ...part }));
  const { kind, size, labels = [], required = true } = condition;
  if (kind === "vector") return [{ ...USUAL, name: ONLY, modality: "numbers", shape: [size], labels, required }];
  return [{ ...USUAL, name: ONLY, modality: "classes", shape: [], size, labels, null: required ? null : size, required }];
}

/** The name of the mask of tokens and sequences, 1 where they are and 0 where they are filled up; null for others. */
export const maskOf = ({ name, modality }) => (modality === "tokens" || modality === "sequence" ? `${name}_mask` : null);

const isWhole = ({ modality }) => modality === "classes" || modality === "tokens";
const who = ({ name }) => (name === ONLY ? "the condition" : `part ${name} of the condition`);
const shown = (shape) => `[${shape.join(", ")}]`;

/**
 * What was given for a part, checked.
 * @param {object} part of {@link partsOf}
 * @param {*} value one for all samples or n of them, by its number of axes: a number, label or text, nested arrays, a
 *     typed array, or `{data, shape}`; a flat array of an image's numbers is one too
 * @param {number} n
 * @returns {{data: Float32Array|Int32Array, shape: number[], rows: number, lengths: number[]|null}} `rows` values of
 *     `shape` each; `lengths`: how many entries of tokens and sequences are not filled up
 */
export function readPart(part, value, n) {
  if (part.modality === "classes") return classes(part, value, n);
  return maskOf(part) ? ofAnyLength(part, value, n) : numbers(part, value, n);
}

/** The null of a part, as {@link readPart} gives it: one value for all. Null for a part without one. */
export function nullOf(part) {
  const { modality, shape } = part, nothing = part.null;
  if (nothing === null) return null;
  if (modality === "classes") return { data: Int32Array.of(nothing), shape: [], rows: 1, lengths: null };
  const fixed = shape.filter(Number.isInteger);
  if (modality === "tokens") return padded(part, [Int32Array.from(Array.isArray(nothing) ? nothing : new Array(fixed[0] ?? 1).fill(nothing))]);
  if (modality === "sequence") return padded(part, [new Float32Array((Number.isInteger(shape[0]) ? shape[0] : 1) * shape[1]).fill(nothing)]);
  const data = Float32Array.from({ length: count(shape) }, (_, i) => (Array.isArray(nothing) ? nothing[i] : nothing));
  return { data, shape, rows: 1, lengths: null };
}

/** Tokens and sequences filled up to a length; anything that is long enough as it is. */
export function longer(part, values, length) {
  const [own, ...entry] = values.shape, size = count(entry);
  if (!values.lengths || own >= length) return values;
  const data = new values.data.constructor(values.rows * length * size).fill(part.padding ?? 0);
  for (let row = 0; row < values.rows; row++) data.set(values.data.subarray(row * own * size, (row + 1) * own * size), row * length * size);
  return { ...values, data, shape: [length, ...entry] };
}

/** The number that a class's label or number stands for. */
export function classOf({ name, labels, size }, value) {
  const text = String(value), index = labels.indexOf(text);
  if (index >= 0) return index;
  if (/^\d+$/.test(text) && Number(text) < size) return Number(text);
  const whose = name === ONLY ? "" : ` of part ${name}`;
  throw new ZooError(`there is no class ${text}${whose}`, `The classes are ${labels.length ? labels.join(", ") : `0 to ${size - 1}`}.`);
}

function classes(part, value, n) {
  const several = typeof value === "object", found = several ? Array.from(value.data ?? value) : [value];
  if (several && found.length !== n) {
    const whose = part.name === ONLY ? "" : ` for part ${part.name}`;
    throw new ZooError(`${n} samples need one class or ${n} classes${whose}, not ${found.length}`);
  }
  return { data: Int32Array.from(found, (each) => classOf(part, each)), shape: [], rows: found.length, lengths: null };
}

function numbers(part, value, n) {
  const { shape } = part, size = count(shape), array = arrayOf(part, value), many = array.data.length;
  const whole = shown(array.shape) === shown(shape), each = shown(array.shape) === shown([n, ...shape]);
  const flat = array.shape.length === 1 && (many === size || many === n * size);
  if (!whole && !each && !flat) {
    throw new ZooError(`${n} samples need ${who(part)} of shape ${shown(shape)} or ${shown([n, ...shape])}, not ${shown(array.shape)}`);
  }
  return { data: inRange(part, array.data), shape, rows: many / size, lengths: null };
}

/** Finite float32 in a part's range. */
function inRange(part, values) {
  const { minimum, maximum } = part, data = Float32Array.from(values);
  if (!data.every(Number.isFinite)) throw new ZooError(`${who(part)} has values that are not finite in float32`);
  const least = data.reduce((a, b) => Math.min(a, b), Infinity), most = data.reduce((a, b) => Math.max(a, b), -Infinity);
  if ((minimum !== null && least < Math.fround(minimum)) || (maximum !== null && most > Math.fround(maximum))) {
    throw new ZooError(`${who(part)} runs from ${minimum ?? "any"} to ${maximum ?? "any"}; got ${least} to ${most}`);
  }
  return data;
}

/** Tokens or sequences: one, or n of them, each of its own length. */
function ofAnyLength(part, value, n) {
  const one = part.modality === "tokens" ? tokens : sequence, axes = axesOf(part, value), own = part.shape.length;
  if (axes === own) return padded(part, [one(part, value)]);
  const each = axes === own + 1 ? rowsOf(value) : null;
  if (each?.length !== n) {
    throw new ZooError(`${n} samples need one value or ${n} values for ${who(part)}, not ${each ? `${each.length} of them` : `a value of ${axes} axes`}`);
  }
  return padded(part, each.map((row) => one(part, row)));
}

/** Whether a text can be given: a label, or tokens of an alphabet or with labels. */
export const takesTexts = ({ modality, alphabet, labels }) => modality === "classes" || (modality === "tokens" && (alphabet !== null || labels.length > 0));

/** The ids of a text by the labels of tokens: A to Z are read as small letters, and the longest label that fits is taken. */
function words(part, text) {
  const places = new Map(part.labels.map((label, i) => [label, i])), longest = part.labels.reduce((most, { length }) => Math.max(most, length), 0);
  const small = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()), ids = [];
  for (let at = 0, size; at < small.length; at += size) {
    size = 1;
    if (" \t\r\n".includes(small[at])) continue;
    for (size = Math.min(longest, small.length - at); size && !places.has(small.slice(at, at + size)); size -= 1);
    if (!size) throw new ZooError(`${who(part)} has no symbol ${JSON.stringify(Array.from(text.slice(at))[0])}, as in ${JSON.stringify(Array.from(text).slice(0, 80).join(""))}`);
    ids.push(places.get(small.slice(at, at + size)));
  }
  return ids;
}

/** The ids of one text, or of one array of ids, without padding at its end. */
function tokens(part, value) {
  const { alphabet, padding, size } = part;
  let ids;
  if (typeof value === "string" && part.labels.length) {
    ids = words(part, value);
  } else if (typeof value === "string") {
    if (alphabet === null) throw new ZooError(`${who(part)} has no alphabet for texts: give it the ids of its tokens`);
    const symbols = Array.from(alphabet), text = Array.from(value), strange = text.find((symbol) => !symbols.includes(symbol));
    if (strange !== undefined) throw new ZooError(`${who(part)} has no symbol ${JSON.stringify(strange)}, as in ${JSON.stringify(text.slice(0, 80).join(""))}`);
    ids = text.map((symbol) => symbols.indexOf(symbol));
  } else {
    const array = arrayOf(part, value);
    ids = Array.from(array.data);
    if (array.shape.length !== 1 || !ids.every(Number.isInteger)) throw new ZooError(`${who(part)} is whole numbers or a text`);
  }
  const strange = ids.find((id) => id < 0 || id >= size);
  if (strange !== undefined) throw new ZooError(`tokens of ${who(part)} run from 0 to ${size - 1}; got ${strange}`);
  while (padding !== null && ids.at(-1) === padding) ids.pop();
  return Int32Array.from(ids);
}

/** One sequence [length, d]. */
function sequence(part, value) {
  const { data, shape } = arrayOf(part, value);
  if (shape.length !== 2 || shape[1] !== part.shape[1]) throw new ZooError(`${who(part)} has shape ${shown(part.shape)}, not ${shown(shape)}`);
  return inRange(part, data);
}

/** Rows of any length as one array of the longest, or of the part's own length. */
function padded(part, rows) {
  const [own, ...entry] = part.shape, size = count(entry), lengths = rows.map((row) => row.length / size);
  if (!lengths.every((length) => length >= 1)) throw new ZooError(`${who(part)} is empty: it has at least one ${part.size ? "symbol" : "row"}`);
  const most = lengths.reduce((a, b) => Math.max(a, b), 0), length = Number.isInteger(own) ? own : most;
  if (most > length) throw new ZooError(`${who(part)} has at most ${length} entries, not ${most}`);
  const data = new rows[0].constructor(rows.length * length * size).fill(part.padding ?? 0);
  rows.forEach((row, i) => data.set(row, i * length * size));
  return { data, shape: [length, ...entry], rows: rows.length, lengths };
}

// -- values as arrays -------------------------------------------------------------------------------------------------

const isWithShape = (value) => ArrayBuffer.isView(value?.data) || (Array.isArray(value?.data) && Array.isArray(value?.shape));

/** Nested arrays, a typed array or {data, shape} as numbers and their shape. */
function arrayOf(part, value) {
  const wrong = () => new ZooError(`${who(part)} is not an array of numbers`);
  const shape = shapeOf(value), data = isWithShape(value) ? value.data : shape && flattened(value, shape);
  if (!data || data.length !== count(shape)) throw wrong();
  const numeric = Array.from(data, (each) => (typeof each === "bigint" ? Number(each) : each));
  if (!numeric.every((each) => typeof each === "number")) throw wrong();
  if (isWhole(part) && !numeric.every(Number.isInteger)) throw new ZooError(`${who(part)} is whole numbers`);
  return { data: numeric, shape };
}

/** The shape of the first entries of nested arrays; null for what is none. */
function shapeOf(value) {
  if (isWithShape(value)) return value.shape ?? [value.data.length];
  if (ArrayBuffer.isView(value)) return [value.length];
  if (Array.isArray(value)) return value.length ? [value.length, ...(shapeOf(value[0]) ?? [])] : [0];
  return [];
}

/** The numbers of nested arrays of a shape; null if they have another. */
function flattened(value, [length, ...rest]) {
  if (length === undefined) return typeof value === "object" ? null : [value];
  if ((!Array.isArray(value) && !ArrayBuffer.isView(value)) || value.length !== length) return null;
  if (!rest.length) return Array.from(value).some((each) => typeof each === "object") ? null : Array.from(value);
  const parts = Array.from(value, (each) => flattened(each, rest));
  return parts.includes(null) ? null : parts.flat();
}

/** The number of axes, in which rows may be of different lengths, and a text counts as one. */
function axesOf(part, value) {
  if (typeof value === "string") return 1;
  if (isWithShape(value)) return shapeOf(value).length;
  if (ArrayBuffer.isView(value)) return 1;
  if (!Array.isArray(value)) return 0;
  if (!value.length) throw new ZooError(`${who(part)} is an empty list`);
  return 1 + axesOf(part, value[0]);
}

/** The values along the first axis. */
function rowsOf(value) {
  if (!isWithShape(value)) return Array.from(value);
  const [n, ...shape] = value.shape, size = count(shape);
  return Array.from({ length: n }, (_, i) => ({ data: value.data.slice(i * size, (i + 1) * size), shape }));
}
