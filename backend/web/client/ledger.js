// A session's messages in flight, so that nothing is lost when its connection breaks: those
// that the server may not have handled, and what was received. See "When the connection breaks" in
// docs/protocol.md.

const WITHOUT_COUNT = ["ready", "pong"]; // these belong to a connection, not to the session
const GOES_ON = ["timeout", "engine_failed"]; // other errors end a context
const ENDS = ["done", "cancelled"];

export class Ledger {
  #token;
  #unconfirmed = []; // messages, as sent
  #handled = 0; // by the server, of those sent
  #after = {}; // by unfinished context: the number of its last audio
  #answers = 0;

  /** `ready`: the session's greeting. */
  constructor({ session, token }) {
    this.session = session;
    this.#token = token;
  }

  /** Messages that the server may not have handled, oldest first. */
  get unconfirmed() {
    return this.#unconfirmed;
  }

  /** Record an outgoing message, sent as `text`. */
  sent({ type, context }, text) {
    this.#unconfirmed.push(text);
    if (type === "start") this.#after[context] = -1;
  }

  /** The server reports how many messages it has handled in total. */
  confirm(handled) {
    this.#unconfirmed.splice(0, handled - this.#handled);
    this.#handled = handled;
  }

  /** Record an incoming message. */
  received({ type, context, seq, code }) {
    if (type === "audio") {
      this.#after[context] = seq;
    } else if (!WITHOUT_COUNT.includes(type)) {
      this.#answers++;
      const over = type === "error" ? !GOES_ON.includes(code) : ENDS.includes(type);
      if (over) delete this.#after[context];
    }
  }

  /** The fields that acknowledge received messages. */
  get acknowledgement() {
    return { after: this.#after, answers: this.#answers };
  }

  /** The message that requests resuming the session over a new connection. */
  get resumption() {
    const { session } = this;
    return { type: "resume", session, token: this.#token, ...this.acknowledgement };
  }
}
