/**
 * What samples are conditioned on: nothing, one of k classes, or a vector of d numbers.
 *
 * @license Apache-2.0
 */

import { ZooError } from "./errors.mjs";

/** Names of the classes, or of the numbers of a vector. */
export function labelsOf({ labels, size }) {
  return labels.length ? labels : Array.from({ length: size }, (_, i) => String(i));
}

/**
 * The condition of n samples as graphs take it: Int32Array [n], Float32Array [n · d], or null.
 * @param {{name: string, manifest: object}} model
 * @param {*} value one class (number or label) or vector for all, or an array of n; undefined or null for every class
 *     in turn
 * @param {number} n
 */
export function conditionOf({ name, manifest: { condition } }, value, n) {
  const none = value === undefined || value === null;
  if (!condition) {
    if (none) return null;
    throw new ZooError(`${name} takes no condition`);
  }
  return condition.kind === "classes" ? classes(condition, none ? null : value, n) : vectors(condition, none ? [] : value, n);
}

function classes(condition, value, n) {
  if (value === null) return Int32Array.from({ length: n }, (_, i) => i % condition.size);
  const values = typeof value === "object" ? Array.from(value) : new Array(n).fill(value);
  if (values.length !== n) throw new ZooError(`${n} samples need one class or ${n} classes, not ${values.length}`);
  return Int32Array.from(values, (v) => classOf(condition, v));
}

function classOf({ labels, size }, value) {
  const text = String(value), index = labels.indexOf(text);
  if (index >= 0) return index;
  if (/^\d+$/.test(text) && Number(text) < size) return Number(text);
  throw new ZooError(`there is no class ${text}`, `The classes are ${labels.length ? labels.join(", ") : `0 to ${size - 1}`}.`);
}

function vectors({ size }, value, n) {
  const flat = typeof value === "object" ? Array.from(value).flatMap((part) => (typeof part === "object" ? Array.from(part) : part)).map(Number) : [];
  if ((flat.length !== size && flat.length !== n * size) || !flat.every((v) => Number.isFinite(Math.fround(v)))) {
    throw new ZooError(`${n} samples need a condition of ${size} numbers, for all or for each`);
  }
  return Float32Array.from({ length: n * size }, (_, i) => flat[i % flat.length]);
}
