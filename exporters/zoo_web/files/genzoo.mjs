/**
 * genzoo.mjs: run a genzoo bundle in JavaScript, in a browser or in Node.
 *
 *     import * as ort from "onnxruntime-web";              // or "onnxruntime-node"
 *     import { load, fetchReader } from "./genzoo.mjs";
 *
 *     const model = await load(fetchReader("bundle/"), ort);
 *     const { data, shape } = await model.sample(4, { seed: 0, condition: 3 });
 *
 * The same seed gives the samples that PyTorch and Python's ONNX Runtime give, up to rounding: sample i is the same
 * alone or among a thousand. What a bundle is stands in docs/bundle-format.md of genzoo; this module follows the
 * programs `direct` and `iterate`. It needs nothing but ONNX Runtime, which is passed in, and has no build step.
 *
 * @license Apache-2.0
 */

import { ZooError } from "./errors.mjs";
import { count, readSafetensors, sha256 } from "./files.mjs";
import { Stream, keyOf, normal, randomSeed, uniform } from "./noise.mjs";

export { ZooError } from "./errors.mjs";
export { fetchReader, readSafetensors, sha256 } from "./files.mjs";
export { Stream, normal, philox4x32, randomSeed, uniform } from "./noise.mjs";

const WEIGHTS = "weights.safetensors", TABLES = "tables.safetensors";

/**
 * Open a bundle and load the graph that samples.
 * @param {(name: string) => Promise<Uint8Array>} read gives a file of the bundle, see {@link fetchReader}
 * @param {object} ort the module `onnxruntime-web` or `onnxruntime-node`
 * @param {{session?: object}} options `session`: ONNX Runtime's session options, such as its execution providers
 * @returns {Promise<Model>}
 */
export async function load(read, ort, { session = {} } = {}) {
  const text = new TextDecoder().decode(await read("manifest.json"));
  try {
    return await opened(JSON.parse(text), read, ort, session);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new ZooError(`the bundle is not whole: ${error.message}`, "Copy or export it again.", error);
  }
}

async function opened(manifest, read, ort, session) {
  if (manifest?.format?.name !== "genzoo-bundle") throw new ZooError("manifest.json is not that of a genzoo bundle");
  if (manifest.format.version !== 1) {
    throw new ZooError(`the bundle is of format ${manifest.format.version}; this module reads 1`, "Get a newer genzoo.mjs.");
  }
  const { kind } = manifest.programs.sample;
  if (kind !== "direct" && kind !== "iterate") throw new ZooError(`a program of kind ${kind} cannot be run here`);
  const model = new Model(manifest, read, ort, session);
  if (kind === "iterate") model._tables = tablesOf(readSafetensors(await model._file(TABLES)));
  await model._session(manifest.programs.sample.graph);
  return model;
}

/** Tables by name, "<sampler>-<steps>", each an object of columns. */
function tablesOf(tensors) {
  const tables = new Map();
  for (const [path, { shape, data }] of tensors) {
    const [name, column] = path.split("/");
    if (!tables.has(name)) tables.set(name, {});
    tables.get(name)[column] = column === "initial_scale" ? data[0] : { shape, data };
  }
  return new Map(Array.from(tables, ([name, columns]) => {
    const table = { name, rows: columns.time.shape[0], slots: columns.matrix.shape[1] };
    for (const [column, values] of Object.entries(columns)) table[column] = values.data ?? values;
    const missing = { noise_range: 0, rescale: 0, guidance: 1, clip: LARGEST };
    for (const [column, value] of Object.entries(missing)) table[column] ??= new Float64Array(table.rows).fill(value);
    return [name, table];
  }));
}

const LARGEST = 3.4028234663852886e38; // of float32
const ROW_INPUTS = ["time", "alpha", "sigma", "clip", "noise_scale", "noise_range", "rescale"];
const NUMBERS_IN_A_BATCH = 1 << 14;

