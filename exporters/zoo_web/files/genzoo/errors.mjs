/** Errors of bundles and calls. @license Apache-2.0 */

/** Any error of this module, in one sentence; `hint` is the next step, or ""; `cause` is the original error. */
export class ZooError extends Error {
  constructor(message, hint = "", cause = undefined) {
    super(message, { cause });
    this.name = "ZooError";
    this.hint = hint;
  }
}
