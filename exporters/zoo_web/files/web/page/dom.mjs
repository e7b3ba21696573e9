/**
 * DOM helpers shared by all views. Content of files becomes text, never markup.
 *
 * @license Apache-2.0
 */

/** An element with properties, and children that are elements or texts. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A canvas with a label for screen readers. */
export function canvasOf(width, height, label) {
  const canvas = element("canvas", { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

/** One of the colours of style.css, in the mode that the page is in. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Canvases side by side on one, enlarged without smoothing. */
export function sheet(canvases, columns, factor) {
  const gap = 2, width = canvases[0].width * factor, height = canvases[0].height * factor;
  const rows = Math.ceil(canvases.length / columns);
  const whole = element("canvas", { width: columns * (width + gap) - gap, height: rows * (height + gap) - gap });
  const context = whole.getContext("2d");
  context.imageSmoothingEnabled = false;
  canvases.forEach((canvas, i) => {
    context.drawImage(canvas, (i % columns) * (width + gap), Math.floor(i / columns) * (height + gap), width, height);
  });
  return whole;
}

/** Offer content to be saved as a file. */
export function save(name, content) {
  const link = element("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
