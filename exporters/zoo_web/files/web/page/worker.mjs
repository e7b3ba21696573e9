/**
 * The model, away from the page so that the page stays responsive. Messages in: {id, call, args}. Messages out: {id, and
 * one of event, result, error}; events come while a call runs.
 *
 * @license Apache-2.0
 */

import { ZooError, fetchReader, load } from "../genzoo/genzoo.mjs";

const bundle = new URL("../bundle/", import.meta.url), ortFolder = new URL("../ort/", import.meta.url);
let model, stopping = new AbortController();

const calls = {
  /** Load ONNX Runtime and the bundle. `backend`: "wasm" or "webgpu"; `module`, `wasm`: its files. */
  async open({ backend, module, wasm }) {
    const ort = await import(new URL(module, ortFolder)).catch((error) => {
      throw new ZooError(`ONNX Runtime cannot be loaded: ${error.message}`);
    });
    ort.env.wasm.wasmPaths = { wasm: new URL(wasm, ortFolder).href };
    // threads need shared memory, which browsers give only to pages served with certain headers
    ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency ?? 1) : 1;
    ort.env.logLevel = "error";
    const session = { executionProviders: backend === "webgpu" ? ["webgpu", "wasm"] : ["wasm"], logSeverityLevel: 3 };
    model = await load(fetchReader(bundle), ort, { session });
    return { manifest: model.manifest, tables: model.tables, scores: model.scores, threads: ort.env.wasm.numThreads };
  },

  /** As Model.sample; the seed may be a text. */
  async sample({ n, previews, seed, ...options }, tell) {
    stopping = new AbortController();
    const begun = performance.now();
    const result = await model.sample(n, {
      ...options,
      seed: BigInt(seed),
      signal: stopping.signal,
      progress: (done, total) => tell({ done, total }),
      preview: previews ? (row, first, { data }) => tell({ first, data }) : undefined,
    });
    return { data: result.data, shape: result.shape, seconds: (performance.now() - begun) / 1000 };
  },

  /** As Model.logProb. */
  async logProb({ x, condition }) {
    return model.logProb(x, { condition, signal: stopping.signal });
  },

  /** Stop the current run after its current step. */
  async stop() {
    stopping.abort();
  },
};

self.onmessage = async ({ data: { id, call, args } }) => {
  try {
    const result = await calls[call](args ?? {}, (event) => self.postMessage({ id, event }));
    self.postMessage({ id, result });
  } catch (error) {
    const { name, message, hint = "" } = error;
    self.postMessage({ id, error: { name, message, hint } });
  }
};
