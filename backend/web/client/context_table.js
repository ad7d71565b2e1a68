// The contexts of a connection: what each is sent, and how they go on when the connection drops, when
// the line is thin, and after errors that have a remedy.

import { Context } from "./context.js";
import { wordStart } from "./offsets.js";
import { OpusStream } from "./opus_stream.js";

const MOST_FAILURES = 5;
const BUSY_AGAIN_MS = 1000;

const PLAIN = [undefined, "pcm_s16le"]; // formats of 16-bit samples
const GOES_ON = ["timeout", "engine_failed"]; // one sentence is lost; other errors end a context
const ENDED = ["voice_unavailable", "context_ended", "resume_gap"]; // the server no longer has it

/**
 * Events (`context` in each detail): `audio` ({header, data, from, to, words}: a message, in units of the
 * context's text), `sound` ({samples}: its next samples), `spoken` (more of it is locked), `retracted` ({from}: asked
 * for; its text ends with `sent`), `replaced` ({next, restarted}: speaks what `context` did not; the server had lost the
 * session), `finished` ({done}: the server's totals, if there are any), `unspoken`
 * ({error}: a sentence could not be spoken), `refused` ({error}: the rest cannot
 * be), `undecodable` (its compressed sound; it goes on uncompressed).
 * Without a context: `restarted` ({again}: texts that are sent again to a new session), `resumed`,
 * `advice` (of the server, about this line), `problem` ({error}).
 */
export class ContextTable extends EventTarget {
  #connection;
  #prefix;
  #ids = 0;
  #contexts = new Map(); // incomplete contexts, by id

  /** Context ids begin with `prefix`. */
  constructor(connection, prefix) {
    super();
    this.#connection = connection;
    this.#prefix = prefix;
    connection.addEventListener("message", ({ detail }) => this.#received(detail));
    connection.addEventListener("ready", () => this.#restart());
    connection.addEventListener("resumed", () => this.#resume());
  }

  /** Incomplete contexts, earliest first. */
  get unfinished() {
    return [...this.#contexts.values()];
  }

  /** Speak a context. */
  add(context) {
    this.#contexts.set(context.id, context);
    this.pump(context);
  }

  /** Set the context's text to `text`; with `ended`, finally. */
  update(context, text, ended = false) {
    context.wanted = text;
    context.ended = ended;
    this.pump(context);
  }

  /** Send what the server does not know yet. */
  pump(context) {
    if (!this.#connection.ready || performance.now() < context.notBefore) return;
    context.pump(this.#send);
    if (context.complete) this.#finish(context);
  }

  /** Speak the rest of the context, from where it can still change, with these parameters. */
  change(context, options) {
    if (!context.open) return Object.assign(context, options);
    context.changing = options;
    if (!context.retracting) context.retract(this.#send, context.spoken);
  }

  /** Drop what is not heard of the context; no audio of it follows. */
  cancel(context) {
    if (context.open) this.#send({ type: "cancel", context: context.id });
    context.ended = true;
    this.#finish(context);
  }

  /** End the context; audio already received counts. Returns the text that is not spoken. */
  withdraw(context) {
    const rest = context.wanted.slice(context.spoken);
    context.wanted = context.wanted.slice(0, context.spoken);
    this.cancel(context);
    return rest;
  }

  /** Report how much of the context was heard. */
  played(context, ms) {
    if (!this.#connection.ready || !context.open) return;
    this.#send({ type: "played", context: context.id, ms: Math.round(ms * 10) / 10 });
  }

  /** A context with an id of its own. Subclasses may create contexts of theirs. */
  createContext(options) {
    return new Context(this.nextId(), options);
  }

  nextId() {
    return `${this.#prefix}-${++this.#ids}`;
  }

  /** What helps against an error that ended a context: {options, afterMs}, or null if nothing does. */
  remedyFor(context, { code, retry_after_ms: retryAfterMs = 0 }) {
    if (code === "overloaded" || code === "too_many_contexts") {
      return { afterMs: Math.max(retryAfterMs, BUSY_AGAIN_MS * 2 ** (context.failures - 1)) };
    }
    if (code === "text_limit") return { options: { ahead: Math.ceil(context.ahead / 4) } };
    return code === "resume_gap" ? {} : null; // the rest is spoken again
  }

  #send = (message) => this.#connection.send(message);

  // --- receiving ------------------------------------------------------------------------------

  #received({ header, audio }) {
    const context = this.#contexts.get(header.context);
    if (header.type === "error") return this.#failed(context, header);
    if (header.type === "advice") return this.tell("advice", header);
    if (!context) return; // cancelled while this was in flight
    if (header.type === "audio") this.#hear(context, header, audio);
    else if (header.type === "done") this.#delivered(context, header);
    else if (header.type === "retracted") {
      const from = context.retracted(header.to);
      if (context.changing) this.#replace(context, context.sent.length, context.changing);
      this.tell("retracted", { context, from });
      this.pump(context);
    }
  }

  #hear(context, header, data) {
    this.tell("audio", { context, header, data, ...context.receive(header) });
    if (context.compressed) this.#streamOf(context).push(new Uint8Array(data));
    else if (PLAIN.includes(context.parameters.format)) this.#sound(context, new Int16Array(data));
    this.tell("spoken", { context });
    this.pump(context);
  }

  #sound(context, samples) {
    if (samples.length > 0 && !context.complete) this.tell("sound", { context, samples });
  }

  /** The server has finished the context. */
  async #delivered(context, done) {
    context.delivered = true;
    if (context.stream) await context.stream.finish().catch(() => {}); // or it was cancelled meanwhile
    if (!context.complete) this.#finish(context, done);
  }

  #finish(context, done = null) {
    context.complete = true;
    context.stream?.close();
    this.#contexts.delete(context.id);
    this.tell("finished", { context, done });
  }

  // --- thin lines -----------------------------------------------------------------------------

  /** The rest of these contexts comes as Opus. Returns false if that cannot be decoded here. */
  async compress(contexts) {
    if (!(await OpusStream.isSupported())) return false;
    for (const context of contexts) this.change(context, { compressed: true });
    return true;
  }

  #streamOf(context) {
    context.stream ??= new OpusStream(
      context.rateHz,
      (samples) => this.#sound(context, samples),
      () => this.#undecodable(context),
    );
    return context.stream;
  }

  #undecodable(context) {
    if (context.complete) return;
    this.tell("undecodable", { context });
    if (context.open) this.#send({ type: "cancel", context: context.id });
    this.#continue(context, { options: { compressed: false } });
  }

  // --- errors ---------------------------------------------------------------------------------

  #failed(context, error) {
    if (!context) return error.context ? undefined : this.tell("problem", { error }); // or it is over
    if (GOES_ON.includes(error.code)) return this.tell("unspoken", { context, error });
    if (!ENDED.includes(error.code)) this.#send({ type: "cancel", context: context.id });
    const remedy = ++context.failures <= MOST_FAILURES ? this.remedyFor(context, error) : null;
    if (remedy) return this.#continue(context, remedy);
    this.tell("refused", { context, error });
    this.#finish(context);
  }

