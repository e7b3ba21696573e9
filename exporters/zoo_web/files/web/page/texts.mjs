/**
 * Samples as texts: a line each.
 *
 * @license Apache-2.0
 */

import { element } from "./dom.mjs";

/** The alphabet of texts, whose first character ends a text, or null for other samples. */
export function alphabetOf({ kind }) {
  return kind?.kind === "text" ? Array.from(kind.alphabet) : null;
}

/** One sample as a text. */
export function textOf(alphabet, numbers) {
  const places = Array.from(numbers, (v) => Math.min(Math.max(Math.floor(v), 0), alphabet.length - 1)), end = places.indexOf(0);
  return places.slice(0, end < 0 ? places.length : end).map((place) => alphabet[place]).join("");
}

/** A list; `show(data, first)` writes texts from number `first` on. */
export class Texts {
  constructor(view, manifest, n, captions) {
    this.alphabet = alphabetOf(manifest);
    this.length = manifest.event_shape[0];
    this.captions = captions;
    this.items = Array.from({ length: n }, () => element("li"));
    view.replaceChildren(element("ol", { className: "texts", ariaLabel: "Texts" }, ...this.items));
  }

  show(data, first = 0) {
    for (let i = 0; i < data.length / this.length; i++) {
      const text = textOf(this.alphabet, data.subarray(i * this.length, (i + 1) * this.length));
      this.items[first + i].textContent = this.captions ? `${text} · ${this.captions[first + i]}` : text;
    }
  }

  done(data) { this.show(data); }

  /** The samples as a file: a line each. */
  written() {
    return { what: "texts", suffix: "txt", content: this.items.map(({ textContent }) => `${textContent}\n`).join("") };
  }
}
