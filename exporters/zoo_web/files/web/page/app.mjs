/**
 * The page: a form, a worker that holds the model, and a view of the samples. A run can be linked to: its choices are
 * in the fragment of the address, and opening that address runs it again.
 *
 * @license Apache-2.0
 */

import { Client } from "./client.mjs";
import { element, save } from "./dom.mjs";
import { $, SLIDERS, captionsOf, choices, choose, fill, lock, optionsOf, pickerOf, show, tellSliders } from "./form.mjs";
import { Images, pictureShape } from "./images.mjs";
import { Numbers } from "./numbers.mjs";
import { Pairs, pairsOf } from "./pairs.mjs";
import { shortened } from "./parts.mjs";
import { Points, gridOf } from "./points.mjs";
import { Sequences, sequenceOf } from "./sequences.mjs";
import { Sounds, sampleRate } from "./sounds.mjs";
import { Texts, alphabetOf } from "./texts.mjs";

const client = new Client();
/** For tests and the console: the model's description, and the last samples. */
const state = (globalThis.genzoo = { ready: false, running: false, manifest: null, last: null, error: null, view: null, previews: 0 });

/** The view of the samples, the default number of samples, and the largest that a page can show. */
const KINDS = {
  points: { many: () => 2000, most: 100_000, view: (where, { kind }, n) => new Points(where, n, kind?.columns?.map(({ name }) => name)) },
  sounds: { many: () => 1, most: 50, view: (...args) => new Sounds(...args) },
  texts: { many: () => 40, most: 10_000, view: (...args) => new Texts(...args) },
  images: { many: ({ programs }) => (programs.sample.kind === "iterate" ? 10 : 40), most: 1000, view: (...args) => new Images(...args) },
  sequences: { many: () => 16, most: 1000, view: (...args) => new Sequences(...args) },
  pairs: { many: () => 1000, most: 20_000, view: (...args) => new Pairs(...args) },
  numbers: { many: () => 100, most: 100_000, view: (...args) => new Numbers(...args) },
};

function kindOf(manifest) {
  const shape = manifest.event_shape;
  if (alphabetOf(manifest)) return KINDS.texts;
  if (shape.length === 1 && shape[0] === 2) return KINDS.points;
  if (sampleRate(manifest)) return KINDS.sounds;
  if (sequenceOf(manifest)) return KINDS.sequences;
  if (pairsOf(manifest)) return KINDS.pairs;
  return pictureShape(manifest) ? KINDS.images : KINDS.numbers;
}

function fail(error) {
  state.error = error.message;
  const sentence = error.message.replace(/^./, (letter) => letter.toUpperCase()).replace(/[.]?$/, ".");
  $("error").textContent = [sentence, error.hint].filter(Boolean).join(" ");
  show("error", true);
}

/** Progress of a run in [0, 1]; null while it is unknown. */
function progress(part) {
  if (part === null) $("progress").removeAttribute("value");
  else $("progress").value = part;
}

// -- a run ------------------------------------------------------------------------------------------------------------

async function run() {
  if (!state.ready || state.running) return;
  const chosen = choices(), { manifest } = state;
  history.replaceState(null, "", `#${new URLSearchParams(shortened(chosen))}`);
  lock(state.running = true);
  show("error", false);
  Object.assign(state, { error: null, last: null, previews: 0 });
  progress(null);
  $("status").textContent = "Drawing …";
  try {
    const options = optionsOf(chosen, kindOf(manifest).most);
    const result = await draw(options, captionsOf(manifest, options.n, chosen.class));
    const each = result.seconds / options.n;
    $("status").textContent = `${options.n} in ${result.seconds.toFixed(2)} s, ${each < 0.01 ? `${(1000 * each).toPrecision(2)} ms` : `${each.toPrecision(2)} s`} each`;
    await shade(options);
    state.last = { ...result, ...options };
    show("saving", true);
    show("save-picture", Boolean(state.view.picture));
    show("save-written", Boolean(state.view.written));
    if (state.view.written) $("save-written").textContent = `Save ${state.view.written().what}`;
  } catch (error) {
    $("status").textContent = error.name === "AbortError" ? "Stopped." : "";
    if (error.name !== "AbortError") fail(error);
  } finally {
    progress(state.last ? 1 : 0);
    lock(state.running = false);
  }
}

/** What a click on a plot of the plane does: samples are drawn from there; null where their start is not given. */
function picker() {
  const pick = pickerOf(state.manifest);
  return pick && ((place) => {
    if (state.running) return;
    pick(place);
    run();
  });
}

