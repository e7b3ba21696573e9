/**
 * The page: a form, a worker that has the model, and a view of what it draws. A run can be linked to: its choices stand
 * behind the "#" of the address, and opening that address runs it again.
 *
 * @license Apache-2.0
 */

import * as draw from "./draw.mjs";

const $ = (id) => document.getElementById(id);
const show = (id, shown) => $(id).classList.toggle("hidden", !shown);

/** Calls of worker.mjs as promises. */
class Client {
  constructor() {
    this.worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.last = 0;
    this.worker.onmessage = ({ data: { id, event, result, error } }) => {
      const { resolve, reject, listen } = this.waiting.get(id);
      if (event) return listen?.(event);
      this.waiting.delete(id);
      if (error) reject(Object.assign(new Error(error.message), error));
      else resolve(result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the model's program cannot be loaded"));
      this.waiting.clear();
    };
  }

  call(name, args, listen) {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, listen });
      this.worker.postMessage({ id, call: name, args });
    });
  }
}

const client = new Client();
/** What tests and the console look at: the model's description, and the last samples. */
const state = (globalThis.genzoo = { ready: false, running: false, manifest: null, last: null, error: null });

function fail(error) {
  state.error = error.message;
  const sentence = error.message.replace(/^./, (letter) => letter.toUpperCase()).replace(/[.]?$/, ".");
  $("error").textContent = [sentence, error.hint].filter(Boolean).join(" ");
  show("error", true);
}

// -- the form ---------------------------------------------------------------------------------------------------------

function fillForm({ manifest, tables }) {
  const { condition, model } = manifest, program = manifest.programs.sample;
  document.title = model.name;
  $("name").textContent = model.name;
  $("summary").textContent = model.summary;
  show("class-field", condition?.kind === "classes");
  show("vector-field", condition?.kind === "vector");
  if (condition?.kind === "classes") {
    const labels = condition.labels.length ? condition.labels : Array.from({ length: condition.size }, (_, i) => String(i));
    $("class").replaceChildren(new Option("every class in turn", ""), ...labels.map((label) => new Option(label, label)));
  }
  if (condition?.kind === "vector") {
    $("vector-label").textContent = condition.labels.length ? condition.labels.join(", ") : `Condition, ${condition.size} numbers`;
    $("vector").value = new Array(condition.size).fill(0).join(", ");
  }
  show("table-field", tables.length > 0);
  $("table").replaceChildren(...tables.map((name) => new Option(name.replace(/-(\d+)$/, ", $1 steps"), name)));
  const guided = Number.isInteger(program.null_class);
  show("guidance-field", guided);
  if (guided) $("guidance").value = program.guidance;
  $("guidance-value").textContent = $("guidance").value;
  $("n").value = { images: program.kind === "iterate" ? 10 : 40, points: 2000, sounds: 1, numbers: 100 }[draw.kindOf(manifest)];
}

