/**
 * Fields for the named parts of a condition: number fields, a select, a text, a canvas to draw on, or a file. Each has
 * its value as a text in a hidden field of the form, so that an address can hold it.
 *
 * @license Apache-2.0
 */

import { labelsOf } from "../genzoo/conditions.mjs";
import { partsOf, takesTexts } from "../genzoo/parts.mjs";
import { element } from "./dom.mjs";

/** What the names of the hidden fields begin with. */
const PREFIX = "condition-";
/** The most components of numbers that have a field each, and the longest text of a value that an address holds. */
const FIELDS = 12, LONGEST = 4096;

/** The controls of a form, by the names of its parts. */
export class Parts {
  /**
   * @param {Element} where they go
   * @param {object} manifest
   * @param {object} [initial] values to begin with, by the names of the parts
   */
  constructor(where, { condition, kind }, initial = {}) {
    this.parts = condition?.parts ? partsOf(condition) : [];
    this.controls = new Map(this.parts.map((part) => [`${PREFIX}${part.name}`, new KINDS[part.modality](part)]));
    where.replaceChildren(...Array.from(this.controls, ([name, control]) => control.made(name)));
    if (kind?.kind === "trajectory" && kind.heatmap) this.link(kind);
    for (const part of this.parts) if (Object.hasOwn(initial, part.name)) this.set(`${PREFIX}${part.name}`, textOf(part, initial[part.name]));
  }

  /** Let the picture of a trajectory show its start, wherever a visitor puts that. */
  link({ start, picture, extent, heatmap }) {
    const [from, to] = [start, picture].map((name) => this.controls.get(`${PREFIX}${name}`));
    if (!from || !(to instanceof Picture)) return;
    from.changed = () => {
      const place = from.hidden.value.split(/[\s,;]+/).filter(Boolean).map(Number);
      if (place.length === 2 && place.every(Number.isFinite)) to.spot(place, extent, heatmap);
    };
  }

  /** Whether there is a part of this name. */
  has(name) { return this.controls.has(`${PREFIX}${name}`); }

  /** Choose a value in a visitor's place. */
  change(name, text) {
    this.set(`${PREFIX}${name}`, text);
    this.controls.get(`${PREFIX}${name}`).changed?.();
  }

  /** Show a value that was chosen elsewhere. */
  set(name, text) {
    const control = this.controls.get(name);
    if (!control) return;
    control.hidden.value = text;
    control.show(text);
  }

  /** The condition that the texts of the hidden fields stand for; undefined for a model without named parts. */
  condition(chosen) {
    if (!this.parts.length) return undefined;
    const given = this.parts.map((part) => [part.name, valueOf(part, chosen[`${PREFIX}${part.name}`] ?? "")]);
    return Object.fromEntries(given.filter(([, value]) => value !== null));
  }
}

/** Choices without those that are too long for an address. */
export function shortened(chosen) {
  return Object.fromEntries(Object.entries(chosen).filter(([name, text]) => !name.startsWith(PREFIX) || text.length <= LONGEST));
}

// -- texts of values --------------------------------------------------------------------------------------------------

function textOf({ modality, alphabet, labels }, value) {
  if (typeof value === "string") return value;
  if (modality === "classes") return labels[value] ?? String(value);
  if (modality === "tokens" && alphabet !== null) return value.map((id) => Array.from(alphabet)[id]).join("");
  if (modality === "tokens" && labels.length) return value.map((id) => labels[id]).filter(Boolean).join(" ");
  if (modality === "sequence") return value.map((row) => row.join(", ")).join("\n");
  return modality === "numbers" || modality === "tokens" ? value.join(", ") : JSON.stringify(value);
}

const numbersOf = (text) => text.split(/[\s,;]+/).filter(Boolean).map(Number);

/** The value that a text stands for; null for an empty one, and what is none is left for the model to refuse. */
function valueOf(part, text) {
  if (text.trim() === "") return null;
  const { modality } = part;
  if (takesTexts(part)) return text;
  if (modality === "image") return { data: unitsOf(part, bytesOf(part, text)), shape: part.shape };
  if (modality === "numbers" || modality === "tokens") return numbersOf(text);
  if (modality === "sequence" && !text.trim().startsWith("[")) return text.split("\n").filter((line) => line.trim()).map(numbersOf);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`part ${part.name} of the condition is not JSON: ${error.message}`);
  }
}