/** A bundle as a model. Made by {@link load}. */
export class Model {
  constructor(manifest, read, ort, options) {
    /** What `manifest.json` says. */
    this.manifest = manifest;
    /** Shape of one sample. */
    this.eventShape = manifest.event_shape;
    this._read = read;
    this._ort = ort;
    this._options = options;
    this._files = new Map();
    this._sessions = new Map();
    this._tables = new Map();
  }

  /** The model's name. */
  get name() { return this.manifest.model.name; }

  /** Numbers in one sample. */
  get size() { return count(this.eventShape); }

  /** Names of the step tables, "<sampler>-<steps>", the model's own choice first; empty for a model of one call. */
  get tables() {
    const { sampler, steps } = this.manifest.programs.sample, own = `${sampler}-${steps}`;
    return [...this._tables.keys()].sort((a, b) => (b === own) - (a === own) || a.localeCompare(b, "en", { numeric: true }));
  }

  /** Whether {@link Model#logProb} can be used. */
  get scores() { return this.manifest.programs.log_prob?.kind === "direct"; }

  /** One step table, as an object of columns that may be changed and given to {@link Model#sample}. */
  table(name = this.tables[0]) {
    const table = this._tables.get(name);
    if (!table) throw new ZooError(`there is no step table ${name}`, `There are: ${this.tables.join(", ")}.`);
    return { ...table };
  }

  /**
   * Draw samples.
   * @param {number} n how many
   * @param {object} [options]
   * @param {number|bigint} [options.seed] key of the noise; by default a random one
   * @param {*} [options.condition] one class (number or label) or vector for all, or an array of n; by default every
   *     class in turn
   * @param {string|object} [options.table] a step table or its name; by default the model's own choice
   * @param {number|{weight: number, interval?: number[], rescale?: number}} [options.guidance] weight of classifier-free
   *     guidance; `interval`: lowest and highest noise level σ/α that are guided; by default as in the table
   * @param {*} [options.negative] class to guide away from, instead of from no class
   * @param {number} [options.batchSize] samples in one call of a graph
   * @param {(done: number, total: number) => void} [options.progress] called after each call of a graph
   * @param {(row: number, first: number, x: {data: Float32Array, shape: number[]}) => void} [options.preview] called after
   *     each row with the denoised samples, in data units, from sample `first` on
   * @param {AbortSignal} [options.signal] stops between two calls of a graph
   * @returns {Promise<{data: Float32Array, shape: number[], seed: number|bigint}>} in data units; shape [n, ...event]
   */
  async sample(n, { seed = randomSeed(), condition, negative, batchSize, progress, signal, ...options } = {}) {
    if (!Number.isInteger(n) || n < 1) throw new ZooError(`the number of samples is a whole number from 1 up, not ${n}`);
    keyOf(seed);
    const program = this.manifest.programs.sample, iterated = program.kind === "iterate";
    const session = await this._session(program.graph);
    const given = { condition: this._condition(condition, n), other: null };
    if (given.condition && Number.isInteger(program.null_class)) given.other = new Int32Array(n).fill(program.null_class);
    if (negative !== undefined && negative !== null) given.other = this._condition(negative, n);
    const table = iterated ? this._guided(options, given.other) : null;
    const batches = this._batches(n, batchSize), total = batches.length * (table?.rows ?? 1);
    const data = new Float32Array(n * this.size);
    let done = 0;
    const run = async (feeds, outputs) => {
      signal?.throwIfAborted();
      const results = await this._run(session, feeds, outputs);
      progress?.(++done, total);
      await breathe();
      return results;
    };
    for (const [first, end] of batches) {
      const part = { first, n: end - first, seed, condition: this._part(given.condition, n, first, end) };
      part.other = this._part(given.other, n, first, end);
      data.set(await (iterated ? this._iterate(run, table, part, options.preview) : this._direct(run, part)), first * this.size);
    }
    checkFinite(data, `${this.name}'s samples`);
    return { data, shape: [n, ...this.eventShape], seed };
  }

