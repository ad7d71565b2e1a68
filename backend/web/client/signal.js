/** Wakes those that wait for a change. */
export class Signal {
  #waiting = [];

  /** Resolves with the next `fire`. */
  wait() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  fire() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
