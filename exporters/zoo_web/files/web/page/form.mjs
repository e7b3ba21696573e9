/**
 * The form: the choices that this model offers, and those made.
 *
 * @license Apache-2.0
 */

import { labelsOf } from "../genzoo/conditions.mjs";
import { tempers } from "../genzoo/noise.mjs";
import { partsOf } from "../genzoo/parts.mjs";
import { NumberFields, Parts } from "./parts.mjs";

export const $ = (id) => document.getElementById(id);
/** The sliders, by their names. */
export const SLIDERS = ["guidance", "temperature"];
export const show = (id, shown) => $(id).classList.toggle("hidden", !shown);

/** The sliders' initial positions, which stand for the guidance of the table and the temperature of the bundle, since
 * sliders have coarser steps. */
const own = {};
/** The fields of named parts of a condition, and those of a vector. */
let parts = null, numbers = null;

/** Set the form up for a model. `n`: initial number of samples; `most`: the largest; `initial`: the
 * condition to begin with: `vector` of a model that takes one, `condition` by the names of parts. */
export function fill({ manifest, tables }, n, most, { vector, condition: values }) {
  const { condition, model } = manifest, program = manifest.programs.sample;
  document.title = model.name;
  $("name").textContent = model.name;
  $("summary").textContent = model.summary ?? "";
  show("class-field", condition?.kind === "classes");
  show("vector-field", condition?.kind === "vector");
  if (condition?.kind === "classes") {
    $("class").replaceChildren(new Option("each in turn", ""), ...labelsOf(condition).map((label) => new Option(label, label)));
  }
  if (condition?.kind === "vector") {
    const [part] = partsOf(condition);
    numbers = new NumberFields({ ...part, name: "condition", meaning: condition.size > 1 ? `${condition.size} numbers` : "a number" });
    $("vector-field").replaceChildren(numbers.made("vector"));
    numbers.hidden.id = "vector";
    put("vector", vector.join(", "));
  }
  parts = new Parts($("parts"), manifest, values);
  show("parts", parts.parts.length > 0);
  show("table-field", tables.length > 0);
  $("table").replaceChildren(...tables.map((name) => new Option(name.replace(/-(\d+)$/, ", $1 steps"), name)));
  const nulls = parts.parts.length > 0 && parts.parts.every((part) => part.null !== null);
  const guided = Number.isInteger(program.null_class) || (program.kind === "iterate" && nulls);
  show("guidance-field", guided);
  if (guided) $("guidance").value = program.guidance;
  show("temperature-field", tempers(program));
  $("temperature").value = program.temperature ?? 1;
  for (const name of SLIDERS) own[name] = $(name).value;
  $("n").max = most;
  $("n").value = n;
  tellSliders();
}

/** Sets the part of the condition where paths begin, if a manifest's samples are such, to a place [x, y]; else null. */
export function pickerOf({ kind }) {
  const name = kind?.kind === "trajectory" ? kind.start : null;
  return parts.has(name) ? (place) => parts.change(name, place.join(", ")) : null;
}

/** Put a choice into its field. */
function put(name, value) {
  $("form").elements[name].value = value;
  if (name === "vector") numbers?.show(value);
  parts?.set(name, value);
}

/** Write the sliders' values beside them. */
export function tellSliders() {
  $("guidance-value").textContent = Number($("guidance").value).toFixed(1);
  $("temperature-value").textContent = Number($("temperature").value).toFixed(2);
}

/** A slider's choice as a number; undefined for the bundle's own. */
function slid(name, value) {
  return value === undefined || value === own[name] ? undefined : Number(value);
}

/** The current choices, as texts by name. */
export function choices() {
  const used = Array.from($("fields").elements).filter((field) => field.name && !field.closest(".hidden"));
  return Object.fromEntries(used.map((field) => [field.name, field.value]));
}

/** Apply choices, for example from the address; missing ones are left unchanged. */
export function choose(given) {
  for (const [name, value] of given) {
    if (Object.hasOwn(choices(), name)) put(name, value);
  }
  tellSliders();
}

/**
 * Choices as the arguments of Model.sample. They may come from an address, so they are validated.
 * @param {object} chosen texts
 * @param {number} most samples
 */
export function optionsOf(chosen, most) {
  const { n, seed, class: label, vector, table, guidance, temperature } = chosen;
  if (!/^\d+$/.test(n) || Number(n) < 1 || Number(n) > most) throw new Error(`the number of samples is 1 to ${most}, not ${n}`);
  if (!/^\d+$/.test(seed)) throw new Error(`a seed is a whole number from 0 up, not ${seed}`);
  return {
    n: Number(n),
    seed,
    condition: parts.condition(chosen) ?? (label || vector?.split(/[\s,;]+/).filter(Boolean).map(Number) || undefined),
    table,
    guidance: slid("guidance", guidance),
    temperature: slid("temperature", temperature),
  };
}

/** Labels of n samples' classes, or null. */
export function captionsOf({ condition }, n, chosen) {
  if (condition?.kind !== "classes") return null;
  const labels = labelsOf(condition);
  return Array.from({ length: n }, (_, i) => chosen || labels[i % labels.length]);
}

/** Lock the form while samples are drawn. */
export function lock(locked) {
  $("go").disabled = $("fields").disabled = locked;
  $("stop").disabled = !locked;
}
