/**
 * Samples of two numbers as points of a plane, over the model's density when there is one.
 *
 * @license Apache-2.0
 */

import { canvasOf, colour, element } from "./dom.mjs";

const GRID = 128; // cells of the density along a side
const PIXELS = 900;
/** The share of points that may be outliers at either end, and from how many points on. */
const OUTLYING = 0.005, LEAST = 20;
const OPAQUE = 230; // opacity of the density at its peak, of 255

/** A square around points [n, 2], a little larger than they are; outliers do not shrink the rest, as in `zoo run`. */
export function extentOf(data) {
  const [low, top] = [[], []];
  for (const axis of [0, 1]) [low[axis], top[axis]] = limitsOf(data.filter((_, i) => i % 2 === axis).sort());
  const side = 1.16 * Math.max(top[0] - low[0], top[1] - low[1], 1e-6);
  return { corner: [0, 1].map((axis) => (low[axis] + top[axis] - side) / 2), side };
}

/** The least and the largest of sorted numbers. Outliers, at most 0.5% at either end, do not widen what the others take
 * by more than half of it at either end. */
export function limitsOf(sorted) {
  const n = sorted.length, [low, top] = [sorted[0] ?? 0, sorted[n - 1] ?? 0];
  if (n < LEAST) return [low, top];
  const out = Math.ceil(OUTLYING * n), [innerLow, innerTop] = [sorted[out], sorted[n - 1 - out]], reach = (innerTop - innerLow) / 2;
  return reach > 0 ? [Math.max(low, innerLow - reach), Math.min(top, innerTop + reach)] : [low, top];
}

/** Centres of the cells of the density, [GRID², 2], row by row from the bottom. */
export function gridOf({ corner, side }) {
  const centre = (axis, i) => corner[axis] + (side * (i + 0.5)) / GRID;
  return Float32Array.from({ length: 2 * GRID * GRID }, (_, i) => {
    const cell = i >> 1;
    return i % 2 ? centre(1, Math.floor(cell / GRID)) : centre(0, cell % GRID);
  });
}

/** A plot of n points; `show(data, first)` puts those from number `first` on, `density(values)` what lies beneath. */
export class Points {
  constructor(view, n, names = ["x", "y"]) {
    this.names = names;
    this.data = new Float32Array(2 * n).fill(NaN);
    this.logDensity = null;
    this.canvas = canvasOf(PIXELS, PIXELS, `${n} points in the plane`);
    this.canvas.className = "plot";
    this.caption = element("figcaption");
    view.replaceChildren(element("figure", { className: "plane" }, this.canvas, this.caption));
  }

  show(data, first = 0) {
    this.data.set(data, 2 * first);
    this.extent = extentOf(this.data.filter(Number.isFinite));
    this.logDensity = null; // that of another extent
    this.redraw();
  }

  /** Log-densities on the grid of the plot's extent, see {@link gridOf}; the points may be of another temperature. */
  density(values, temperature = 1) {
    this.logDensity = values;
    this.temperature = temperature;
    this.redraw();
  }

  redraw() {
    const context = this.canvas.getContext("2d"), { corner, side } = this.extent, n = this.data.length / 2;
    context.clearRect(0, 0, PIXELS, PIXELS);
    if (this.logDensity) context.drawImage(heat(this.logDensity), 0, 0, PIXELS, PIXELS);
    const radius = Math.min(Math.max(90 / Math.sqrt(n), 1.6), 6);
    context.fillStyle = colour("ink");
    context.globalAlpha = Math.min(Math.max(30 / Math.sqrt(n), 0.25), 0.9);
    let outside = 0;
    for (let i = 0; i < n; i++) {
      const x = ((this.data[2 * i] - corner[0]) / side) * PIXELS, y = (1 - (this.data[2 * i + 1] - corner[1]) / side) * PIXELS;
      if (!(x >= 0 && x <= PIXELS && y >= 0 && y <= PIXELS)) outside += Number.isFinite(x + y);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    const range = (axis) => `${corner[axis].toFixed(2)} to ${(corner[axis] + side).toFixed(2)}`;
    const shown = this.logDensity ? `; shaded by the square root of the model's density${this.temperature === 1 ? "" : `, points at temperature ${this.temperature}`}` : "";
    const beyond = outside ? `; ${outside} of ${n} outside` : "";
    this.caption.textContent = `${this.names[0]} from ${range(0)}, ${this.names[1]} from ${range(1)}${shown}${beyond}`;
  }

  picture() { return this.canvas; }
}

/** The density as the accent colour's opacity. Its square root shows tails that a linear scale hides. */
function heat(logDensity) {
  const canvas = element("canvas", { width: GRID, height: GRID }), context = canvas.getContext("2d");
  context.fillStyle = colour("accent");
  context.fillRect(0, 0, GRID, GRID);
  const pixels = context.getImageData(0, 0, GRID, GRID), largest = logDensity.reduce((a, b) => Math.max(a, b), -Infinity);
  logDensity.forEach((value, cell) => {
    const row = GRID - 1 - Math.floor(cell / GRID);
    pixels.data[4 * (row * GRID + (cell % GRID)) + 3] = OPAQUE * Math.exp((value - largest) / 2);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