  /**
   * Log-densities in nats, of a model that scores in one call.
   * @param {ArrayLike<number>} x n events one after another, in data units. Integers of a model of discrete data (a
   *     Uint8Array, say) get the specified uniform noise of `seed` added.
   * @param {{condition?: *, seed?: number|bigint, batchSize?: number, progress?: Function, signal?: AbortSignal}} [options]
   *     as for {@link Model#sample}, but a model with classes needs the classes of its data
   * @returns {Promise<Float64Array>} n values
   */
  async logProb(x, { condition, seed = 0, batchSize, progress, signal } = {}) {
    if (!this.scores) throw new ZooError(`${this.name} does not score in one call, which is all that this module does`);
    const n = x.length / this.size, { graph } = this.manifest.programs.log_prob;
    if (!Number.isInteger(n) || n < 1) throw new ZooError(`${x.length} numbers are no events of ${this.size} numbers each`);
    if (this.manifest.condition && (condition === undefined || condition === null)) {
      throw new ZooError(`scoring with ${this.name} needs the ${this.manifest.condition.kind} of the data`);
    }
    const values = this._dequantised(x, n, seed), session = await this._session(graph);
    checkFinite(values, "the data");
    const classes = this._condition(condition, n), port = this._ports(graph).find((p) => p.name !== "condition");
    const result = new Float64Array(n), batches = this._batches(n, batchSize);
    for (const [i, [first, end]] of batches.entries()) {
      signal?.throwIfAborted();
      const part = values.slice(first * this.size, end * this.size), given = this._part(classes, n, first, end);
      const feeds = { [port.name]: this._tensor(part, [end - first, ...this.eventShape]) };
      if (given) feeds.condition = this._conditionTensor(given, [end - first]);
      const [output] = session.outputNames;
      result.set((await this._run(session, feeds, [output]))[output].data, first);
      progress?.(i + 1, batches.length);
      await breathe();
    }
    return result;
  }

  /** Free the memory of the graphs. */
  async release() {
    const sessions = await Promise.all(this._sessions.values());
    this._sessions.clear();
    for (const session of sessions) await session.release();
  }

  // -- programs -------------------------------------------------------------------------------------------------------

  async _direct(run, { first, n, seed, condition }) {
    const { graph, noise } = this.manifest.programs.sample;
    const shape = this._ports(graph).find((p) => p.name === noise).shape.slice(1);
    const feeds = { [noise]: this._tensor(normal(seed, n, count(shape), { first }), [n, ...shape]) };
    if (condition) feeds.condition = this._conditionTensor(condition, [n]);
    const [output] = this.manifest.graphs[graph].outputs;
    return (await run(feeds, [output.name]))[output.name].data;
  }

  async _iterate(run, table, { first, n, seed, condition, other }, preview) {
    const program = this.manifest.programs.sample, size = n * this.size, shape = [n, ...this.eventShape];
    const taken = new Set(this._ports(program.graph).map((port) => port.name));
    const slots = new Float32Array(table.slots * size), scale = Math.fround(table.initial_scale);
    normal(seed, n, this.size, { first }).forEach((z, i) => { slots[i] = scale * z; });
    let state = this._tensor(slots, [table.slots, ...shape]);
    const silence = this._tensor(new Float32Array(size), shape), ones = this._tensor(new Float32Array(size).fill(1), shape);
    for (let row = 0; row < table.rows; row++) {
      const { classes, weights } = evaluations(condition, table.guidance[row], other);
      const cells = table.slots * (table.slots + 1), fresh = table.noise_scale[row] !== 0;
      const feeds = {
        state,
        matrix: this._tensor(Float32Array.from(table.matrix.slice(row * cells, (row + 1) * cells)), [table.slots, table.slots + 1]),
        noise: fresh ? this._tensor(normal(seed, n, this.size, { first, step: row, stream: Stream.STEP }), shape) : silence,
        weights: this._tensor(weights, [weights.length]),
        known: silence,
        mask: ones,
      };
      for (const name of ROW_INPUTS) feeds[name] = this._tensor(Float32Array.of(table[name][row]), []);
      if (classes) feeds.condition = this._conditionTensor(classes, [weights.length, n]);
      for (const name of Object.keys(feeds)) if (!taken.has(name)) delete feeds[name];
      const results = await run(feeds, preview ? ["next_state", "denoised"] : ["next_state"]);
      state = results.next_state;
      checkFinite(state.data, `the state after step ${row + 1} of ${table.rows}`);
      preview?.(row, first, { data: this._inDataUnits(results.denoised.data), shape });
    }
    return this._inDataUnits(state.data.subarray(0, size));
  }

