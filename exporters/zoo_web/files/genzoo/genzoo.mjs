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
 * alone or among a thousand. The bundle format is specified in docs/bundle-format.md of genzoo, versions 1 and 2; this
 * module follows the programs `direct`, `iterate` and `fused`, and scores by `direct`. It needs nothing but ONNX Runtime, which is
 * passed in, and has no build step.
 *
 * @license Apache-2.0
 */

import { Bundle, manifestOf } from "./bundle.mjs";
import { Conditions, checkCondition, conditionNames, conditionOf, evenly, feedsOf, nullsOf, toldOf } from "./conditions.mjs";
import { batchesOf, checkFinite, count, dequantised, filled, inDataUnits } from "./data.mjs";
import { ZooError } from "./errors.mjs";
import { readSafetensors } from "./files.mjs";
import { Stream, keyOf, noisesOf, normal, randomSeed, tempered } from "./noise.mjs";
import { columnsOf, evaluations, guided, rest, tablesOf } from "./tables.mjs";

export { labelsOf } from "./conditions.mjs";
export { partsOf, takesTexts } from "./parts.mjs";
export { ZooError } from "./errors.mjs";
export { fetchReader, readSafetensors, sha256 } from "./files.mjs";
export { Stream, gumbel, noisesOf, normal, philox4x32, randomSeed, uniform } from "./noise.mjs";

/**
 * Open a bundle and load the graph that samples.
 * @param {(name: string) => Promise<Uint8Array>} read gives a file of the bundle, see {@link fetchReader}
 * @param {object} ort the module `onnxruntime-web` or `onnxruntime-node`
 * @param {{session?: object}} options `session`: ONNX Runtime's session options, such as its execution providers
 * @returns {Promise<Model>}
 */
export async function load(read, ort, { session = {} } = {}) {
  const manifest = manifestOf(await read("manifest.json"));
  try {
    const { sample, log_prob: scores } = manifest.programs, { kind, graph } = sample ?? scores;
    const bundle = new Bundle(manifest, read, ort, session);
    checkCondition(manifest);
    if (kind !== "direct" && kind !== "iterate") throw new ZooError(`a program of kind ${kind} cannot be run here`);
    const tables = kind === "iterate" ? tablesOf(readSafetensors(await bundle.file("tables.safetensors"))) : new Map();
    await bundle.session(graph);
    return new Model(bundle, tables);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ZooError(`the bundle is not whole: ${error.message}`, "Copy or export it again.", error);
  }
}

const ROW_INPUTS = ["time", "alpha", "sigma", "clip", "noise_scale", "noise_range", "rescale"];
const NUMBERS_IN_A_BATCH = 1 << 14;
const given = (value) => value !== undefined && value !== null;

/** A bundle as a model. Made by {@link load}. */
export class Model {
  constructor(bundle, tables) {
    /** The content of `manifest.json`. */
    this.manifest = bundle.manifest;
    /** Shape of one sample. */
    this.eventShape = bundle.manifest.event_shape;
    this._bundle = bundle;
    this._tables = tables;
  }

  /** The model's name. */
  get name() { return this.manifest.model.name; }

  /** Numbers in one sample. */
  get size() { return count(this.eventShape); }

