/**
 * Samples as sounds: a wave and a player each.
 *
 * @license Apache-2.0
 */

import { canvasOf, colour, element, sheet } from "./dom.mjs";

/** The sample rate of sounds, or null for other samples. */
export function sampleRate({ kind }) {
  return kind?.kind === "audio" ? kind.sample_rate : null;
}

/** The numbers of one sample that are heard: all, or those before the end that its mask states. */
export function heard({ event_shape: [, length], length: rule }, sample) {
  if (!rule) return sample;
  const row = (number) => sample.subarray(number * length, (number + 1) * length), end = row(rule.mask).findIndex((v) => v < 0.5);
  return row(1 - rule.mask).subarray(0, end < 0 ? length : end);
}

/** n sounds; `show(data, first)` draws waves from number `first` on, `done(data)` adds the players. */
export class Sounds {
  constructor(view, manifest, n, captions) {
    this.rate = sampleRate(manifest);
    this.manifest = manifest;
    this.size = manifest.event_shape.reduce((a, b) => a * b);
    const title = (i) => (captions ? `Sound ${i + 1}, class ${captions[i]}` : `Sound ${i + 1}`);
    this.canvases = Array.from({ length: n }, (_, i) => canvasOf(900, 120, `Wave of ${title(i)}`));
    this.players = Array.from({ length: n }, (_, i) => element("audio", { controls: true, ariaLabel: title(i) }));
    this.parts = new Array(n).fill(null);
    this.titles = this.canvases.map((_, i) => element("figcaption", { textContent: title(i) }));
    this.title = title;
    view.replaceChildren(...this.canvases.map((canvas, i) => element("figure", { className: "sound" }, this.titles[i], canvas, this.players[i])));
  }

  show(data, first = 0) {
    for (let i = 0; i < data.length / this.size; i++) {
      this.parts[first + i] = heard(this.manifest, data.subarray(i * this.size, (i + 1) * this.size));
      wave(this.canvases[first + i], this.parts[first + i]);
      const seconds = this.parts[first + i].length / this.rate;
      this.titles[first + i].textContent = `${this.title(first + i)} · ${seconds.toFixed(2)} s at ${this.rate / 1000} kHz`;
    }
  }

  done(data) {
    this.show(data);
    this.players.forEach((player, i) => {
      player.src = URL.createObjectURL(new Blob([wav(this.parts[i], this.rate)], { type: "audio/wav" }));
    });
  }

  /** Release the players' resources. */
  close() { for (const player of this.players) URL.revokeObjectURL(player.src); }

  redraw() { this.canvases.forEach((canvas, i) => this.parts[i] && wave(canvas, this.parts[i])); }

  picture() { return sheet(this.canvases, 1, 1); }
}

function wave(canvas, samples) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  const largest = samples.reduce((a, v) => Math.max(a, Math.abs(v)), 1e-9);
  context.clearRect(0, 0, width, height);
  context.fillStyle = colour("accent");
  for (let x = 0; x < width; x++) {
    // up to the next column's first sample, so that the line has no gaps
    const from = Math.floor((x * samples.length) / width);
    const to = Math.min(samples.length, Math.floor(((x + 1) * samples.length) / width) + 1);
    let low = Infinity, top = -Infinity;
    for (let i = from; i < to; i++) {
      low = Math.min(low, samples[i]);
      top = Math.max(top, samples[i]);
    }
    context.fillRect(x, (height / 2) * (1 - top / largest), 1, Math.max(1, (height / 2) * ((top - low) / largest)));
  }
}

/** A WAV file of 16-bit PCM; sounds beyond full scale are scaled down as a whole. */
export function wav(samples, rate) {
  const bytes = 2 * samples.length, view = new DataView(new ArrayBuffer(44 + bytes));
  const largest = samples.reduce((a, v) => Math.max(a, Math.abs(v)), 1);
  let at = 0;
  const text = (letters) => { for (const letter of letters) view.setUint8(at++, letter.charCodeAt(0)); };
  const long = (value) => { view.setUint32(at, value, true); at += 4; };
  const short = (value) => { view.setUint16(at, value, true); at += 2; };
  text("RIFF"); long(36 + bytes); text("WAVE");
  text("fmt "); long(16); short(1); short(1); long(Math.round(rate)); long(2 * Math.round(rate)); short(2); short(16);
  text("data"); long(bytes);
  samples.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round((v / largest) * 32767), true));
  return view.buffer;
}
