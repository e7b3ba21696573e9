/**
 * What samples are conditioned on: nothing, one of k classes, a vector of d numbers, or several named parts. Graphs take
 * it by ports: those of the parts, or of what a condition encoder makes of them, once for each different condition.
 *
 * @license Apache-2.0
 */

import { count } from "./data.mjs";
import { ZooError } from "./errors.mjs";
import { longer, maskOf, nullOf, partsOf, readPart } from "./parts.mjs";

const KINDS = ["classes", "numbers", "image", "audio", "tokens", "sequence"];

/** Names of the classes, or of the numbers of a vector. */
export function labelsOf({ labels, size }) {
  return labels?.length ? labels : Array.from({ length: size }, (_, i) => String(i));
}

/**
 * The condition of n samples, by part; null for a model without one.
 * @param {{name: string, manifest: object}} model
 * @param {*} value one class (number or label) or vector for all, or an array of n; undefined or null for every class
 *     in turn. Of several parts, an object with such values by name, see {@link readPart}
 * @param {number} n
 * @returns {Map<object, object>|null} what was given for each part
 */
export function conditionOf({ name, manifest: { condition } }, value, n) {
  const none = value === undefined || value === null;
  if (!condition) {
    if (none) return null;
    throw new ZooError(`${name} takes no condition`);
  }
  const parts = partsOf(condition);
  if (parts.length === 1 && none && parts[0].modality === "classes") {
    return new Map([[parts[0], { data: Int32Array.from({ length: n }, (_, i) => i % parts[0].size), shape: [], rows: n, lengths: null }]]);
  }
  if (!condition.parts) return new Map([[parts[0], condition.kind === "vector" ? vectors(condition, value, n) : readPart(parts[0], value, n)]]);
  const given = byName(parts, none ? {} : value);
  return new Map(parts.map((part) => [part, valuesOf(part, given[part.name], n)]));
}

function vectors({ size }, value, n) {
  const flat = typeof value === "object" && value !== null ? Array.from(value).flatMap((part) => (typeof part === "object" ? Array.from(part) : part)).map(Number) : [];
  if ((flat.length !== size && flat.length !== n * size) || !flat.every((v) => Number.isFinite(Math.fround(v)))) {
    throw new ZooError(`${n} samples need a condition of ${size} numbers, for all or for each`);
  }
  return { data: Float32Array.from(flat), shape: [size], rows: flat.length / size, lengths: null };
}

/** The values by the names of parts; a single part may be given without its name. */
function byName(parts, value) {
  const names = parts.map(({ name }) => name);
  const array = ArrayBuffer.isView(value.data) && !names.includes("data");
  if (array || Object.prototype.toString.call(value) !== "[object Object]") {
    if (parts.length === 1) return { [names[0]]: value };
    throw new ZooError(`the condition has the parts ${names.join(", ")}: give a value to each by its name`);
  }
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new ZooError(`the condition has no part ${unknown}`, `The parts are ${names.join(", ")}.`);
  return value;
}

function valuesOf(part, value, n) {
  if (value !== undefined && value !== null) return readPart(part, value, n);
  const nothing = part.required ? null : nullOf(part);
  if (nothing) return nothing;
  throw new ZooError(`part ${part.name} of the condition is missing: this model needs it for each sample`);
}

/** The nulls of all parts, which guidance guides away from. */
export function nullsOf({ name, manifest: { condition } }) {
  const parts = partsOf(condition), lacking = parts.find((part) => part.null === null);
  if (!lacking && parts.length) return new Map(parts.map((part) => [part, nullOf(part)]));
  if (!condition?.parts) throw new ZooError(`guidance needs a null class, which ${name} does not have`);
  throw new ZooError(`guidance needs a null of each part of the condition, and ${lacking.name} has none`);
}

/** What a condition is, in words. */
export function toldOf(condition) {
  const names = partsOf(condition).map(({ name }) => name);
  return condition.parts ? `part${names.length > 1 ? "s" : ""} ${names.join(", ")}` : condition.kind;
}

/** Several conditions, of which tokens and sequences of one length's name are filled up to the longest of all. */
export function evenly(...conditions) {
  const lengths = new Map();
  for (const [part, { shape, lengths: own }] of conditions.flatMap((condition) => [...(condition ?? [])])) {
    if (own) lengths.set(part.shape[0], Math.max(lengths.get(part.shape[0]) ?? 0, shape[0]));
  }
  const even = ([part, values]) => [part, longer(part, values, lengths.get(part.shape[0]) ?? 0)];
  return conditions.map((condition) => condition && new Map(Array.from(condition, even)));
}

/**
 * The conditions of samples as graphs take them: rows by port, each different one once, and the row of each sample.
 */