  /** Names of the step tables, "<sampler>-<steps>", the model's default first; empty for a model that samples in one call. */
  get tables() {
    const { sampler, steps } = this.manifest.programs.sample ?? {}, own = `${sampler}-${steps}`;
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
   *     class in turn. Of a model of named parts, an object of such values by name: a class or label, a text or ids of
   *     tokens, nested arrays, a typed array, or `{data, shape}`. Each different condition is encoded once
   * @param {string|object} [options.table] a step table or its name; by default the model's own
   * @param {number|{weight: number, interval?: number[], rescale?: number}} [options.guidance] weight of classifier-free
   *     guidance; `interval`: lowest and highest noise level σ/α that are guided; by default as in the table
   * @param {*} [options.negative] condition to guide away from, instead of the null class or the nulls of all parts
   * @param {Array<[*, number]>} [options.compose] conditions and their weights, instead of `condition` and `guidance`: the
   *     output is F_other + Σ w·(F_condition - F_other), of which guidance is the case of one condition
   * @param {number} [options.temperature] what the normals of a model that samples in one call are multiplied by; by
   *     default the bundle's own. Log-densities know nothing of it
   * @param {boolean} [options.fused] run the bundle's fused graph, a whole run in one call; it has no options
   * @param {number} [options.batchSize] samples in one call of a graph
   * @param {(done: number, total: number) => void} [options.progress] called after each call of a graph
   * @param {(row: number, first: number, x: {data: Float32Array, shape: number[]}) => void} [options.preview] called after
   *     each row with the denoised samples, in data units, from sample `first` on
   * @param {AbortSignal} [options.signal] stops between two calls of a graph
   * @returns {Promise<{data: Float32Array, shape: number[], seed: number|bigint}>} in data units; shape [n, ...event]
   */
  async sample(n, { seed = randomSeed(), condition, temperature, batchSize, progress, signal, fused = false, ...options } = {}) {
    if (!Number.isInteger(n) || n < 1) throw new ZooError(`the number of samples is a whole number, 1 or more, not ${n}`);
    keyOf(seed);
    const program = this.manifest.programs[fused ? "fused" : "sample"];
    if (!this.manifest.programs.sample) throw new ZooError(`${this.name} only scores data: it cannot sample`);
    if (!program) throw new ZooError(`${this.name} has no fused graph`, "Export it with --fused.");
    const composed = composition(condition, options), further = composed.slice(1).map(([, weight]) => weight);
    const scale = tempered(program, temperature);
    const table = this._choices(program, options), asked = composed.map(([each]) => conditionOf(this, each, n));
    const other = this._other(program, table, options.negative, asked[0], n, further);
    const even = evenly(other, ...asked), batches = batchesOf(n, this._batchSize(batchSize)), encoded = [];
    for (const each of even) encoded.push(await this._encoded(program, each, n, signal));
    const session = await this._bundle.session(program.graph), data = new Float32Array(n * this.size);
    const run = this._runner(session, batches.length * (table?.rows ?? 1), progress, signal);
    for (const [first, end] of batches) {
      const [other, condition, ...others] = encoded.map((each) => each?.part(first, end, this._rows(end - first)));
      const more = others.map((each, i) => [each, further[i]]);
      const part = { first, n: end - first, seed, scale, condition, other, more, preview: options.preview };
      const how = { direct: "_direct", iterate: "_iterate", fused: "_fused" }[program.kind];
      data.set((await this[how](program, run, part, table)).subarray(0, part.n * this.size), first * this.size);
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
   * @returns {Promise<Float64Array>} n values; data outside the support of the model has -∞
   */
  async logProb(x, { condition, seed = 0, batchSize, progress, signal } = {}) {
    if (!this.scores) throw new ZooError(`${this.name} does not score in one call, and this module supports nothing else`);
    const n = x.length / this.size, program = this.manifest.programs.log_prob, { graph } = program;
    if (!Number.isInteger(n) || n < 1) throw new ZooError(`${x.length} numbers are not events of ${this.size} numbers each`);
    const described = this.manifest.condition, optional = described?.parts?.every(({ required }) => required === false);
    if (described && !given(condition) && !optional) throw new ZooError(`scoring with ${this.name} needs the ${toldOf(described)} of the data`);
    const values = dequantised(x, n, this.manifest.levels, seed), asked = conditionOf(this, condition ?? (optional ? {} : undefined), n);
    checkFinite(values, "the data");
    const names = conditionNames(this.manifest, program.condition_encoder), conditions = await this._encoded(program, asked, n, signal);
    const { inputs, outputs: [output] } = this._bundle.graph(graph), port = inputs.find(({ name }) => !names.includes(name));
    const batches = batchesOf(n, this._batchSize(batchSize)), session = await this._bundle.session(graph);
    const run = this._runner(session, batches.length, progress, signal), result = new Float64Array(n);
    for (const [first, end] of batches) {
      const m = this._rows(end - first), feeds = {};
      feeds[port.name] = this._tensor(filled(values.subarray(first * this.size, end * this.size), this.size, m), [m, ...this.eventShape]);
      Object.assign(feeds, this._conditions([conditions?.part(first, end, m)], [m]));
      result.set((await run(feeds, [output.name]))[output.name].data.subarray(0, end - first), first);
    }
    const wrong = result.findIndex((value) => Number.isNaN(value) || value === Infinity);
    if (wrong >= 0) throw new ZooError(`log-densities of ${this.name} are not numbers, the first is that of datum ${wrong}`);
    return result;
  }

  /** Free the memory of the graphs. */
  async release() { await this._bundle.release(); }

  // -- programs -------------------------------------------------------------------------------------------------------

  /** One call: noise in, samples out. */
  async _direct({ graph, noise }, run, { first, n, seed, scale, condition }) {
    const { inputs, outputs: [output] } = this._bundle.graph(graph), m = this._rows(n), feeds = {};
    for (const { name, draw } of noisesOf(noise)) {
      const shape = inputs.find((port) => port.name === name).shape.slice(1), size = count(shape);
      const drawn = draw(seed, n, size, first), z = scale === 1 ? drawn : drawn.map((each) => scale * each);
      feeds[name] = this._tensor(filled(z, size, m), [m, ...shape]);
    }
    Object.assign(feeds, this._conditions([condition], [m]));
    return (await run(feeds, [output.name]))[output.name].data;
  }

  /** A whole run in one call: seed in, samples out. */
  async _fused({ graph }, run, { first, n, seed, condition }) {
    const { inputs, outputs: [output] } = this._bundle.graph(graph), whole = (value) => this._tensor(BigInt64Array.of(BigInt.asIntN(64, BigInt(value))), []);
    const feeds = { seed: whole(seed), first: whole(first), n: whole(n) };
    // named parts may have one row for all samples
    const one = condition?.rows === 1 && inputs.some(({ shape }) => shape[0] === "rows"), m = one ? 1 : this._rows(n);
    Object.assign(feeds, this._conditions([one ? condition.part(0, 1, 1) : condition], [m]));
    return (await run(feeds, [output.name]))[output.name].data;
  }

  /** A step table over a graph: one row, one call. */
  async _iterate(program, run, { first, n, seed, condition, other, more, preview }, table) {
    const { inputs } = this._bundle.graph(program.graph), taken = new Set(inputs.map(({ name }) => name));
    // a state may be a latent, which a decoder turns into a sample
    const event = inputs.find(({ name }) => name === "state").shape.slice(2), numbers = count(event);
    const m = this._rows(n), size = m * numbers, shape = [m, ...event];
    const noise = (place) => filled(normal(seed, n, numbers, { first, ...place }), numbers, m);
    const slots = new Float32Array(table.slots * size), scale = Math.fround(table.initial_scale);
    noise().forEach((z, i) => { slots[i] = scale * z; });
    let state = this._tensor(slots, [table.slots, ...shape]);
    const silence = this._tensor(new Float32Array(size), shape), ones = this._tensor(new Float32Array(size).fill(1), shape);
    let last, evaluated, weights, conditions;
    for (let row = 0; row < table.rows; row++) {
      if (table.guidance[row] !== last) {
        last = table.guidance[row];
        ({ evaluated, weights } = evaluations(condition, last, other, more));
        conditions = this._conditions(evaluated, [weights.length, m]);
      }
      const columns = columnsOf(table), cells = table.slots * columns;
      const feeds = {
        state,
        matrix: this._tensor(Float32Array.from(table.matrix.slice(row * cells, (row + 1) * cells)), [table.slots, columns]),
        noise: table.noise_scale[row] ? this._tensor(noise({ step: row, stream: Stream.STEP }), shape) : silence,
        weights: this._tensor(weights, [weights.length]),
        known: silence,
        mask: ones,
      };
      for (const name of ROW_INPUTS) feeds[name] = this._tensor(Float32Array.of(table[name][row]), []);
      Object.assign(feeds, conditions);
      for (const name of Object.keys(feeds)) if (!taken.has(name)) delete feeds[name];
      const results = await run(feeds, preview ? ["next_state", "denoised"] : ["next_state"]);
      state = results.next_state;
      checkFinite(state.data, `the state after step ${row + 1} of ${table.rows}`);
      if (preview) {
        const seen = await this._decoded(program, inDataUnits(program, results.denoised.data), shape);
        preview(row, first, { data: seen.subarray(0, n * this.size), shape: [n, ...this.eventShape] });
      }
    }
    return this._decoded(program, inDataUnits(program, state.data.subarray(0, size)), shape);
  }

  /** Decoded latents if the model has a decoder, else the states themselves. */
  async _decoded({ decoder }, latent, shape) {
    if (!decoder) return latent;
    const run = this._runner(await this._bundle.session(decoder), 1);
    return (await run({ latent: this._tensor(latent, shape) }, ["x"])).x.data;
  }

  // -- arguments ------------------------------------------------------------------------------------------------------

  /** The table to run, with the requested guidance; null for a program of one call, which has no such choices. */
  _choices({ kind, graph, unclipped_column: unclipped = false }, { table: choice, guidance, negative, preview, compose, ...unknown }) {
    const [name] = Object.keys(unknown);
    if (name) throw new ZooError(`sampling has no option ${name}`);
    if (kind !== "iterate") {
      const refused = Object.entries({ table: choice, guidance, negative, compose, preview }).find(([, value]) => given(value));
      if (refused) throw new ZooError(`${this.name} samples in one call${kind === "fused" ? " of its fused graph" : ""} and takes no ${refused[0]}`);
      return null;
    }
    const table = typeof choice === "object" && choice !== null ? choice : this.table(choice ?? undefined);
    const weight = given(compose) ? compose[0][1] : guidance, made = given(weight) ? guided(table, weight) : table;
    if (made.rescale.some((share) => share !== 0) && !this._bundle.graph(graph).inputs.some(({ name }) => name === "rescale")) {
      throw new ZooError(`graph ${graph} cannot rescale guidance: it has no input rescale`);
    }
    if (columnsOf(made) !== made.slots + 1 && !(unclipped && columnsOf(made) === made.slots + 2)) {
      throw new ZooError(`graph ${graph} takes no matrix of ${columnsOf(made)} columns for ${made.slots} slots`);
    }
    return made;
  }

  /** The negative condition of n samples, or null without guidance. */
  _other({ null_class: nothing }, table, negative, asked, n, further = []) {
    if (table === null) return null;
    if (given(negative)) return conditionOf(this, negative, n);
    if (table.guidance.every((w) => rest(w, further) === 0)) return null;
    if (!this.manifest.condition?.parts && !(asked && Number.isInteger(nothing))) {
      throw new ZooError(`guidance needs a null class, which ${this.name} does not have`);
    }
    const nulls = nullsOf(this);
    // a class that a manifest names otherwise
    for (const values of this.manifest.condition.parts ? [] : nulls.values()) values.data = Int32Array.of(nothing);
    return nulls;
  }

  /** The conditions of n samples as graphs take them: encoded, each different one once, if the program names an encoder. */
  async _encoded({ condition_encoder: encoder }, asked, n, signal) {
    const conditions = Conditions.of(asked, n);
    if (!conditions || !encoder) return conditions;
    const { inputs, outputs } = this._bundle.graph(encoder), fixed = inputs[0].shape[0];
    const numbers = Array.from(conditions.ports.values(), ({ shape }) => count(shape)).reduce((a, b) => a + b, 0);
    const size = Number.isInteger(fixed) ? fixed : Math.max(Math.floor(NUMBERS_IN_A_BATCH / numbers), 1), batches = [];
    for (let first = 0; first < conditions.rows; first += size) batches.push([first, Math.min(first + size, conditions.rows)]);
    const run = this._runner(await this._bundle.session(encoder), batches.length, null, signal), names = outputs.map(({ name }) => name), found = [];
    const each = new Conditions(conditions.ports, Int32Array.from({ length: conditions.rows }, (_, i) => i), conditions.rows);
    for (const [first, end] of batches) {
      const rows = Number.isInteger(fixed) ? fixed : end - first;
      found.push(await run(this._conditions([each.part(first, end, rows)], [rows]), names));
    }
    return conditions.encoded(new Map(names.map((name) => {
      const shape = found[0][name].dims.slice(1), data = new found[0][name].data.constructor(batches.length * size * count(shape));
      found.forEach((results, i) => data.set(results[name].data, i * size * count(shape)));
      checkFinite(data, `what graph ${encoder} makes of the condition`);
      return [name, { data, shape }];
    })));
  }

  /** The batch size of one call: as requested, or the fixed batch size of the graphs. */
  _batchSize(asked) {
    const size = asked ?? Math.min(Math.max(Math.floor(NUMBERS_IN_A_BATCH / this.size), 1), 4096);
    return given(this.manifest.batch) ? Math.min(size, this.manifest.batch) : size;
  }

  /** The number of rows in a call for n samples: fixed batches are padded with copies of the last sample. */
  _rows(n) { return this.manifest.batch ?? n; }

  // -- tensors and calls ----------------------------------------------------------------------------------------------

  /** Conditions, each of as many samples, as inputs of a graph. */
  _conditions(evaluated, leading) {
    return feedsOf(evaluated.filter(Boolean), leading, (data, shape) => this._tensor(data, shape));
  }

  _tensor(data, shape) {
    const type = data instanceof Int32Array ? "int32" : data instanceof BigInt64Array ? "int64" : "float32";
    return new this._bundle.ort.Tensor(type, data, shape);
  }

  /** Calls a graph; between two calls, reports progress and checks for cancellation. */
  _runner(session, total, progress, signal) {
    let done = 0;
    return async (feeds, outputs) => {
      signal?.throwIfAborted();
      let results;
      try {
        results = await session.run(feeds, outputs);
      } catch (error) {
        throw new ZooError(`ONNX Runtime failed: ${error.message ?? error}`, "Try fewer samples at a time.", error);
      }
      progress?.(++done, total);
      await breathe();
      return results;
    };
  }
}

/** The conditions of `compose` and their weights, or the one condition. */
function composition(condition, { compose, guidance }) {
  if (!given(compose)) return [[condition]];
  if (given(condition) || given(guidance)) throw new ZooError("compose lists conditions with their weights, so it takes neither a condition nor guidance besides");
  const pairs = Array.isArray(compose) && compose.length > 0 && compose.every((pair) => Array.isArray(pair) && pair.length === 2);
  if (!pairs) throw new ZooError("compose is a list of pairs of a condition and its weight, one pair or more");
  const wrong = compose.find(([, weight]) => !Number.isFinite(weight));
  if (wrong) throw new ZooError(`a weight of compose is a finite number, not ${wrong[1]}`);
  return compose;
}

/** Yield to the event loop. Not with a timer, which hidden pages throttle. */
function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(null);
  });
}
