/** What goes wrong in a bundle or in a call. @license Apache-2.0 */

/** Everything that goes wrong here, in one sentence; `hint` is the next step, or "". `cause` is what was behind it. */
export class ZooError extends Error {
  constructor(message, hint = "", cause = undefined) {
    super(message, { cause });
    this.name = "ZooError";
    this.hint = hint;
  }
}
