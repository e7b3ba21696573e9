/**
 * Samples other than images, sounds, points and texts: a table of their numbers.
 *
 * @license Apache-2.0
 */

import { element } from "./dom.mjs";

const ROWS = 100, COLUMNS = 16;

/** The first numbers of the first samples; `done(data)` writes them. */
export class Numbers {
  constructor(view, { event_shape: shape, kind }, n, captions) {
    this.view = view;
    this.shape = shape;
    this.size = shape.reduce((product, size) => product * size, 1);
    this.captions = captions;
    this.columns = kind?.kind === "table" ? kind.columns : null;
  }

  done(data) {
    this.data = data;
    const shown = Math.min(this.size, COLUMNS), more = this.size > COLUMNS ? ["…"] : [];
    const row = (first, cells, name) => element("tr", {}, element("th", { textContent: first }), ...cells.map((text) => element(name, { textContent: text })));
    const heads = this.heads(",").slice(0, shown);
    const table = element("table", {}, row("", [...heads, ...more], "th"));
    for (let i = 0; i < Math.min(data.length / this.size, ROWS); i++) {
      const values = Array.from(data.subarray(i * this.size, i * this.size + shown), (v, j) => cellOf(this.columns?.[j], v));
      table.append(row(this.captions ? `${i + 1} · ${this.captions[i]}` : i + 1, [...values, ...more], "td"));
    }
    const scroll = element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Numbers of the samples" }, table);
    const n = data.length / this.size, all = n > ROWS ? `the first ${ROWS} of ${n} rows` : `${n} row${n === 1 ? "" : "s"}`;
    const told = `${all}, ${this.size > COLUMNS ? `${COLUMNS} of ` : ""}${this.size} column${this.size === 1 ? "" : "s"}`;
    this.view.replaceChildren(scroll, element("p", { className: "quiet", textContent: told }));
  }

  /** The names of the numbers of a sample. */
  heads(between) {
    return Array.from({ length: this.size }, (_, i) => this.columns?.[i].name ?? `x${placeOf(i, this.shape).join(between)}`);
  }

  /** The samples as a file, in the columns of `zoo run -o x.csv`. */
  written() {
    const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text), rows = [this.heads("_")];
    for (let i = 0; i < this.data.length; i += this.size) {
      rows.push(Array.from(this.data.subarray(i, i + this.size), (v, j) => (this.columns?.[j].grain ? cellOf(this.columns[j], v) : shortest(v))));
    }
    return { what: "table", suffix: "csv", content: rows.map((row) => `${row.map(cell).join(",")}\n`).join("") };
  }
}

/** The shortest decimal that is read as the same float32. */
function shortest(value) {
  const text = [6, 7, 8, 9].map((digits) => Number(value.toPrecision(digits))).find((each) => Math.fround(each) === value);
  return String(text ?? value);
}

/** Where number i of an event lies: [3] of a vector, [1, 1] of a sequence of pairs. */
function placeOf(i, shape) {
  const place = [];
  for (const size of [...shape].reverse()) {
    place.unshift(i % size);
    i = Math.floor(i / size);
  }
  return place;
}

/** A number as shown in its column: a category by its name, others rounded down to its grain, within its range. */
export function cellOf(column, value) {
  if (!column?.grain) return value.toPrecision(5);
  const { grain, minimum = -Infinity, maximum = Infinity, values } = column;
  const entry = Math.min(Math.max(Math.floor(value / grain + 1e-4) * grain, minimum), maximum);
  return values?.length ? values[entry] : entry.toFixed(Math.min(Math.max(0, -Math.floor(Math.log10(grain) + 1e-6)), 20));
}
