#!/usr/bin/env node
/**
 * Draw samples from the command line: `node sample.mjs -n 4 --seed 0 --class 3 -o samples.npy`
 *
 * @license Apache-2.0
 */

import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { compositionFrom, conditionFrom } from "./given.mjs";
import { ZooError, open, randomSeed } from "./index.mjs";

const HELP = `usage: node sample.mjs [options]

  -n, --n N            how many samples [1]
  --seed SEED          key of the noise; the same seed gives the same samples [random]
  --class CLASS        class, by number or label [every class in turn]
  --vector=A,B,...     condition of a model that takes a vector
  --condition PART=V   a named part of a condition, as a value or a file (.npy, .json); once for each part, or one
                       .json file with all of them
  --table NAME         step table, such as ddim-20 [the model's own choice]
  --guidance W         weight of classifier-free guidance; 1 is none [as in the table]
  --negative V         condition to guide away from, as for --class or --condition [the model's null]
  --compose V:WEIGHT   one of several conditions with weights, once for each, instead of --condition, --class, --vector
                       and --guidance: a class, the numbers of a vector, or PART=V;PART=V
  --temperature T      what the noise of a model of one call is multiplied by [the bundle's own]
  --fused              run the bundle's fused graph
  -o, --output FILE    .npy or .json [JSON on stdout]
  --bundle FOLDER      another bundle [the one of this package]
  --runtime NAME       onnxruntime-node or onnxruntime-web [what is installed]
  --threads N          threads of the CPU
  --help               this`;

const OPTIONS = {
  n: { type: "string", short: "n", default: "1" },
  output: { type: "string", short: "o" },
  help: { type: "boolean" },
  fused: { type: "boolean" },
  condition: { type: "string", multiple: true },
  negative: { type: "string", multiple: true },
  compose: { type: "string", multiple: true },
  ...Object.fromEntries(
    ["seed", "class", "vector", "table", "guidance", "temperature", "bundle", "runtime", "threads"].map((name) => [name, { type: "string" }]),
  ),
};

/** The file format NumPy's `save` writes, version 1.0, of float32 in C order. */
function npy(data, shape) {
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  const length = Math.ceil((10 + dictionary.length + 1) / 64) * 64;
  const head = Buffer.alloc(length, " ");
  head.write("\x93NUMPY\x01\x00", 0, "latin1");
  head.writeUInt16LE(length - 10, 8);
  head.write(dictionary, 10, "latin1");
  head.write("\n", length - 1, "latin1");
  return Buffer.concat([head, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

function number(name, text, kind = Number.isFinite) {
  const value = Number(text);
  if (text.trim() === "" || !kind(value)) throw new ZooError(`--${name} is a number, not ${text}`);
  return value;
}

function seedOf(text) {
  if (text === undefined) return randomSeed();
  if (!/^\d+$/.test(text)) throw new ZooError(`--seed is a whole number from 0 up, not ${text}`);
  return BigInt(text);
}

async function main() {
  let values;
  try {
    ({ values } = parseArgs({ options: OPTIONS }));
  } catch (error) {
    throw new ZooError(error.message.split(". ")[0], "node sample.mjs --help");
  }
  if (values.help) return console.log(HELP);
  const { output } = values;
  if (output !== undefined && !/\.(npy|json)$/.test(output)) throw new ZooError(`${output} ends in neither .npy nor .json`);
  const n = number("n", values.n, Number.isInteger), seed = seedOf(values.seed);
  const threads = values.threads === undefined ? undefined : number("threads", values.threads, Number.isInteger);
  const model = await open({ folder: values.bundle, runtime: values.runtime, threads });
  const { condition: described } = model.manifest, from = (option) => values[option] && conditionFrom(described, values[option], option);
  if (values.condition && (values.class ?? values.vector) !== undefined) throw new ZooError("--condition excludes --class and --vector");
  if (values.compose && (values.condition ?? values.class ?? values.vector) !== undefined) throw new ZooError("--compose excludes --condition, --class and --vector");
  const begun = performance.now();
  const { data, shape } = await model.sample(n, {
    seed,
    condition: from("condition") ?? values.class ?? values.vector?.split(",").map((v) => number("vector", v)),
    negative: from("negative"),
    compose: values.compose && compositionFrom(described, values.compose),
    table: values.table,
    fused: values.fused,
    guidance: values.guidance === undefined ? undefined : number("guidance", values.guidance),
    temperature: values.temperature === undefined ? undefined : number("temperature", values.temperature),
    progress: process.stderr.isTTY ? (done, total) => process.stderr.write(`\r${done}/${total}${done === total ? "\n" : ""}`) : undefined,
  });
  const seconds = (performance.now() - begun) / 1000;
  const json = () => JSON.stringify({ model: model.name, seed: String(seed), shape, data: Array.from(data) });
  if (output === undefined) console.log(json());
  else await writeFile(output, output.endsWith(".npy") ? npy(data, shape) : json());
  console.error(`${n} samples in ${seconds.toFixed(2)} s, seed ${seed}${output === undefined ? "" : `, in ${output}`}`);
}

main().catch((error) => {
  const abroad = !(error instanceof ZooError) && !error.code;
  console.error(`Error: ${error.message}${error.hint ? `\n${error.hint}` : ""}`);
  if (abroad) console.error(error.stack);
  process.exitCode = 1;
});