/** Pixels of an image [channels, height, width] from base64. */
function bytesOf({ name, shape: [channels, height, width] }, text) {
  let bytes = [];
  try {
    bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch { /* as for any other wrong text */ }
  if (bytes.length !== channels * height * width) throw new Error(`part ${name} of the condition is not an image of ${width} × ${height} pixels`);
  return bytes;
}

/** Bytes spread over a part's range, as `zoo run` spreads those of a PNG. */
function unitsOf({ minimum, maximum }, bytes) {
  const low = minimum ?? 0, high = maximum ?? 255;
  return Float32Array.from(bytes, (byte) => low + ((high - low) / 255) * byte);
}

// -- controls ---------------------------------------------------------------------------------------------------------

/** A control: `inside()` makes what is seen, `show(text)` shows a value, `say(text)` states one. */
class Control {
  constructor(part) {
    this.part = part;
    this.hidden = element("input", { type: "hidden" });
  }

  made(name) {
    this.hidden.name = name;
    const inside = this.inside();
    return element("div", { className: "part", role: "group", ariaLabel: this.label() }, element("span", { textContent: this.label() }), ...inside, this.hidden);
  }

  label() {
    const { name, meaning, required } = this.part;
    return `${name}${meaning ? `: ${meaning}` : ""}${required ? "" : " (optional)"}`;
  }

  say(text) { this.hidden.value = text; }

  /** A field of the form's own, which the hidden one follows. */
  field(kind, properties) {
    const made = element(kind, { ariaLabel: this.part.name, ...properties });
    made.addEventListener("input", () => this.say(made.value));
    return made;
  }

  show(text) { this.input.value = text; }
}

class Classes extends Control {
  inside() {
    const options = labelsOf(this.part).map((label) => new Option(label, label));
    this.input = this.field("select");
    this.input.replaceChildren(...(this.part.required ? [] : [new Option("none", "")]), ...options);
    this.say(this.input.value);
    return [this.input];
  }
}

/** Up to {@link FIELDS} numbers in a field each, under its label if it has one; more in one field. */
export class NumberFields extends Control {
  inside() {
    const { shape: [size], labels, name, minimum, maximum } = this.part, range = { min: minimum ?? "", max: maximum ?? "", step: "any" };
    if (size > FIELDS) return [this.input = this.field("input", { placeholder: `${size} numbers` })];
    this.inputs = Array.from({ length: size }, (_, i) => {
      return element("input", { type: "number", ...range, ariaLabel: `${name}, ${labels[i] ?? i + 1}` });
    });
    for (const input of this.inputs) input.addEventListener("input", () => this.tell());
    const labelled = (input, i) => (labels[i] ? element("label", {}, element("span", { textContent: labels[i] }), input) : input);
    return [element("span", { className: "numbers" }, ...this.inputs.map(labelled))];
  }

  tell() {
    const values = this.inputs.map(({ value }) => value);
    // an empty one among others is no number
    this.say(values.every((value) => value === "") ? "" : values.map((value) => value || "NaN").join(", "));
    this.changed?.();
  }

  show(text) {
    if (!this.inputs) return super.show(text);
    const values = text.split(/[\s,;]+/).filter(Boolean);
    this.inputs.forEach((input, i) => { input.value = values[i] ?? ""; });
  }
}

class Tokens extends Control {
  inside() {
    const { alphabet, labels, meaning, padding, size } = this.part, symbols = Array.from(alphabet ?? "").filter((_, i) => i !== padding).join("");
    const told = labels.length ? meaning || "words" : alphabet === null ? `numbers from 0 to ${size - 1}` : `of ${symbols.length > 40 ? `${symbols.slice(0, 40)} …` : symbols}`;
    return [this.input = this.field("input", { type: "text", placeholder: told, title: told, spellcheck: false })];
  }
}

/** Anything else: as JSON, typed or from a file. */
class Json extends Control {
  inside() {
    const { name, shape } = this.part;
    this.input = this.field("textarea", { rows: 3, placeholder: `JSON of shape [${shape.join(", ")}]`, spellcheck: false });
    const file = element("input", { type: "file", accept: ".json", ariaLabel: `${name} from a file` });
    file.addEventListener("change", async () => { if (file.files.length) this.both(await file.files[0].text()); });
    return [this.input, file];
  }

  both(text) {
    this.say(text);
    this.show(text);
  }
}

/** A sequence: a line of numbers for each position. */
class Lines extends Json {
  inside() {
    const [input, file] = super.inside(), [length, width] = this.part.shape;
    Object.assign(input, { rows: Number.isInteger(length) ? Math.min(Math.max(length, 2), 8) : 4, placeholder: `${width} number${width === 1 ? "" : "s"} a line` });
    file.accept = ".json, .csv, .txt";
    return [input, file];
  }

  label() {
    const [length, width] = this.part.shape, numbers = `${width} number${width === 1 ? "" : "s"}`;
    return `${super.label()} – ${Number.isInteger(length) ? `${length} line${length === 1 ? "" : "s"} of ${numbers}` : `${numbers} a line`}`;
  }
}

/** A picture: drawn with a pointer, or from a file, whose pixels are those of the part. */
class Picture extends Control {
  inside() {
    const { name, shape: [channels, height, width] } = this.part;
    Object.assign(this, { channels, height, width });
    this.canvas = element("canvas", { width, height });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${name}, to draw on`);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
    if (this.part.required) this.tell();
    const file = element("input", { type: "file", accept: "image/*", ariaLabel: `${name} from a file` });
    file.addEventListener("change", () => { if (file.files.length) this.load(file.files[0]); });
    const none = element("button", { type: "button", textContent: "Clear" });
    none.addEventListener("click", () => {
      file.value = "";
      this.clear();
      if (this.part.required) this.tell();
      else this.say("");
    });
    this.brush = element("input", { type: channels === 3 ? "color" : "range", ariaLabel: `${name}, ${channels === 3 ? "colour" : "shade"}`, ...(channels === 3 ? {} : { min: 0, max: 255 }) });
    this.brush.value = channels === 3 ? "#ffffff" : 255;
    this.draws();
    return [this.canvas, element("span", { className: "pair" }, this.brush, none), file];
  }

  draws() {
    let last = null;
    const at = ({ clientX, clientY }) => {
      const box = this.canvas.getBoundingClientRect();
      return [((clientX - box.left) / box.width) * this.width, ((clientY - box.top) / box.height) * this.height];
    };
    const move = (event) => {
      if (!last) return;
      const [[x, y], [toX, toY]] = [last, (last = at(event))], shade = this.brush.value;
      this.context.fillStyle = this.channels === 3 ? shade : `rgb(${shade} ${shade} ${shade})`;
      const pen = Math.max(this.width / 24, 1), steps = Math.ceil(Math.hypot(toX - x, toY - y) * 2) + 1;
      for (let i = 0; i <= steps; i++) {
        const [px, py] = [x + ((toX - x) * i) / steps, y + ((toY - y) * i) / steps];
        this.context.fillRect(Math.round(px - pen / 2), Math.round(py - pen / 2), Math.ceil(pen), Math.ceil(pen));
      }
      this.tell();
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.canvas.closest("fieldset:disabled")) return;
      this.canvas.setPointerCapture?.(event.pointerId);
      last = at(event);
      move(event);
    });
    this.canvas.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => { last = null; });
  }

  clear() {
    this.context.fillStyle = "black";
    this.context.fillRect(0, 0, this.width, this.height);
  }

  async load(file) {
    const picture = await createImageBitmap(file).catch(() => null);
    if (!picture) return;
    // what is transparent is white, as in training data and for `zoo run`
    this.context.fillStyle = "white";
    this.context.fillRect(0, 0, this.width, this.height);
    this.context.drawImage(picture, 0, 0, this.width, this.height);
    this.tell();
  }

  /** The canvas's pixels as the value: of one channel, their brightness (ITU-R BT.601, as the PNG reader's). */
  tell() {
    const { data } = this.context.getImageData(0, 0, this.width, this.height), area = this.width * this.height;
    const bytes = Array.from({ length: this.channels * area }, (_, i) => {
      const pixel = 4 * (i % area);
      if (this.channels > 1) return data[pixel + Math.min(Math.floor(i / area), 2)];
      return Math.round(0.299 * data[pixel] + 0.587 * data[pixel + 1] + 0.114 * data[pixel + 2]);
    });
    this.say(btoa(bytes.map((byte) => String.fromCharCode(byte)).join("")));
  }

  /** Show a place of the plane in one channel, as a spot exp(-d²/2σ²), see the kind `trajectory` of a manifest. */
  spot([x, y], [left, right, bottom, top], { channel, sigma }) {
    const { channels, height, width } = this, area = height * width;
    let bytes;
    try {
      bytes = bytesOf(this.part, this.hidden.value);
    } catch { return; /* the run says so */ }
    if (channel >= channels) return;
    for (let p = 0; p < area; p++) {
      const px = left + ((right - left) * ((p % width) + 0.5)) / width, py = top + ((bottom - top) * (Math.floor(p / width) + 0.5)) / height;
      bytes[channel * area + p] = Math.round(255 * Math.exp(-((px - x) ** 2 + (py - y) ** 2) / (2 * sigma ** 2)));
    }
    const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    this.say(text);
    this.show(text);
  }

  show(text) {
    this.clear();
    if (text === "") return;
    const area = this.width * this.height, pixels = new ImageData(this.width, this.height);
    let bytes;
    try {
      bytes = bytesOf(this.part, text);
    } catch { return; /* the run says so */ }
    for (let p = 0; p < area; p++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * p + c] = bytes[Math.min(c, this.channels - 1) * area + p];
      pixels.data[4 * p + 3] = 255;
    }
    this.context.putImageData(pixels, 0, 0);
  }
}

const KINDS = { classes: Classes, numbers: NumberFields, image: Picture, audio: Json, tokens: Tokens, sequence: Lines };
