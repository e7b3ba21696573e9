/**
 * Step tables, which define each step of an iterative sampler, and guidance.
 *
 * @license Apache-2.0
 */

import { ZooError } from "./errors.mjs";

const LARGEST = 3.4028234663852886e38; // of float32
/** Optional columns of a file, and their defaults. */
const MISSING = { noise_scale: 0, noise_range: 0, rescale: 0, guidance: 1, clip: LARGEST };

/**
 * Tables by name, "<sampler>-<steps>", each an object of columns.
 * @param {Map<string, {shape: number[], data: ArrayLike<number>}>} tensors of tables.safetensors
 */
export function tablesOf(tensors) {
  const tables = new Map();
  for (const [path, tensor] of tensors) {
    const [name, column] = path.split("/");
    if (!tables.has(name)) tables.set(name, new Map());
    tables.get(name).set(column, tensor);
  }
  return new Map(Array.from(tables, ([name, columns]) => [name, tableOf(name, columns)]));
}

function tableOf(name, columns) {
  const lacks = ["time", "alpha", "sigma", "matrix", "initial_scale"].filter((column) => !columns.has(column));
  if (lacks.length) throw new ZooError(`the step table ${name} has no ${lacks.join(", ")}`);
  // of the matrix, a column for each slot, for D, and maybe for D before it is clipped
  const [rows, slots, wide] = columns.get("matrix").shape, table = { name, rows, slots };
  const whole = ([column, { data }]) => data.length === (column === "initial_scale" ? 1 : column === "matrix" ? rows * slots * wide : rows);
  if (!(rows >= 1 && slots >= 1 && (wide === slots + 1 || wide === slots + 2)) || ![...columns].every(whole)) throw new ZooError(`the columns of step table ${name} do not fit together`);
  for (const [column, { data }] of columns) table[column] = column === "initial_scale" ? data[0] : data;
  for (const [column, value] of Object.entries(MISSING)) table[column] ??= new Float64Array(rows).fill(value);
  return table;
}

/** How many columns the matrix of a table has in a row: one more than slots, or two. */
export const columnsOf = ({ rows, slots, matrix }) => matrix.length / (rows * slots);

/**
 * A table with other guidance.
 * @param {object} table
 * @param {number|{weight: number, interval?: number[], rescale?: number}} guidance as of {@link Model#sample}
 */
export function guided(table, guidance) {
  const { weight, interval = [0, Infinity], rescale = 0 } = typeof guidance === "object" ? guidance : { weight: guidance };
  const [low, highest] = interval;
  if (!Number.isFinite(weight)) throw new ZooError(`guidance must be a finite number, not ${weight}`);
  if (!(low >= 0 && low < highest)) throw new ZooError(`a guidance interval is two noise levels, the lower first, not ${interval}`);
  if (!(rescale >= 0 && rescale <= 1)) throw new ZooError(`guidance rescale lies in [0, 1], not ${rescale}`);
  const column = (inside, outside) => Float64Array.from({ length: table.rows }, (_, row) => {
    const level = table.sigma[row] / table.alpha[row];
    return level >= low && level <= highest ? inside : outside;
  });
  return { ...table, guidance: column(weight, 1), rescale: column(rescale, 0) };
}

/** The weight of what a composition is guided away from: 1 minus the sum of all, rounded once: 0.7, 0.2 and 0.1 leave 0. */
export function rest(w, further = []) {
  let sum = w, lost = 0; // as Neumaier adds
  for (const weight of further) {
    const next = sum + weight;
    lost += Math.abs(sum) >= Math.abs(weight) ? sum - next + weight : weight - next + sum;
    sum = next;
  }
  return 1 - (sum + lost);
}

/**
 * The conditions that one guided step evaluates, and their weights: (conditions, other) have weights (w, ..., 1 - Σ w), and
 * what has weight 0 is not evaluated. Guidance is the composition of one condition.
 */
export function evaluations(condition, w, other, further = []) {
  if (!condition) return { evaluated: [condition], weights: Float32Array.of(1) };
  const every = [[condition, w], ...further, [other, rest(w, further.map(([, weight]) => weight))]].filter(([, weight]) => weight !== 0);
  return { evaluated: every.map(([each]) => each), weights: Float32Array.from(every, ([, weight]) => weight) };
}
