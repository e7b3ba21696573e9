/**
 * Conversions of the inputs and outputs of graphs: units, dequantisation, batches.
 *
 * @license Apache-2.0
 */

import { ZooError } from "./errors.mjs";
import { Stream, uniform } from "./noise.mjs";

/** Numbers in an array of a shape. */
export const count = (shape) => shape.reduce((product, size) => product * size, 1);

/** States of a program that samples in steps, in data units, within the range of the data. */
export function inDataUnits({ shift, scale, data_min: low, data_max: top }, x) {
  // each operation rounded to float32, as elsewhere
  const a = Math.fround(shift), b = Math.fround(scale);
  const data = Float32Array.from(x, (value) => a + Math.fround(b * value));
  return low === null || top === null ? data : data.map((value) => Math.min(Math.max(value, low), top));
}

/**
 * Data as inputs of graphs. Integers of discrete data (such as a Uint8Array) get uniform noise, and stay
 * below the next one.
 * @param {ArrayLike<number>} x n events
 * @param {number} n
 * @param {number|null} levels of discrete data: it is 0 … levels - 1
 * @param {number|bigint} seed
 */
export function dequantised(x, n, levels, seed) {
  const values = Float32Array.from(x, Number);
  if (!isIntegers(x) || levels === null) return values;
  if (values.some((v) => v < 0 || v >= levels)) throw new ZooError(`the data has values outside 0 to ${levels - 1}`);
  const noise = uniform(seed, n, values.length / n, { stream: Stream.DEQUANTIZE });
  return values.map((v, i) => {
    const sum = Math.fround(v + noise[i]);
    return sum < v + 1 ? sum : below(v + 1);
  });
}

function isIntegers(x) {
  return ArrayBuffer.isView(x) && !(x instanceof Float32Array || x instanceof Float64Array);
}

/** The largest float32 below a positive one. */
function below(x) {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0] -= 1;
  return new Float32Array(bits.buffer)[0];
}

/** An array of samples with the last of them repeated until there are `wanted` of `size` numbers each. */
export function filled(values, size, wanted) {
  const have = values.length / size;
  if (have >= wanted) return values;
  const all = new values.constructor(wanted * size), last = values.subarray((have - 1) * size);
  all.set(values);
  for (let i = have; i < wanted; i++) all.set(last, i * size);
  return all;
}

/** [first, end) of batches of nearly equal size. */
export function batchesOf(n, size) {
  if (!Number.isInteger(size) || size < 1) throw new ZooError(`a batch has 1 sample or more, not ${size}`);
  const parts = Math.ceil(n / size), edge = (i) => Math.floor((n * i) / parts);
  return Array.from({ length: parts }, (_, i) => [edge(i), edge(i + 1)]);
}

export function checkFinite(values, what) {
  if (!values.every(Number.isFinite)) throw new ZooError(`${what}: there are values that are not finite`);
}
