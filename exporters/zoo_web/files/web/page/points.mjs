/**
 * Samples of two numbers as points of a plane, over the model's density when there is one.
 *
 * @license Apache-2.0
 */

import { canvasOf, colour, element } from "./dom.mjs";

const GRID = 128; // cells of the density along a side
const PIXELS = 900;
const OPAQUE = 230; // opacity of the density at its peak, of 255

/** A square around points [n, 2], a little larger than they are. */
export function extentOf(data) {
  const low = [Infinity, Infinity], top = [-Infinity, -Infinity];
  data.forEach((v, i) => {
    low[i % 2] = Math.min(low[i % 2], v);
    top[i % 2] = Math.max(top[i % 2], v);
  });
  const side = 1.16 * Math.max(top[0] - low[0], top[1] - low[1], 1e-6);
  return { corner: [0, 1].map((axis) => (low[axis] + top[axis] - side) / 2), side };
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
  constructor(view, n) {
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

  /** Log-densities on the grid of the plot's extent, see {@link gridOf}. */
  density(values) {
    this.logDensity = values;
    this.redraw();
  }

  redraw() {
    const context = this.canvas.getContext("2d"), { corner, side } = this.extent, n = this.data.length / 2;
    context.clearRect(0, 0, PIXELS, PIXELS);
    if (this.logDensity) context.drawImage(heat(this.logDensity), 0, 0, PIXELS, PIXELS);
    const radius = Math.min(Math.max(90 / Math.sqrt(n), 1.6), 6);
    context.fillStyle = colour("ink");
    context.globalAlpha = Math.min(Math.max(30 / Math.sqrt(n), 0.25), 0.9);
    for (let i = 0; i < n; i++) {
      const x = ((this.data[2 * i] - corner[0]) / side) * PIXELS, y = (1 - (this.data[2 * i + 1] - corner[1]) / side) * PIXELS;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    const range = (axis) => `${corner[axis].toFixed(2)} to ${(corner[axis] + side).toFixed(2)}`;
    const shown = this.logDensity ? "; shaded by the square root of the model's density" : "";
    this.caption.textContent = `x from ${range(0)}, y from ${range(1)}${shown}`;
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
