/**
 * Samples that are sequences, as zoo/render/sequences.py draws them: pairs as paths in the plane, over a picture of it
 * where the condition has one, and other numbers over time.
 *
 * @license Apache-2.0
 */

import { canvasOf, colour, element, sheet } from "./dom.mjs";
import { extentOf, limitsOf } from "./points.mjs";

const PIXELS = 900, NUMBERS = 8;
const COLOURS = ["#2f8f99", "#d1495b", "#a8842a", "#6f72c4", "#4c9a58", "#d06a2c", "#9a62ac", "#6f7a86", "#3d8fd1"];
/** Of lines over a picture, whose colours are unknown: light ones with a dark edge. */
const LIGHT = "#ffffff", EDGE = "#111111";

/**
 * How a manifest's samples are sequences: `axis` is that of time, of `length` positions, and `columns` are the numbers
 * of each, without the mask; `plane`: whether they are paths in the plane. Null for other samples.
 */
export function sequenceOf({ event_shape: shape, length: rule, kind }) {
  // the axes of any other kind, such as a plugin's, may mean anything
  if (shape.length !== 2 || (kind && kind.kind !== "trajectory")) return null;
  const mask = rule?.mask ?? null, pairs = shape[1] - (mask !== null && !rule.axis) === 2;
  const plane = pairs && (mask === null || !rule.axis);
  const axis = mask !== null ? rule.axis ?? 0 : plane || shape[0] >= shape[1] ? 0 : 1;
  const columns = Array.from({ length: shape[1 - axis] }, (_, i) => i).filter((i) => i !== mask);
  return { axis, length: shape[axis], columns, mask, plane };
}

/**
 * n sequences; `show(data, first)` draws those from number `first` on.
 *
 * `condition`: that of all samples, of which a path's start and the picture are taken; `pick([x, y])` is called with
 * the place in the plane that a visitor chooses for the start, and is null where none can be chosen.
 */
export class Sequences {
  constructor(view, manifest, n, captions, condition, pick = null) {
    const { kind, event_shape: shape } = manifest;
    Object.assign(this, { of: captions, shape, pick, size: shape[0] * shape[1], sequence: sequenceOf(manifest) });
    this.kind = kind?.kind === "trajectory" ? kind : null;
    this.start = Array.isArray(condition?.[this.kind?.start]) ? condition[this.kind.start] : null;
    this.pictured = condition?.[this.kind?.picture] ?? null;
    this.data = new Float32Array(n * this.size).fill(NaN);
    const { plane, columns, length } = this.sequence, labels = captions ? [...new Set(captions)] : [];
    this.labels = labels.length <= COLOURS.length ? labels : [];
    if (plane) this.canvases = [canvasOf(PIXELS, this.height(), `${n} paths in the plane`)];
    else {
      const shown = Math.min(columns.length, NUMBERS), height = shown === 1 ? 420 : 240;
      this.canvases = Array.from({ length: shown }, (_, k) => canvasOf(PIXELS, height, `Number ${k} of ${n} sequences of ${length}`));
    }
    for (const canvas of this.canvases) canvas.className = plane ? "plot" : "over-time";
    this.captions = this.canvases.map(() => element("figcaption"));
    const legend = this.labels.map((label, i) => {
      const name = element("span", { textContent: label });
      name.style.setProperty("--colour", COLOURS[i]);
      return name;
    });
    view.replaceChildren(
      ...(legend.length ? [element("p", { className: "legend" }, ...legend)] : []),
      ...this.canvases.map((canvas, i) => element("figure", { className: "plane" }, canvas, this.captions[i])),
    );
    if (plane && pick) {
      this.canvases[0].classList.add("pick");
      this.canvases[0].addEventListener("click", (event) => pick(this.placeAt(event)));
    }
  }

  /** Pixels of a plot of the plane, whose extent has its own proportions. */
  height() {
    const [left, right, bottom, top] = this.kind?.extent?.length ? this.kind.extent : [0, 1, 0, 1];
    return Math.round(Math.min(Math.max(PIXELS * Math.abs((top - bottom) / (right - left)), 100), 2 * PIXELS));
  }

  show(data, first = 0) {
    this.data.set(data, first * this.size);
    this.redraw();
  }

  redraw() {
    if (this.sequence.plane) this.drawPaths();
    else this.canvases.forEach((canvas, k) => this.drawNumbers(canvas, k));
  }

  picture() { return this.canvases.length > 1 ? sheet(this.canvases, 1, 1) : this.canvases[0]; }

  /** Sample i as rows of numbers, up to its end; null while it is not drawn. */
  rows(i) {
    const { axis, length, columns, mask } = this.sequence, offset = i * this.size;
    if (Number.isNaN(this.data[offset])) return null;
    const at = (position, number) => this.data[offset + (axis ? number * this.shape[1] + position : position * this.shape[1] + number)];
    const rows = [];
    for (let t = 0; t < length && (mask === null || at(t, mask) >= 0.5); t++) rows.push(columns.map((number) => at(t, number)));
    return rows;
  }

  sequences() {
    return Array.from({ length: this.data.length / this.size }, (_, i) => this.rows(i)).map((rows, i) => ({ rows, i })).filter(({ rows }) => rows);
  }

  colour(i) {
    const place = this.of ? this.labels.indexOf(this.of[i]) : i;
    return COLOURS[Math.max(place, 0) % COLOURS.length];
  }

  // -- paths ----------------------------------------------------------------------------------------------------------