export class Conditions {
  /**
   * @param {Map<string, {data: Float32Array|Int32Array, shape: number[]}>} ports rows one after another, each of `shape`
   * @param {Int32Array} index the row of each sample
   * @param {number} rows how many there are
   */
  constructor(ports, index, rows) { Object.assign(this, { ports, index, rows }); }

  /** Those of n samples; null for a model without any. */
  static of(condition, n) {
    if (!condition) return null;
    const ports = new Map(), values = [...condition];
    for (const [{ name }, { data, shape, rows }] of values) ports.set(name, { data, shape, rows });
    for (const [part, { shape, rows, lengths }] of values) {
      const mask = lengths && Float32Array.from({ length: rows * shape[0] }, (_, i) => Number(i % shape[0] < lengths[Math.floor(i / shape[0])]));
      if (lengths) ports.set(maskOf(part), { data: mask, shape: [shape[0]], rows });
    }
    const { index, chosen } = distinct([...ports.values()].filter(({ rows }) => rows === n && n > 1), n);
    const taken = ({ data, shape, rows }) => ({ data: gathered(data, count(shape), chosen.map((i) => Math.min(i, rows - 1))), shape });
    return new Conditions(new Map(Array.from(ports, ([name, port]) => [name, taken(port)])), index, chosen.length);
  }

  /** What an encoder makes of them: `outputs` by name, for the same samples. */
  encoded(outputs) { return new Conditions(outputs, this.index, this.rows); }

  /** Those of samples first … end - 1, filled up to m with the last of them. */
  part(first, end, m) {
    return new Conditions(this.ports, Int32Array.from({ length: m }, (_, i) => this.index[Math.min(first + i, end - 1)]), this.rows);
  }
}

/** Which rows of arrays are different, and which of these each of n samples has. */
function distinct(arrays, n) {
  const index = new Int32Array(n), chosen = arrays.length ? [] : [0], seen = new Map(), decoder = new TextDecoder("latin1");
  for (let i = 0; arrays.length && i < n; i++) {
    const key = arrays.map(({ data, shape }) => {
      const size = count(shape) * data.BYTES_PER_ELEMENT;
      return decoder.decode(new Uint8Array(data.buffer, data.byteOffset + i * size, size));
    }).join("");
    if (!seen.has(key)) seen.set(key, chosen.push(i) - 1);
    index[i] = seen.get(key);
  }
  return { index, chosen };
}

/** Rows of an array of `size` numbers each. */
export function gathered(data, size, rows) {
  const all = new data.constructor(rows.length * size);
  rows.forEach((row, i) => all.set(data.subarray(row * size, (row + 1) * size), i * size));
  return all;
}

/**
 * Conditions as inputs of a graph: one evaluation of each, in turn.
 * @param {Conditions[]} evaluated of as many samples each
 * @param {number[]} leading dimensions before those of a row
 * @param {(data: *, shape: number[]) => object} tensor
 */
export function feedsOf(evaluated, leading, tensor) {
  const feeds = {};
  for (const [name, { shape }] of evaluated[0]?.ports ?? []) {
    const size = count(shape), parts = evaluated.map(({ ports, index }) => gathered(ports.get(name).data, size, index));
    const all = new parts[0].constructor(parts.reduce((length, part) => length + part.length, 0));
    parts.reduce((at, part) => { all.set(part, at); return at + part.length; }, 0);
    feeds[name] = tensor(all, [...leading, ...shape]);
  }
  return feeds;
}

/** Refuse a manifest whose programs do not take its condition. */
export function checkCondition({ condition, graphs, programs }) {
  if (condition && !partsOf(condition).length) throw new ZooError("the manifest has a condition without parts");
  const unknown = partsOf(condition).find(({ modality }) => !KINDS.includes(modality));
  if (unknown) throw new ZooError(`part ${unknown.name} of the condition is of the unknown kind ${unknown.modality}`);
  for (const { graph, condition_encoder: encoder } of Object.values(programs).filter(Boolean)) {
    const inputs = Object.hasOwn(graphs, graph) ? graphs[graph].inputs.map(({ name }) => name) : null;
    if (encoder && (!condition || !Object.hasOwn(graphs, encoder))) throw new ZooError(`graph ${graph} encodes no condition by ${encoder}`);
    const lacking = inputs && conditionNames({ condition, graphs }, encoder).find((name) => !inputs.includes(name));
    if (lacking) throw new ZooError(`graph ${graph} takes no ${lacking}, which the condition has`);
  }
}

/** The names of the inputs by which graphs take a condition. */
export function conditionNames({ condition, graphs }, encoder) {
  if (!condition) return [];
  if (encoder) return graphs[encoder].outputs.map(({ name }) => name);
  return partsOf(condition).flatMap((part) => [part.name, ...(maskOf(part) ? [maskOf(part)] : [])]);
}

