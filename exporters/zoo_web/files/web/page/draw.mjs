/**
 * Samples as something to look at or listen to: pictures, points over a density, sounds, or numbers.
 *
 * @license Apache-2.0
 */

/** How samples of a manifest are shown: "images", "points", "sounds" or "numbers". */
export function kindOf({ event_shape: shape, model }) {
  const [channels, height, width] = shape.length === 2 ? [1, ...shape] : shape;
  if (shape.length === 1 && shape[0] === 2) return "points";
  if (model.data?.sample_rate && (shape.length === 1 || (shape.length === 2 && shape[0] === 1))) return "sounds";
  if ((channels === 1 || channels === 3) && height > 1 && width > 1 && shape.length <= 3) return "images";
  return "numbers";
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// -- images -----------------------------------------------------------------------------------------------------------

/**
 * Data units to 0 … 255. Dequantised values in [v, v + 1) of discrete data are shown as v.
 * @returns {(value: number) => number}
 */
export function shadesOf(manifest, data) {
  const { levels, programs } = manifest;
  let { data_min: low = null, data_max: top = null } = programs.sample;
  if (levels !== null) return (v) => Math.round((Math.min(Math.floor(v), levels - 1) * 255) / Math.max(levels - 1, 1));
  if (low === null || top === null) {
    low = data.reduce((a, b) => Math.min(a, b), Infinity);
    top = data.reduce((a, b) => Math.max(a, b), -Infinity);
  }
  return (v) => Math.round((Math.min(Math.max((v - low) / (top - low || 1), 0), 1)) * 255);
}

/** Tiles for n images. `show(data, first)` draws images from number `first` on. */
export function images(view, manifest, n, captions) {
  const shape = manifest.event_shape.length === 2 ? [1, ...manifest.event_shape] : manifest.event_shape;
  const [channels, height, width] = shape, size = channels * height * width;
  const canvases = Array.from({ length: n }, () => element("canvas", { width, height }));
  const tiles = element("div", { className: "tiles" });
  tiles.style.setProperty("--tile", n <= 4 ? "9rem" : n <= 40 ? "5.5rem" : "3.5rem");
  tiles.append(...canvases.map((canvas, i) => element("figure", {}, canvas, ...(captions ? [element("figcaption", { textContent: captions[i] })] : []))));
  view.replaceChildren(tiles);
  const show = (data, first = 0) => {
    const shade = shadesOf(manifest, data);
    for (let i = 0; i < data.length / size; i++) {
      const pixels = new ImageData(width, height);
      for (let p = 0; p < height * width; p++) {
        for (let c = 0; c < 3; c++) {
          pixels.data[4 * p + c] = shade(data[i * size + (channels === 3 ? c : 0) * height * width + p]);
        }
        pixels.data[4 * p + 3] = 255;
      }
      canvases[first + i].getContext("2d").putImageData(pixels, 0, 0);
    }
  };
  return { show, picture: () => sheet(canvases, Math.max(1, Math.round(84 / Math.max(height, width)))) };
}

/** All canvases on one, enlarged without smoothing. */
function sheet(canvases, factor) {
  const columns = Math.ceil(Math.sqrt(canvases.length)), gap = 2;
  const width = canvases[0].width * factor, height = canvases[0].height * factor;
  const whole = element("canvas", { width: columns * (width + gap) - gap, height: Math.ceil(canvases.length / columns) * (height + gap) - gap });
  const context = whole.getContext("2d");
  context.imageSmoothingEnabled = false;
  canvases.forEach((canvas, i) => context.drawImage(canvas, (i % columns) * (width + gap), Math.floor(i / columns) * (height + gap), width, height));
  return whole;
}

// -- points -----------------------------------------------------------------------------------------------------------

const GRID = 128; // cells of the density along a side
const PIXELS = 900;

/** A square around points [n, 2], a little larger than they are. */
export function extentOf(data) {
  const low = [Infinity, Infinity], top = [-Infinity, -Infinity];
  data.forEach((v, i) => {
    low[i % 2] = Math.min(low[i % 2], v);
    top[i % 2] = Math.max(top[i % 2], v);
  });
  const side = 1.16 * Math.max(top[0] - low[0], top[1] - low[1], 1e-6);
  const corner = [0, 1].map((axis) => (low[axis] + top[axis] - side) / 2);
  return { corner, side };
}

/** Centres of the cells of the density, [GRID², 2], row by row from the bottom. */
export function gridOf({ corner, side }) {
  const centre = (axis, i) => corner[axis] + (side * (i + 0.5)) / GRID;
  return Float32Array.from({ length: 2 * GRID * GRID }, (_, i) => {
    const cell = i >> 1;
    return i % 2 ? centre(1, Math.floor(cell / GRID)) : centre(0, cell % GRID);
  });
}

/** Points [n, 2], over a density on {@link gridOf} when there is one. */
export function points(view, data, extent, logDensity) {
  const canvas = element("canvas", { className: "plot", width: PIXELS, height: PIXELS }), context = canvas.getContext("2d");
  if (logDensity) context.drawImage(heat(logDensity), 0, 0, PIXELS, PIXELS);
  const n = data.length / 2, radius = Math.min(Math.max(90 / Math.sqrt(n), 1.6), 6);
  context.fillStyle = colour("ink");
  context.globalAlpha = Math.min(Math.max(30 / Math.sqrt(n), 0.25), 0.9);
  for (let i = 0; i < n; i++) {
    const x = ((data[2 * i] - extent.corner[0]) / extent.side) * PIXELS, y = (1 - (data[2 * i + 1] - extent.corner[1]) / extent.side) * PIXELS;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }
  view.replaceChildren(canvas);
  return { picture: () => canvas };
}

/** The density as the accent colour's opacity. Its square root shows tails that a linear scale hides. */
function heat(logDensity) {
  const canvas = element("canvas", { width: GRID, height: GRID }), context = canvas.getContext("2d");
  context.fillStyle = colour("accent");
  context.fillRect(0, 0, GRID, GRID);
  const pixels = context.getImageData(0, 0, GRID, GRID), largest = logDensity.reduce((a, b) => Math.max(a, b), -Infinity);
  logDensity.forEach((value, cell) => {
    const row = GRID - 1 - Math.floor(cell / GRID);
    pixels.data[4 * (row * GRID + (cell % GRID)) + 3] = 230 * Math.exp((value - largest) / 2);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// -- sounds -----------------------------------------------------------------------------------------------------------

/** One player and one wave a sample. */
export function sounds(view, data, length, rate, captions) {
  const canvases = [];
  view.replaceChildren(...Array.from({ length: data.length / length }, (_, i) => {
    const part = data.subarray(i * length, (i + 1) * length), canvas = element("canvas", { width: 900, height: 120 });
    wave(canvas, part);
    canvases.push(canvas);
    const player = element("audio", { controls: true, src: URL.createObjectURL(new Blob([wav(part, rate)], { type: "audio/wav" })) });
    return element("div", { className: "sound" }, ...(captions ? [captions[i]] : []), canvas, player);
  }));
  return { picture: () => sheet(canvases, 1) };
}

function wave(canvas, samples) {
  const context = canvas.getContext("2d"), { width, height } = canvas, largest = samples.reduce((a, v) => Math.max(a, Math.abs(v)), 1e-9);
  context.fillStyle = colour("accent");
  for (let x = 0; x < width; x++) {
    const from = Math.floor((x * samples.length) / width), to = Math.max(from + 1, Math.floor(((x + 1) * samples.length) / width));
    const part = samples.subarray(from, to), low = Math.min(...part), top = Math.max(...part);
    context.fillRect(x, (height / 2) * (1 - top / largest), 1, Math.max(1, (height / 2) * ((top - low) / largest)));
  }
}

/** 16-bit PCM; louder than full scale is scaled down as a whole. */
export function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length)), largest = samples.reduce((a, v) => Math.max(a, Math.abs(v)), 1);
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  [[16, 4], [1, 2], [1, 2], [rate, 4], [2 * rate, 4], [2, 2], [16, 2]].reduce((at, [value, bytes]) => {
    if (bytes === 4) view.setUint32(at, value, true);
    else view.setUint16(at, value, true);
    return at + bytes;
  }, 16);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round((v / largest) * 32767), true));
  return view.buffer;
}

// -- numbers ----------------------------------------------------------------------------------------------------------

const ROWS = 100, COLUMNS = 16;

/** A table of the first samples. */
export function numbers(view, data, size, captions) {
  const shown = Math.min(size, COLUMNS), more = size > COLUMNS ? ["…"] : [];
  const row = (cells, name) => element("tr", {}, ...cells.map((text) => element(name, { textContent: text })));
  const table = element("table", {}, row(["", ...Array.from({ length: shown }, (_, i) => `x${i}`), ...more], "th"));
  for (let i = 0; i < Math.min(data.length / size, ROWS); i++) {
    const values = Array.from(data.subarray(i * size, i * size + shown), (v) => v.toPrecision(5));
    table.append(row([captions ? `${i} · ${captions[i]}` : i, ...values, ...more], "td"));
  }
  view.replaceChildren(element("div", { className: "scroll" }, table));
  return {};
}
