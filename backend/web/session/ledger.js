// What of a session is on its way, so that nothing is lost when its connection breaks: the messages
// that the server may not have handled, and what came from it. See "When the connection breaks" in
// docs/protocol.md.

const WITHOUT_COUNT = ["ready", "pong"]; // they belong to a connection, not to the session
const GOES_ON = ["timeout", "engine_failed"]; // after other errors nothing comes of a context

export class Ledger {
  #token;
  #unconfirmed = []; // messages, as they were sent
  #handled = 0; // by the server, of those sent before
  #after = {}; // by unfinished context: the number of its last audio
  #answers = 0;

  /** `ready`: the session's greeting. */
  constructor({ session, token }) {
    this.session = session;
    this.#token = token;
  }

  /** What the server may not have handled, the oldest first. */
  get unconfirmed() {
    return this.#unconfirmed;
  }

  /** A message goes out, as `text`. */
  sent({ type, context }, text) {
    this.#unconfirmed.push(text);
    if (type === "start") this.#after[context] = -1;
  }

  /** The server says how many messages it has handled in all. */
  confirm(handled) {
    this.#unconfirmed.splice(0, handled - this.#handled);
    this.#handled = handled;
  }

  /** A message came in. */
  received({ type, context, seq, code }) {
    if (type === "audio") {
      this.#after[context] = seq;
    } else if (!WITHOUT_COUNT.includes(type)) {
      this.#answers++;
      const over = type === "error" ? !GOES_ON.includes(code) : type !== "retracted";
      if (over) delete this.#after[context];
    }
  }

  /** The fields that acknowledge what came. */
  get acknowledgement() {
    return { after: this.#after, answers: this.#answers };
  }

  /** The message that asks to go on with the session over a new connection. */
  get resumption() {
    const { session } = this;
    return { type: "resume", session, token: this.#token, ...this.acknowledgement };
  }
}
