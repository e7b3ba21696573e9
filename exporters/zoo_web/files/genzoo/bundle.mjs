/**
 * A bundle, whose files are checked against its manifest, and its graphs, loaded on demand.
 *
 * @license Apache-2.0
 */

import { ZooError } from "./errors.mjs";
import { sha256 } from "./files.mjs";
import { inlined } from "./inline.mjs";

const FIELDS = ["format", "created_by", "model", "event_shape", "condition", "levels", "licenses", "noise", "graphs",
  "programs", "batch", "precision", "kind", "length", "proof", "files"];
const OPTIONAL = ["batch", "precision", "kind", "length"];
/** Files that graphs never take weights from. */
const OTHERS = ["tables.safetensors", "golden.safetensors", "example.safetensors"];
const AGAIN = "Copy or export the bundle again.";

/** The manifest of a bundle, if this runtime supports it. */
export function manifestOf(bytes) {
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ZooError(`manifest.json is not JSON: ${error.message}`, AGAIN, error);
  }
  if (manifest?.format?.name !== "genzoo-bundle") throw new ZooError("manifest.json is not that of a genzoo bundle");
  const { version } = manifest.format;
  if (version !== 1 && version !== 2) {
    throw new ZooError(`the bundle is of format ${version}; this module reads 1 and 2`, "Get a newer genzoo.mjs.");
  }
  const unknown = Object.keys(manifest).filter((field) => !FIELDS.includes(field));
  const lacking = FIELDS.filter((field) => !Object.hasOwn(manifest, field) && !OPTIONAL.includes(field));
  if (unknown.length) throw new ZooError(`the manifest has the fields ${unknown.join(", ")}, which format ${version} does not have`);
  if (lacking.length) throw new ZooError(`the manifest has no ${lacking.join(", ")}`, AGAIN);
  if (version === 1) checkFirst(manifest);
  const { generator, normals } = manifest.noise;
  if (generator !== "philox4x32-10" || normals !== "box-muller") {
    throw new ZooError(`noise of ${generator} by ${normals} is not supported here`);
  }
  return manifest;
}

/** Refuses what version 1 of the format does not have. */
function checkFirst(manifest) {
  const programs = Object.values(manifest.programs).filter((program) => program);
  const later = {
    length: manifest.length !== undefined,
    parts: manifest.condition?.parts !== undefined,
    condition_encoder: programs.some((program) => program.condition_encoder !== undefined),
    unclipped_column: programs.some((program) => program.unclipped_column !== undefined),
    temperature: programs.some((program) => program.temperature !== undefined),
    "several noises": programs.some((program) => Array.isArray(program.noise)),
    "a model that only scores": !manifest.programs.sample,
  };
  const names = Object.keys(later).filter((name) => later[name]);
  if (names.length) throw new ZooError(`the manifest has ${names.join(", ")}, which format 1 does not have`);
}

export class Bundle {
  /**
   * @param {object} manifest
   * @param {(name: string) => Promise<Uint8Array>} read
   * @param {object} ort the module of ONNX Runtime
   * @param {object} options ONNX Runtime's session options
   */
  constructor(manifest, read, ort, options) {
    this.manifest = manifest;
    this.ort = ort;
    this._read = read;
    this._options = options;
    this._weights = null;
    this._sessions = new Map();
  }

  /** A file of the bundle, checked against the manifest. */
  async file(name) {
    const stated = Object.hasOwn(this.manifest.files, name) ? this.manifest.files[name] : null;
    if (!stated || !/^[\w-][\w.-]*$/.test(name)) throw new ZooError(`the bundle has no file ${name}`);
    const bytes = await this._read(name);
    if (bytes.length !== stated.size) throw new ZooError(`${name} has ${bytes.length} bytes, expected ${stated.size}`, AGAIN);
    if ((await sha256(bytes)) !== stated.sha256) throw new ZooError(`${name} has been altered or damaged: its sha256 differs`, AGAIN);
    return bytes;
  }

  /** Inputs and outputs of a graph, as the manifest states them. */
  graph(name) {
    const graph = Object.hasOwn(this.manifest.graphs, name) ? this.manifest.graphs[name] : null;
    if (!graph) throw new ZooError(`the bundle has no graph ${name}`);
    return graph;
  }

  /** One of the graphs as a session of ONNX Runtime, loaded on first use. */
  session(graph) {
    if (!this._sessions.has(graph)) {
      const session = this._open(this.graph(graph).file);
      session.catch(() => this._sessions.delete(graph)); // so that a failed download can be tried again
      this._sessions.set(graph, session);
    }
    return this._sessions.get(graph);
  }

  /** Free the memory of the graphs and of the weights. */
  async release() {
    const sessions = await Promise.all(this._sessions.values());
    this._sessions.clear();
    this._weights = null;
    for (const session of sessions) await session.release();
  }

  async _open(file) {
    const externalData = await this._external();
    const bytes = inlined(await this.file(file), new Map(externalData.map(({ path, data }) => [path, data])));
    try {
      return await this.ort.InferenceSession.create(bytes, { ...this._options, ...(externalData.length ? { externalData } : {}) });
    } catch (error) {
      throw new ZooError(`ONNX Runtime cannot load ${file}: ${error.message ?? error}`, "", error);
    }
  }

  /** The files that graphs may take weights from, read once for all graphs. */
  _external() {
    if (!this._weights) {
      const names = Object.keys(this.manifest.files).filter((name) => name.endsWith(".safetensors") && !OTHERS.includes(name));
      this._weights = Promise.all(names.map(async (path) => ({ path, data: await this.file(path) })));
      this._weights.catch(() => { this._weights = null; });
    }
    return this._weights;
  }
}
