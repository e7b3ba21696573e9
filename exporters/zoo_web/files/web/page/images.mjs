/**
 * Samples as pictures: a tile each, with its class beneath.
 *
 * @license Apache-2.0
 */

import { canvasOf, element, sheet } from "./dom.mjs";

/** [channels, height, width] of samples that are pictures, or null. As in `zoo run`, two axes alone are a sequence. */
export function pictureShape({ event_shape: [channels, height, width, ...more] }) {
  return (channels === 1 || channels === 3) && height > 1 && width > 1 && !more.length ? [channels, height, width] : null;
}

/**
 * Data units to 0 … 255. Dequantised values in [v, v + 1) of discrete data are shown as v.
 * @returns {(value: number) => number}
 */
export function shadesOf({ levels, programs }, data) {
  if (levels !== null) return (v) => Math.round((Math.min(Math.max(Math.floor(v), 0), levels - 1) * 255) / Math.max(levels - 1, 1));
  let { data_min: low = null, data_max: top = null } = programs.sample;
  if (low === null || top === null) {
    low = data.reduce((a, b) => Math.min(a, b), Infinity);
    top = data.reduce((a, b) => Math.max(a, b), -Infinity);
  }
  return (v) => Math.round(Math.min(Math.max((v - low) / (top - low || 1), 0), 1) * 255);
}

/** Tiles for n images; `show(data, first)` draws images from number `first` on. */
export class Images {
  constructor(view, manifest, n, captions) {
    [this.channels, this.height, this.width] = pictureShape(manifest);
    this.manifest = manifest;
    const label = (i) => (captions ? `Sample ${i + 1}, class ${captions[i]}` : `Sample ${i + 1}`);
    this.canvases = Array.from({ length: n }, (_, i) => canvasOf(this.width, this.height, label(i)));
    const tiles = element("div", { className: "tiles" });
    tiles.style.setProperty("--tile", n <= 4 ? "9rem" : n <= 12 ? "7.5rem" : "3.75rem"); // ten in a row where there is room
    tiles.append(...this.canvases.map((canvas, i) => {
      return element("figure", {}, canvas, ...(captions ? [element("figcaption", { textContent: captions[i] })] : []));
    }));
    view.replaceChildren(tiles);
  }

  show(data, first = 0) {
    const { channels, height, width } = this, area = height * width, size = channels * area, shade = shadesOf(this.manifest, data);
    for (let i = 0; i < data.length / size; i++) {
      const pixels = new ImageData(width, height);
      for (let p = 0; p < area; p++) {
        for (let c = 0; c < 3; c++) pixels.data[4 * p + c] = shade(data[i * size + (channels === 3 ? c : 0) * area + p]);
        pixels.data[4 * p + 3] = 255;
      }
      this.canvases[first + i].getContext("2d").putImageData(pixels, 0, 0);
    }
  }

  picture() {
    const columns = Math.ceil(Math.sqrt(this.canvases.length));
    return sheet(this.canvases, columns, Math.max(1, Math.round(84 / Math.max(this.height, this.width))));
  }
}