/** Draw samples and show them, with previews if they are drawn in steps. */
async function draw(options, captions) {
  const { manifest } = state, stepped = manifest.programs.sample.kind === "iterate";
  let view = null;
  const opened = () => {
    if (view) return view;
    state.view?.close?.();
    show("saving", false);
    return (state.view = view = kindOf(manifest).view($("view"), manifest, options.n, captions, options.condition, picker()));
  };
  const listen = ({ done, total, data, first }) => {
    if (data) {
      opened().show(data, first);
      state.previews += 1;
    } else if (total > 1) {
      progress(done / total);
      $("status").textContent = `Step ${done} of ${total}`;
    }
  };
  const result = await client.call("sample", { ...options, previews: stepped && ![KINDS.numbers, KINDS.pairs].includes(kindOf(manifest)) }, listen);
  if (opened().done) view.done(result.data);
  else view.show(result.data);
  return result;
}

/** Show the model's density behind points, if it can score and all have one class. */
async function shade({ condition, temperature }) {
  const { manifest, scores, view } = state;
  if (!(view instanceof Points) || !scores || (manifest.condition && condition === undefined)) return;
  const x = gridOf(view.extent), classes = manifest.condition?.kind === "classes";
  const values = await client.call("logProb", { x, condition: classes ? new Array(x.length / 2).fill(condition) : condition });
  view.density(values, temperature ?? manifest.programs.sample.temperature ?? 1);
}

// -- begin ------------------------------------------------------------------------------------------------------------

function tellAbout({ manifest, threads }, backend, ort) {
  const { model, licenses, proof } = manifest, largest = Math.max(...Object.values(proof.largest_differences ?? {}));
  const on = backend === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
  const lines = [
    `${model.parameters ? `${model.parameters.toLocaleString("en")} parameters. ` : ""}Weights: ${licenses.weights || "no licence stated"}. Code: ${licenses.code || "no licence stated"}.`,
    ...(model.data?.source ? [`Trained on ${model.data.name} (${model.data.source}${model.data.license ? `, ${model.data.license}` : ""}).`] : []),
    ...(Number.isFinite(largest) ? [`Equal to the PyTorch model within ${largest.toExponential(1)} in ${proof.cases} cases.`] : []),
    `Everything runs in this browser: ONNX Runtime ${ort.version}, ${on}. Nothing is sent anywhere.`,
  ];
  $("about").replaceChildren(...lines.map((line) => element("p", { textContent: line })));
}

/** The backend that the address requests, if available, and the choice between backends if there are several. */
async function chosenBackend(ort) {
  const possible = Boolean(ort.webgpu && (await navigator.gpu?.requestAdapter().catch(() => null)));
  const backend = possible && new URLSearchParams(location.search).get("backend") === "webgpu" ? "webgpu" : "wasm";
  show("backend-field", possible);
  $("backend").value = backend;
  $("backend").addEventListener("change", () => {
    location.search = $("backend").value === "webgpu" ? "?backend=webgpu" : "";
  });
  return backend;
}

async function begin() {
  const response = await fetch(new URL("../page.json", import.meta.url));
  if (!response.ok) throw new Error(`page.json cannot be fetched: the server says ${response.status}`);
  const { ort, ...initial } = await response.json(), backend = await chosenBackend(ort);
  const opened = await client.call("open", { backend, ...ort[backend] });
  Object.assign(state, opened);
  const { many, most } = kindOf(opened.manifest);
  fill(opened, many(opened.manifest), most, initial);
  tellAbout(opened, backend, ort);
  progress(0);
  $("status").textContent = "";
  $("fields").disabled = $("go").disabled = false;
  $("view").replaceChildren(element("p", { className: "quiet", textContent: "Samples appear here." }));
  state.ready = true;
  const link = new URLSearchParams(location.hash.slice(1));
  choose(link);
  if (link.has("seed")) await run();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
$("stop").addEventListener("click", () => client.call("stop"));
$("dice").addEventListener("click", () => {
  $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
  run();
});
for (const name of SLIDERS) $(name).addEventListener("input", tellSliders);
$("save-picture").addEventListener("click", () => state.view.picture().toBlob((blob) => save(`${state.manifest.model.name}.png`, blob)));
$("save-written").addEventListener("click", () => {
  const { suffix, content } = state.view.written();
  save(`${state.manifest.model.name}.${suffix}`, new Blob([content], { type: "text/plain" }));
});
$("save-numbers").addEventListener("click", () => {
  const { data, shape, seed } = state.last;
  save(`${state.manifest.model.name}.json`, new Blob([JSON.stringify({ shape, seed, data: Array.from(data) })], { type: "application/json" }));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.view?.redraw?.());

begin().catch((error) => {
  $("name").textContent = "The model cannot be loaded";
  $("status").textContent = "";
  progress(0);
  fail(error);
});
