/**
 * worker.mjs as an object with methods that return promises.
 *
 * @license Apache-2.0
 */

export class Client {
  constructor() {
    this.worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.last = 0;
    this.worker.onmessage = ({ data: { id, event, result, error } }) => {
      const { resolve, reject, listen } = this.waiting.get(id);
      if (event) return listen?.(event);
      this.waiting.delete(id);
      if (error) reject(Object.assign(new Error(error.message), error));
      else resolve(result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the model's program cannot be loaded"));
      this.waiting.clear();
    };
  }

  /**
   * @param {string} name of one of the worker's calls
   * @param {object} [args]
   * @param {(event: object) => void} [listen] receives the worker's events until it is done
   */
  call(name, args, listen) {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, listen });
      this.worker.postMessage({ id, call: name, args });
    });
  }
}
