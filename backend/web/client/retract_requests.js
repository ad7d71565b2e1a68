// Retractions that the server has not answered.

export class RetractRequests {
  #requests = []; // {context, from, resolve}

  /** Resolves with the position in the utterance's text from which the text is gone. */
  add(context, from) {
    return new Promise((resolve) => this.#requests.push({ context, from, resolve }));
  }

  /** The server's answer to a retraction from `from` on. */
  answer({ context, from }) {
    const kept = context.sent.length > from ? context.sent.length : 0;
    const last = kept > 0 || context.wanted.startsWith(context.sent); // else another follows
    const isOver = (one) => one.context === context && (last || one.from >= from);
    this.#resolve(isOver, (one) => context.base + Math.max(one.from, kept));
  }

  /** A new context goes on for another: the server knows nothing of what was to be retracted. */
  move(context, next) {
    const isOver = (one) => one.context === context;
    this.#resolve(isOver, (one) => Math.max(context.base + one.from, next.base));
  }

  /** No text can be retracted any more. */
  settle(position) {
    this.#resolve(() => true, () => position);
  }

  #resolve(isOver, positionOf) {
    for (const one of this.#requests.filter(isOver)) one.resolve(positionOf(one));
    this.#requests = this.#requests.filter((one) => !isOver(one));
  }
}
