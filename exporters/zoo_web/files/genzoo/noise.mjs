/**
 * The specified random numbers: Philox4x32-10 counters turned into normals by Box-Muller, word for word those of genzoo's
 * zoo/noise.py. 32-bit integer arithmetic only.
 *
 *     counter = (block, sample, step, stream)     key = (seed mod 2³², seed div 2³²)
 *
 * @license Apache-2.0
 */

import { ZooError } from "./errors.mjs";

/** The purpose of a random number; the last word of the counter. */
export const Stream = Object.freeze({ INITIAL: 0, STEP: 1, PROBE: 2, DEQUANTIZE: 3, CONDITION: 4 });

/** Upper 32 bits of a product of two 32-bit words, by 16-bit halves: each sum below stays under 2³². */
function high(a, b) {
  const al = a & 0xffff, ah = a >>> 16, bl = b & 0xffff, bh = b >>> 16;
  const first = ah * bl + ((al * bl) >>> 16);
  const second = al * bh + (first & 0xffff);
  return ah * bh + (first >>> 16) + (second >>> 16);
}

/**
 * Philox4x32-10 (Salmon et al. 2011).
 * @param {ArrayLike<number>} counter four 32-bit words
 * @param {ArrayLike<number>} key two 32-bit words
 * @returns {Uint32Array} four words
 */
export function philox4x32(counter, key, out = new Uint32Array(4), at = 0) {
  let c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  let k0 = key[0], k1 = key[1];
  for (let round = 0; round < 10; round++) {
    const h0 = high(0xd2511f53, c0), l0 = Math.imul(0xd2511f53, c0);
    const h1 = high(0xcd9e8d57, c2), l1 = Math.imul(0xcd9e8d57, c2);
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1 >>> 0;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[at] = c0; out[at + 1] = c1; out[at + 2] = c2; out[at + 3] = c3;
  return out;
}

/** The two words of a seed: a whole number in [0, 2⁶⁴), as a number or a BigInt. */
export function keyOf(seed) {
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed)) {
    throw new ZooError(`a seed is a whole number from 0 up, not ${seed}`, "Give seeds beyond 2**53 as BigInt.");
  }
  const value = BigInt(seed);
  if (value < 0n || value >= 1n << 64n) throw new ZooError(`a seed lies in 0 to 2**64 - 1, not ${seed}`);
  return [Number(value & 0xffffffffn), Number(value >> 32n)];
}

/** Words of `n` samples of `size` elements each, rounded up to blocks of four. */
function words(seed, n, size, { first = 0, step = 0, stream = Stream.INITIAL } = {}) {
  const key = keyOf(seed), blocks = Math.ceil(size / 4), out = new Uint32Array(n * blocks * 4);
  for (let i = 0; i < n; i++) {
    for (let b = 0; b < blocks; b++) philox4x32([b, first + i, step, stream], key, out, 4 * (i * blocks + b));
  }
  return { out, row: blocks * 4 };
}

const unit = (word) => ((word >>> 9) + 0.5) * 2 ** -23;

/**
 * Uniforms strictly inside (0, 1).
 * @param {number|bigint} seed
 * @param {number} n samples
 * @param {number} size elements of one sample
 * @param {{first?: number, step?: number, stream?: number}} place index of the first sample, row of the table, use
 * @returns {Float32Array} n · size
 */
export function uniform(seed, n, size, place) {
  const { out, row } = words(seed, n, size, place);
  return Float32Array.from({ length: n * size }, (_, j) => unit(out[Math.floor(j / size) * row + (j % size)]));
}

/** Standard normals; arguments and result as for {@link uniform}. Computed in float64, rounded once. */
export function normal(seed, n, size, place) {
  const { out, row } = words(seed, n, size, place), z = new Float32Array(n * size);
  for (let i = 0; i < n; i++) {
    for (let e = 0; e < size; e += 2) {
      const radius = Math.sqrt(-2 * Math.log(unit(out[i * row + e])));
      const angle = 2 * Math.PI * unit(out[i * row + e + 1]);
      z[i * size + e] = radius * Math.cos(angle);
      if (e + 1 < size) z[i * size + e + 1] = radius * Math.sin(angle);
    }
  }
  return z;
}

/** Standard Gumbel numbers -ln(-ln u); arguments and result as for {@link uniform}. */
export function gumbel(seed, n, size, place) {
  const { out, row } = words(seed, n, size, place);
  return Float32Array.from({ length: n * size }, (_, j) => -Math.log(-Math.log(unit(out[Math.floor(j / size) * row + (j % size)]))));
}

const DRAWS = { normal, uniform, gumbel };

/**
 * The noises of a program, in the order of their streams: the k-th has step k of stream 0.
 * @param {string|{name: string, distribution: string}[]} noise of the manifest; a text names an input of normals
 * @returns {{name: string, draw: (seed: number|bigint, n: number, size: number, first: number) => Float32Array}[]}
 */
export function noisesOf(noise) {
  const listed = typeof noise === "string" ? [{ name: noise, distribution: "normal" }] : noise;
  return (listed ?? []).map(({ name, distribution }, step) => {
    if (!Object.hasOwn(DRAWS, distribution)) throw new ZooError(`noise of the distribution ${distribution} cannot be drawn here`);
    return { name, draw: (seed, n, size, first) => DRAWS[distribution](seed, n, size, { first, step }) };
  });
}

/** Whether a program's samples have a temperature: it draws them in one call, from normals alone. */
export function tempers({ kind, noise }) {
  return kind === "direct" && (typeof noise === "string" || (noise ?? []).every(({ distribution }) => distribution === "normal"));
}

/** What the normals of a program are multiplied by: its own temperature, or the one that is asked for. */
export function tempered(program, asked) {
  if (asked === undefined || asked === null) return Math.fround(program.temperature ?? 1);
  if (!(tempers(program) && Number.isFinite(asked) && asked >= 0)) throw new ZooError("a temperature is a number, 0 or more, of a model that samples normals in one call");
  return Math.fround(asked);
}

/** A seed short enough to be written down. */
export function randomSeed() { return globalThis.crypto.getRandomValues(new Uint32Array(1))[0]; }