  /** End the context where it is; a successor speaks the rest. */
  #continue(context, { options = {}, afterMs = 0 }) {
    context.keepSpoken();
    this.#follow(context, this.#successor(context, context.spoken, options), afterMs);
    this.#finish(context);
  }

  // --- replacing contexts ---------------------------------------------------------------------

  /** End the context at `at`; a new one speaks the text after it. */
  #replace(context, at, options) {
    const next = this.#successor(context, at, options);
    context.changing = false;
    context.wanted = context.wanted.slice(0, at);
    context.ended = true;
    this.#follow(context, next, 0);
  }

  #successor(context, at, options) {
    const text = context.wanted.slice(at);
    const base = context.base + at;
    const { ended } = context;
    const flushTo = Math.max(0, context.flushedTo - at);
    return this.createContext({ ...context.options, ...options, text, base, ended, flushTo });
  }

  #follow(context, next, afterMs, restarted = false) {
    next.failures = context.failures;
    next.notBefore = performance.now() + afterMs;
    this.#contexts.set(next.id, next);
    this.tell("replaced", { context, next, restarted });
    setTimeout(() => this.pump(next), afterMs + 1);
  }

  // --- when the connection drops --------------------------------------------------------------

  /** The server lost the session: the text being spoken is sent again. */
  #restart() {
    const open = this.unfinished.filter((context) => context.open);
    const again = open.map((context) => this.#sendAgain(context));
    for (const context of this.unfinished) this.pump(context);
    this.tell("restarted", { again });
  }

  #resume() {
    for (const context of this.unfinished) this.pump(context);
    this.tell("resumed");
  }

  /** Audio already received counts; the rest is sent again, from the start of a word. Returns how
   *  much of it the server had received before.
   */
  #sendAgain(context) {
    context.keepSpoken();
    const { wanted, spoken } = context;
    const at = spoken < wanted.length ? wordStart(wanted, spoken) : spoken;
    const next = this.#successor(context, at, {});
    context.changing = false;
    this.#follow(context, next, 0, true);
    this.#finish(context);
    return next.wanted.slice(0, Math.max(0, context.sent.length - at));
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