  /** The table to run, with guidance as it was asked for. */
  _guided({ table: choice, guidance }, other) {
    const table = typeof choice === "object" && choice !== null ? { ...choice } : this.table(choice ?? undefined);
    if (guidance !== undefined && guidance !== null) {
      const { weight, interval: [low, highest] = [0, Infinity], rescale = 0 } = typeof guidance === "number" ? { weight: guidance } : guidance;
      if (!Number.isFinite(weight)) throw new ZooError(`guidance must be a finite number, not ${weight}`);
      const inside = (row) => table.sigma[row] / table.alpha[row] >= low && table.sigma[row] / table.alpha[row] <= highest;
      table.guidance = Float64Array.from({ length: table.rows }, (_, row) => (inside(row) ? weight : 1));
      table.rescale = Float64Array.from({ length: table.rows }, (_, row) => (inside(row) ? rescale : 0));
    }
    if (!other && table.guidance.some((w) => w !== 1)) throw new ZooError(`guidance needs a null class, which ${this.name} has not`);
    return table;
  }

  _inDataUnits(x) {
    const { shift, scale, data_min: low, data_max: top } = this.manifest.programs.sample, bounded = low !== null && top !== null;
    // each operation rounded to float32, as elsewhere
    const data = Float32Array.from(x, (value) => Math.fround(shift) + Math.fround(Math.fround(scale) * value));
    return bounded ? data.map((value) => Math.min(Math.max(value, low), top)) : data;
  }

  /** Whole numbers of discrete data as the real ones that graphs take: uniform noise added, below the next number. */
  _dequantised(x, n, seed) {
    const values = Float32Array.from(x), { levels } = this.manifest;
    if (levels === null || Array.isArray(x) || x instanceof Float32Array || x instanceof Float64Array) return values;
    if (values.some((v) => v < 0 || v >= levels)) throw new ZooError(`the data has values outside 0 to ${levels - 1}`);
    const noise = uniform(seed, n, this.size, { stream: Stream.DEQUANTIZE });
    return values.map((v, i) => {
      const sum = Math.fround(v + noise[i]);
      return sum < v + 1 ? sum : below(v + 1);
    });
  }

  // -- conditions -----------------------------------------------------------------------------------------------------

  /** The condition of n samples: Int32Array [n], Float32Array [n · d], or null. */
  _condition(value, n) {
    const { condition } = this.manifest, none = value === undefined || value === null;
    if (!condition) {
      if (none) return null;
      throw new ZooError(`${this.name} takes no condition`);
    }
    if (condition.kind === "classes") {
      if (none) return Int32Array.from({ length: n }, (_, i) => i % condition.size);
      const values = typeof value === "object" ? Array.from(value) : new Array(n).fill(value);
      if (values.length !== n) throw new ZooError(`${n} samples need one class or ${n} classes, not ${values.length}`);
      return Int32Array.from(values, (v) => this._class(v));
    }
    const flat = none ? [] : Array.from(value).flat().map(Number), d = condition.size;
    if ((flat.length !== d && flat.length !== n * d) || !flat.every(Number.isFinite)) {
      throw new ZooError(`${n} samples need a condition of ${d} numbers, for all or for each`);
    }
    return Float32Array.from({ length: n * d }, (_, i) => flat[i % flat.length]);
  }

  _class(value) {
    const { labels, size } = this.manifest.condition, index = labels.indexOf(String(value));
    if (index >= 0) return index;
    if (/^\d+$/.test(String(value)) && Number(value) < size) return Number(value);
    throw new ZooError(`there is no class ${value}`, `The classes are ${labels.length ? labels.join(", ") : `0 to ${size - 1}`}.`);
  }