  /** Where the rows of a sample lead, from the start if there is one. */
  places(rows) {
    if (!this.kind) return rows;
    const { step = null } = this.kind;
    if (step === null) return this.start ? [this.start, ...rows] : rows;
    const path = [this.start ?? [0, 0]];
    for (const [dx, dy] of rows) path.push([path.at(-1)[0] + step * dx, path.at(-1)[1] + step * dy]);
    return path;
  }

  drawPaths() {
    const paths = this.sequences().map(({ rows, i }) => ({ path: this.places(rows), i }));
    if (this.kind?.extent?.length) this.extent = this.kind.extent;
    else {
      const { corner: [x, y], side } = extentOf(Float32Array.from(paths.flatMap(({ path }) => path.flat())));
      this.extent = [x, x + side, y, y + side];
    }
    const [canvas] = this.canvases, { width, height } = canvas, context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.pictured) {
      context.imageSmoothingEnabled = false;
      context.drawImage(pictureOf(this.pictured), 0, 0, width, height);
    }
    const [left, right, bottom, top] = this.extent;
    const pixel = ([x, y]) => [((x - left) / (right - left)) * width, (1 - (y - bottom) / (top - bottom)) * height];
    context.lineJoin = context.lineCap = "round";
    context.globalAlpha = Math.min(Math.max(8 / Math.sqrt(paths.length), 0.2), 0.9);
    for (const { path, i } of paths) if (path.length) this.drawPath(context, path.map(pixel), this.pictured ? LIGHT : this.colour(i));
    context.globalAlpha = 1;
    const starts = this.start || this.kind?.step ? paths.slice(0, 1) : paths;
    for (const { path } of starts) if (path.length) ring(context, pixel(path[0]));
    const number = (v) => Number(v.toFixed(2));
    const marks = `a ring marks the start${starts.length === 1 ? "" : " of each"}, a dot an end`;
    const told = this.pick ? `${marks}. Click to start elsewhere.` : marks;
    this.captions[0].textContent = `x from ${number(left)} to ${number(right)}, y from ${number(Math.min(bottom, top))} to ${number(Math.max(bottom, top))}${top < bottom ? " downwards" : ""}; ${told}`;
  }

  drawPath(context, pixels, shade) {
    for (const [width, style] of [...(this.pictured ? [[7, EDGE]] : []), [3.5, shade]]) {
      context.beginPath();
      for (const [x, y] of pixels) context.lineTo(x, y);
      Object.assign(context, { lineWidth: width, strokeStyle: style });
      context.stroke();
    }
    const [x, y] = pixels.at(-1);
    context.beginPath();
    context.arc(x, y, 7, 0, 2 * Math.PI);
    Object.assign(context, { fillStyle: shade, strokeStyle: this.pictured ? EDGE : colour("surface"), lineWidth: 2 });
    context.fill();
    context.stroke();
  }

  /** The place in the plane of a click, with as many digits as pixels tell apart. */
  placeAt({ clientX, clientY }) {
    const box = this.canvases[0].getBoundingClientRect(), [left, right, bottom, top] = this.extent;
    const x = left + ((clientX - box.left) / box.width) * (right - left), y = top + ((clientY - box.top) / box.height) * (bottom - top);
    const digits = Math.max(0, 3 - Math.floor(Math.log10(Math.abs(right - left))));
    return [x, y].map((v) => Number(v.toFixed(Math.min(digits, 12))));
  }

  // -- over time ------------------------------------------------------------------------------------------------------

  drawNumbers(canvas, k) {
    const drawn = this.sequences(), { length, columns } = this.sequence, { width, height } = canvas, context = canvas.getContext("2d");
    const [low, top] = limitsOf(Float32Array.from(drawn.flatMap(({ rows }) => rows.map((row) => row[k]))).sort()), span = top - low || 1;
    context.clearRect(0, 0, width, height);
    context.globalAlpha = Math.min(Math.max(5 / Math.sqrt(drawn.length), 0.15), 0.9);
    Object.assign(context, { lineWidth: 2.5, lineJoin: "round" });
    for (const { rows, i } of drawn) {
      context.beginPath();
      context.strokeStyle = this.colour(i);
      rows.forEach((row, t) => {
        const [x, y] = [8 + ((width - 16) * t) / Math.max(length - 1, 1), 12 + (height - 24) * (1 - (row[k] - low) / span)];
        if (rows.length === 1) context.arc(x, y, 4, 0, 2 * Math.PI);
        else context.lineTo(x, y);
      });
      context.stroke();
    }
    context.globalAlpha = 1;
    const number = (v) => Number(v.toPrecision(3)), what = columns.length > 1 ? `number ${k}: ` : "";
    const rest = k === NUMBERS - 1 && columns.length > NUMBERS ? `; ${columns.length - NUMBERS} more numbers are not shown` : "";
    this.captions[k].textContent = `${what}from ${number(low)} to ${number(top)}, at positions 0 to ${length - 1}${rest}`;
  }
}

/** A canvas with the numbers of a part that is an image, from its darkest to its lightest. */
function pictureOf({ data, shape: [channels, height, width] }) {
  const canvas = element("canvas", { width, height }), context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  const low = data.reduce((a, b) => Math.min(a, b), 0), high = data.reduce((a, b) => Math.max(a, b), low), area = width * height;
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < 3; c++) {
      const channel = channels === 1 ? 0 : c;
      pixels.data[4 * p + c] = channel < channels ? (255 * (data[channel * area + p] - low)) / (high - low || 1) : 0;
    }
    pixels.data[4 * p + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function ring(context, [x, y]) {
  for (const [width, style] of [[6, EDGE], [2.5, LIGHT]]) {
    context.beginPath();
    context.arc(x, y, 12, 0, 2 * Math.PI);
    Object.assign(context, { lineWidth: width, strokeStyle: style });
    context.stroke();
  }
}
