/**
 * The model of this package in Node.
 *
 *     import { open } from "PACKAGE";
 *     const model = await open();
 *     const { data, shape } = await model.sample(4, { seed: 0 });
 *
 * See genzoo/genzoo.mjs for what a model can do.
 *
 * @license Apache-2.0
 */

import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { ZooError, load } from "./genzoo/genzoo.mjs";

export * from "./genzoo/genzoo.mjs";

const RUNTIMES = ["onnxruntime-node", "onnxruntime-web"];

/** A reader of the files of a folder. */
export function folderReader(folder) {
  return (name) => readFile(join(folder, name)).catch((error) => {
    throw new ZooError(`${join(folder, name)} cannot be read: ${error.message}`, "", error);
  });
}

/**
 * Open the bundle of this package, or another one.
 * @param {{folder?: string, runtime?: string, threads?: number}} [options] `folder`: of another bundle; `runtime`:
 *     "onnxruntime-node" or "onnxruntime-web", by default the first of them that is installed; `threads`: of the CPU
 * @returns {Promise<import("./genzoo/genzoo.mjs").Model>}
 */
export async function open({ folder = join(dirname(fileURLToPath(import.meta.url)), "bundle"), runtime, threads } = {}) {
  const { name, ort } = await findRuntime(runtime ? [runtime] : RUNTIMES);
  const session = { logSeverityLevel: 3 };
  if (name === "onnxruntime-web") {
    ort.env.wasm.numThreads = threads ?? 1;
    session.executionProviders = ["wasm"];
  } else if (threads) {
    session.intraOpNumThreads = threads;
  }
  return load(folderReader(folder), ort, { session });
}

/** The first runtime that can be imported: from here, or from the folder that GENZOO_NODE_MODULES names. */
async function findRuntime(names) {
  const elsewhere = process.env.GENZOO_NODE_MODULES;
  const reasons = [];
  // onnxruntime-node has no call for this, and reads it when it is imported: nothing is told to its makers, unless
  // the environment says 0. onnxruntime-web tells nothing.
  process.env.ORT_DISABLE_TELEMETRY ??= "1";
  for (const name of names) {
    for (const find of [() => name, ...(elsewhere ? [() => entryIn(elsewhere, name)] : [])]) {
      try {
        const module = await import(await find());
        return { name, ort: module.InferenceSession ? module : module.default };
      } catch (error) {
        reasons.push(`${name}: ${error.message.split("\n")[0]}`);
      }
    }
  }
  throw new ZooError(`no ONNX Runtime can be imported (${reasons.join("; ")})`, "npm install onnxruntime-node");
}

/** The module of a package in a folder of packages. */
async function entryIn(folder, name) {
  const { createRequire } = await import("node:module");
  return pathToFileURL(createRequire(join(folder, "package.json")).resolve(join(folder, name))).href;
}
