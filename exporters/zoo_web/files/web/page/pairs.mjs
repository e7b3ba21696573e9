/**
 * Samples of a few numbers, such as the parameters of a posterior: every two of them as points of a plane, each alone as
 * a histogram, and their numbers in a table.
 *
 * @license Apache-2.0
 */

import { canvasOf, colour, element } from "./dom.mjs";
import { Numbers } from "./numbers.mjs";
import { limitsOf } from "./points.mjs";

const LEAST = 3, MOST = 6, PIXELS = 1000, BINS = 30;
/** Room for names and ranges at the left and below, and between panels. */
const EDGE = 74, GAP = 10;

/** The names of the numbers of samples that are shown so, or null for others. */
export function pairsOf({ event_shape: [size, ...more], kind }) {
  if (more.length || size < LEAST || size > MOST || (kind && kind.kind !== "table")) return null;
  if (kind?.columns.some(({ values, date }) => values?.length || date)) return null;
  return kind ? kind.columns.map(({ name }) => name) : Array.from({ length: size }, (_, i) => `x${i}`);
}

/** n samples; `done(data)` draws them. */
export class Pairs {
  constructor(view, manifest, n, captions) {
    this.names = pairsOf(manifest);
    this.canvas = canvasOf(PIXELS, PIXELS, `${n} samples: every two of ${this.names.join(", ")}`);
    this.canvas.className = "plot";
    const table = element("div");
    this.numbers = new Numbers(table, manifest, n, captions);
    const details = element("details", {}, element("summary", { textContent: "Numbers" }), table);
    view.replaceChildren(element("figure", { className: "plane" }, this.canvas), details);
  }

  done(data) {
    this.data = data;
    const size = this.names.length;
    this.columns = this.names.map((_, k) => data.filter((_, i) => i % size === k));
    this.limits = this.columns.map((column) => limitsOf(Float32Array.from(column).sort()));
    this.redraw();
    this.numbers.done(data);
  }

  redraw() {
    if (!this.data) return;
    const { columns, names, canvas } = this, context = canvas.getContext("2d"), size = names.length, cell = (PIXELS - EDGE) / size;
    context.clearRect(0, 0, PIXELS, PIXELS);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column <= row; column++) {
        const box = { x: EDGE + column * cell + GAP, y: row * cell + GAP / 2, side: cell - 2 * GAP };
        Object.assign(context, { strokeStyle: colour("line"), lineWidth: 2 });
        context.strokeRect(box.x, box.y, box.side, box.side);
        if (row === column) this.histogram(context, box, columns[row], this.limits[row]);
        else this.points(context, box, column, row);
      }
      this.label(context, names[row], this.limits[row], row, cell);
    }
  }

  points(context, { x, y, side }, across, up) {
    const n = this.columns[across].length, [[left, right], [bottom, top]] = [this.limits[across], this.limits[up]];
    const radius = Math.min(Math.max(40 / Math.sqrt(n), 1.2), 4);
    context.fillStyle = colour("accent");
    context.globalAlpha = Math.min(Math.max(12 / Math.sqrt(n), 0.2), 0.9);
    for (let i = 0; i < n; i++) {
      const [px, py] = [(this.columns[across][i] - left) / (right - left || 1), (this.columns[up][i] - bottom) / (top - bottom || 1)];
      if (!(px >= 0 && px <= 1 && py >= 0 && py <= 1)) continue;
      context.beginPath();
      context.arc(x + px * side, y + (1 - py) * side, radius, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  histogram(context, { x, y, side }, values, [low, top]) {
    const counts = new Array(BINS).fill(0);
    for (const value of values) {
      const bin = Math.min(Math.floor(((value - low) / (top - low || 1)) * BINS), BINS - 1);
      if (bin >= 0 && value <= top) counts[bin] += 1;
    }
    const most = Math.max(...counts, 1);
    context.fillStyle = colour("accent");
    context.globalAlpha = 0.55;
    counts.forEach((number, bin) => {
      const height = (0.95 * side * number) / most;
      context.fillRect(x + (bin * side) / BINS, y + side - height, side / BINS, height);
    });
    context.globalAlpha = 1;
  }

  /** The name of a number and its range, below its column and to the left of its row. */
  label(context, name, [low, top], place, cell) {
    const middle = place * cell + cell / 2 - GAP / 2, number = (v) => String(Number(v.toPrecision(2)));
    const write = (text, x, y, most, align = "center") => {
      context.textAlign = align;
      context.fillText(text, x, y, most);
    };
    Object.assign(context, { fillStyle: colour("ink"), font: "26px system-ui, sans-serif", textBaseline: "middle" });
    for (const turned of [false, true]) {
      context.save();
      if (turned) {
        context.translate(0, middle);
        context.rotate(-Math.PI / 2);
      } else context.translate(EDGE + place * cell + cell / 2, PIXELS - EDGE);
      context.fillStyle = colour("ink");
      write(name, 0, turned ? 18 : 54, cell - 2 * GAP);
      context.fillStyle = colour("quiet");
      context.font = "21px system-ui, sans-serif";
      const half = cell / 2 - GAP, y = turned ? 52 : 22;
      write(number(low), -half, y, half, "left");
      write(number(top), half, y, half, "right");
      context.restore();
      context.font = "26px system-ui, sans-serif";
    }
  }

  written() { return this.numbers.written(); }

  picture() { return this.canvas; }
}