  _part(values, n, first, end) { return values && values.slice((values.length / n) * first, (values.length / n) * end); }

  _conditionTensor(values, shape) {
    return values instanceof Int32Array ? this._tensor(values, shape) : this._tensor(values, [...shape, this.manifest.condition.size]);
  }

  // -- files and graphs -----------------------------------------------------------------------------------------------

  /** A file of the bundle, if it is the one that the manifest states. */
  async _file(name) {
    const stated = Object.hasOwn(this.manifest.files, name) ? this.manifest.files[name] : null;
    if (!stated || !/^[\w-][\w.-]*$/.test(name)) throw new ZooError(`the bundle has no file ${name}`);
    const bytes = new Uint8Array(await this._read(name)), again = "Copy or export the bundle again.";
    if (bytes.length !== stated.size) throw new ZooError(`${name} has ${bytes.length} bytes, expected ${stated.size}`, again);
    if ((await sha256(bytes)) !== stated.sha256) throw new ZooError(`${name} has been altered or damaged: its sha256 differs`, again);
    return bytes;
  }

  /** One of the graphs, loaded when first asked for. */
  _session(graph) {
    if (!this._sessions.has(graph)) {
      const session = this._open(graph);
      session.catch(() => this._sessions.delete(graph)); // so that a failed download can be tried again
      this._sessions.set(graph, session);
    }
    return this._sessions.get(graph);
  }

  async _open(graph) {
    const info = this.manifest.graphs[graph];
    if (!info) throw new ZooError(`the bundle has no graph ${graph}`);
    const options = { ...this._options };
    if (this.manifest.files[WEIGHTS]) {
      if (!this._files.has(WEIGHTS)) this._files.set(WEIGHTS, await this._file(WEIGHTS));
      options.externalData = [{ path: WEIGHTS, data: this._files.get(WEIGHTS) }];
    }
    const bytes = await this._file(info.file);
    try {
      return await this._ort.InferenceSession.create(bytes, options);
    } catch (error) {
      throw new ZooError(`ONNX Runtime cannot load ${info.file}: ${error.message ?? error}`, "", error);
    }
  }

  async _run(session, feeds, outputs) {
    try {
      return await session.run(feeds, outputs);
    } catch (error) {
      throw new ZooError(`ONNX Runtime failed: ${error.message ?? error}`, "Try fewer samples at a time.", error);
    }
  }

  _ports(graph) { return this.manifest.graphs[graph].inputs; }

  _tensor(data, shape) { return new this._ort.Tensor(data instanceof Int32Array ? "int32" : "float32", data, shape); }

  /** [first, end) of batches of nearly equal size. */
  _batches(n, batchSize) {
    const size = batchSize ?? Math.min(Math.max(Math.floor(NUMBERS_IN_A_BATCH / this.size), 1), 4096);
    if (!Number.isInteger(size) || size < 1) throw new ZooError(`a batch has 1 sample or more, not ${size}`);
    const parts = Math.ceil(n / size), edge = (i) => Math.floor((n * i) / parts);
    return Array.from({ length: parts }, (_, i) => [edge(i), edge(i + 1)]);
  }
}

/** The conditions that one guided step evaluates, and their weights: (class, other) weigh (w, 1 - w). */
function evaluations(condition, w, other) {
  if (w === 1 || !other || !condition) return { classes: condition, weights: Float32Array.of(1) };
  if (w === 0) return { classes: other, weights: Float32Array.of(1) };
  return { classes: Int32Array.of(...condition, ...other), weights: Float32Array.of(w, 1 - w) };
}

function checkFinite(values, what) {
  if (!values.every(Number.isFinite)) throw new ZooError(`${what}: there are values that are not finite`);
}

/** The largest float32 below a positive one. */
function below(x) {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0] -= 1;
  return new Float32Array(bits.buffer)[0];
}

/** Let waiting messages and clicks be served. Not by a timer: hidden pages slow those down. */
function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(null);
  });
}