function tellAbout({ manifest, threads }, backend, ort) {
  const { model, licenses, proof } = manifest;
  const largest = Math.max(...Object.values(proof.largest_differences ?? {}));
  const lines = [
    `${model.parameters.toLocaleString("en")} parameters. Weights: ${licenses.weights ?? "no licence stated"}. Code: ${licenses.code ?? "no licence stated"}.`,
    ...(model.data?.source ? [`Trained on ${model.data.name} (${model.data.source}${model.data.license ? `, ${model.data.license}` : ""}).`] : []),
    ...(Number.isFinite(largest) ? [`Equal to the PyTorch model within ${largest.toExponential(1)} in ${proof.cases} cases.`] : []),
    `Everything runs in this browser: ONNX Runtime ${ort.version}, ${backend === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`}. Nothing is sent anywhere.`,
  ];
  $("about").replaceChildren(...lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
}

/** The form's choices that are in use, as texts. */
function choices() {
  const used = Array.from($("fields").elements).filter((field) => field.name && !field.closest(".hidden"));
  return Object.fromEntries(used.map((field) => [field.name, field.value]));
}

function optionsOf({ n, seed, class: label, vector, table, guidance }) {
  return {
    n: Number(n),
    seed,
    condition: label || vector?.split(/[\s,;]+/).filter(Boolean).map(Number) || undefined,
    table,
    guidance: guidance === undefined ? undefined : Number(guidance),
  };
}

/** Labels of the samples' classes, or null. */
function captionsOf({ condition }, n, chosen) {
  if (condition?.kind !== "classes") return null;
  const labels = condition.labels.length ? condition.labels : Array.from({ length: condition.size }, (_, i) => String(i));
  return Array.from({ length: n }, (_, i) => chosen || labels[i % labels.length]);
}

// -- a run ------------------------------------------------------------------------------------------------------------

function busy(running) {
  state.running = running;
  $("go").disabled = $("fields").disabled = running;
  $("stop").disabled = !running;
}

async function run() {
  if (!state.ready || state.running) return;
  const chosen = choices(), options = optionsOf(chosen), { manifest } = state, kind = draw.kindOf(manifest);
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  busy(true);
  show("error", false);
  state.error = null;
  $("progress").value = 0;
  $("status").textContent = "Drawing …";
  try {
    const captions = captionsOf(manifest, options.n, chosen.class);
    const tiles = kind === "images" ? draw.images($("view"), manifest, options.n, captions) : null;
    const listen = ({ done, total, data, first }) => {
      if (data) return tiles.show(data, first);
      $("progress").value = done / total;
      if (total > 1) $("status").textContent = `Step ${done} of ${total}`;
    };
    const previews = tiles !== null && manifest.programs.sample.kind === "iterate";
    const result = await client.call("sample", { ...options, previews }, listen);
    state.last = { ...result, ...options };
    const each = result.seconds / options.n;
    $("status").textContent = `${options.n} in ${result.seconds.toFixed(2)} s, ${each < 0.01 ? `${(1000 * each).toPrecision(2)} ms` : `${each.toPrecision(2)} s`} each`;
    $("progress").value = 1;
    state.view = await shown(kind, result, options, tiles, captions);
    show("saving", true);
    show("save-picture", Boolean(state.view.picture));
  } catch (error) {
    $("status").textContent = error.name === "AbortError" ? "Stopped." : "";
    if (error.name !== "AbortError") fail(error);
  } finally {
    busy(false);
  }
}

async function shown(kind, { data }, { condition }, tiles, captions) {
  const { manifest } = state, size = manifest.event_shape.reduce((a, b) => a * b, 1);
  if (kind === "images") {
    tiles.show(data);
    return tiles;
  }
  if (kind === "sounds") return draw.sounds($("view"), data, size, manifest.model.data.sample_rate, captions);
  if (kind === "numbers") return draw.numbers($("view"), data, size, captions);
  const extent = draw.extentOf(data);
  state.redraw = () => draw.points($("view"), data, extent, state.density);
  state.density = null;
  state.redraw();
  // a density under samples of all classes would be none of theirs
  if (state.scores && (!manifest.condition || condition)) {
    const x = draw.gridOf(extent), cells = x.length / 2;
    const classes = manifest.condition?.kind === "classes" ? new Array(cells).fill(condition) : condition;
    state.density = await client.call("logProb", { x, condition: classes });
  }
  return state.redraw();
}

function save(name, content) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// -- begin ------------------------------------------------------------------------------------------------------------

async function begin() {
  const response = await fetch(new URL("page.json", import.meta.url));
  const { ort } = await response.json();
  const wanted = new URLSearchParams(location.search).get("backend");
  const backend = wanted === "webgpu" && ort.webgpu && navigator.gpu ? "webgpu" : "wasm";
  const opened = await client.call("open", { backend, ...ort[backend] });
  Object.assign(state, opened);
  fillForm(opened);
  tellAbout(opened, backend, ort);
  $("fields").disabled = $("go").disabled = false;
  $("view").textContent = "";
  state.ready = true;
  const link = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of link) if ($("form").elements[name]) $("form").elements[name].value = value;
  $("guidance").dispatchEvent(new Event("input"));
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
$("guidance").addEventListener("input", () => {
  $("guidance-value").textContent = Number($("guidance").value).toFixed(1);
});
$("save-picture").addEventListener("click", () => state.view.picture().toBlob((blob) => save(`${state.manifest.model.name}.png`, blob)));
$("save-numbers").addEventListener("click", () => {
  const { data, shape, seed } = state.last;
  save(`${state.manifest.model.name}.json`, new Blob([JSON.stringify({ shape, seed, data: Array.from(data) })], { type: "application/json" }));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.redraw?.());

begin().catch((error) => {
  $("name").textContent = "The model cannot be loaded";
  fail(error);
});
