/**
 * Files of a bundle: fetched, digested, and the tensors in them.
 *
 * @license Apache-2.0
 */

import { count } from "./data.mjs";
import { ZooError } from "./errors.mjs";

/**
 * A reader of the files of a folder on a web server.
 * @param {string|URL} base the folder's address, ending in "/"
 * @returns {(name: string) => Promise<Uint8Array>}
 */
export function fetchReader(base) {
  return async (name) => {
    const response = await fetch(new URL(name, new URL(base, globalThis.location?.href))).catch((error) => {
      throw new ZooError(`${name} cannot be fetched: ${error.message}`, "Is the server there?", error);
    });
    if (!response.ok) throw new ZooError(`${name} cannot be fetched: the server says ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
}

const SAFETENSORS = { F64: Float64Array, F32: Float32Array, I32: Int32Array, I64: BigInt64Array };

/**
 * The tensors of a safetensors file of F64, F32, I32 and I64; 64-bit integers become numbers.
 * @param {Uint8Array} bytes
 * @returns {Map<string, {shape: number[], data: ArrayLike<number>}>}
 */
export function readSafetensors(bytes) {
  const wrong = (why) => new ZooError(`this is not a safetensors file: ${why}`);
  if (bytes.byteLength < 8) throw wrong("it has fewer than 8 bytes");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true), start = 8 + length;
  if (view.getUint32(4, true) !== 0 || start > bytes.byteLength) throw wrong("its header is longer than the file");
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, start)));
  } catch (error) {
    throw wrong(error.message);
  }
  const tensors = new Map();
  for (const [name, { dtype, shape = [], data_offsets: [begin, end] = [] }] of Object.entries(header ?? {})) {
    if (name === "__metadata__") continue;
    const Kind = Object.hasOwn(SAFETENSORS, dtype) ? SAFETENSORS[dtype] : null;
    if (!Kind) throw wrong(`${name} is of type ${dtype}`);
    if (!(begin >= 0 && start + end <= bytes.byteLength && end - begin === count(shape) * Kind.BYTES_PER_ELEMENT)) {
      throw wrong(`${name} does not lie in it`);
    }
    // a copy, since the file does not align its tensors; not by bytes.slice, which is a view in a Buffer of Node
    const data = new Kind(bytes.buffer.slice(bytes.byteOffset + start + begin, bytes.byteOffset + start + end));
    tensors.set(name, { shape, data: Kind === BigInt64Array ? Array.from(data, Number) : data });
  }
  return tensors;
}

/** SHA-256 as hexadecimal digits. Browsers keep `crypto.subtle` from pages without https: there it is computed here. */
export async function sha256(bytes, subtle = globalThis.crypto?.subtle) {
  const digest = subtle ? new Uint8Array(await subtle.digest("SHA-256", bytes)) : plainSha256(bytes);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** SHA-256 (FIPS 180-4, section 6.2). */
function plainSha256(bytes) {
  const primes = [];
  for (let p = 2; primes.length < 64; p++) if (primes.every((q) => p % q)) primes.push(p);
  const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32);
  const k = primes.map((p) => fraction(Math.cbrt(p))), h = Uint32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));
  const padded = new Uint8Array((Math.floor((bytes.length + 8) / 64) + 1) * 64), view = new DataView(padded.buffer);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length << 3);
  const w = new Uint32Array(64), turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let at = 0; at < padded.length; at += 64) {
    for (let t = 0; t < 16; t++) w[t] = view.getUint32(at + 4 * t);
    for (let t = 16; t < 64; t++) {
      const s0 = turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ (w[t - 15] >>> 3);
      const s1 = turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ (w[t - 2] >>> 10);
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let t = 0; t < 64; t++) {
      const one = last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[t] + w[t];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      last = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    [a, b, c, d, e, f, g, last].forEach((value, i) => { h[i] += value; });
  }
  const out = new DataView(new ArrayBuffer(32));
  h.forEach((value, i) => out.setUint32(4 * i, value));
  return new Uint8Array(out.buffer);
}
