// The client's side of one server context: its text, the part that the server has, and the part that is
// spoken. Positions are UTF-16 units from the context's start.

import { characterStart, commonPrefix, toPoints, toUnitsFrom, wholeLength } from "./offsets.js";

const OWED_AFTER_MS = 300; // text speakable for this long should have its audio here
const FINISHED = /[.!?]\s+\S/; // a sentence, and the beginning of the next
const COMPRESSED = { format: "opus", bit_rate: "auto" };

export class Context {
  wanted = ""; // the text to be spoken; may change
  ended = false; // no more text will follow
  sent = "";
  spoken = 0; // units whose audio is here: they can no longer change
  words = []; // {from, to, startMs, endMs}
  compressed = false; // sent as Opus, for a thin line
  stream = null; // decodes it
  delivered = false; // the server has finished it; its last audio may not be decoded yet
  complete = false; // no more audio will come
  held = false; // no more text is sent for now
  changing = false; // another context is about to speak the rest
  failures = 0; // of the contexts that this one replaces
  notBefore = 0; // earliest performance.now() time of the next request to the server
  ahead = 4000; // units of text that the server may hold unspoken: it has a limit
  flushTo = 0; // text up to here is spoken without waiting for more; 0: the server knows
  base = 0; // where its text begins in that of its owner
  owner = null;
  parameters = {}; // of `start`, without format and rate if `rateHz` is set
  rateHz = undefined; // of its samples; undefined: as `parameters` say
  #started = false;
  #endSent = false;
  #flushed = 0;
  #retracting = null;
  #known = { points: 0, units: 0 }; // a position in its spoken text
  #sends = []; // {end, at}: how far text was sent at what time; the latest few
  #endedAt = Infinity;

  /** `onConflict(context, before, rest)` is called when text retracted from `before` is already spoken up
   *  to the end of `sent`; `rest` was wanted instead of it.
   */
  constructor(id, { text = "", ...options } = {}) {
    Object.assign(this, { id, wanted: text, ...options }); // `id` is used once
  }

  /** How far its text is spoken without waiting for more. */
  get flushedTo() {
    return Math.max(this.flushTo, this.#flushed);
  }

  /** The options of a context that goes on for this one. */
  get options() {
    const { owner, parameters, rateHz, onConflict, ahead, compressed, held } = this;
    return { owner, parameters, rateHz, onConflict, ahead, compressed, held };
  }

  /** Whether the server's answer to a retraction is pending. */
  get retracting() {
    return this.#retracting !== null;
  }

  get started() {
    return this.#started;
  }

  /** The server knows the context and has not finished it. */
  get open() {
    return this.#started && !this.complete && !this.delivered;
  }

  /** Send what the server does not know yet. `send` delivers a message. */
  pump(send) {
    if (this.complete || this.changing || this.#retracting) return;
    if (!this.#started && !this.#start(send)) return;
    if (!this.wanted.startsWith(this.sent)) {
      return this.retract(send, commonPrefix(this.sent, this.wanted));
    }
    if (!this.held) this.#pushAndFlush(send);
    if (this.ended && this.sent === this.wanted && !this.#endSent) {
      this.#endSent = true;
      this.#endedAt = performance.now();
      send({ type: "end", context: this.id });
    }
  }

  /** Retract the text sent from `from` on, as far as the server still can. */
  retract(send, from) {
    this.#retracting = { from, before: this.sent };
    send({ type: "retract", context: this.id, to: toPoints(this.sent, from) });
  }

  /** The server's answer: its text now ends at `to` (code points). Returns from where it was asked for. */
  retracted(to) {
    const { from, before } = this.#retracting;
    this.#retracting = null;
    this.sent = before.slice(0, toUnitsFrom(this.#known, before, to));
    if (this.sent.length <= from) return from;
    this.spoken = Math.max(this.spoken, this.sent.length);
    if (this.wanted.startsWith(this.sent)) return from;
    const rest = this.wanted.slice(from);
    // Text the server has released will be heard, so it is kept; the owner decides about the rest.
    if (this.ended) this.wanted = this.sent;
    this.onConflict?.(this, before, rest);
    return from;
  }

  /** The server no longer has the context: what is spoken stays in front of what is wanted. */
  keepSpoken() {
    const spoken = this.sent.slice(0, this.spoken);
    this.wanted = spoken + this.wanted.slice(commonPrefix(spoken, this.wanted));
  }

  /** Audio arrived that speaks this text. Returns its span and words, in units and milliseconds. */
  receive({ text, words }) {
    const units = (points) => toUnitsFrom(this.#known, this.sent, points);
    const [from, to] = text.map(units);
    this.#known = { points: text[0], units: from };
    this.spoken = Math.max(this.spoken, to);
    const spoken = words.map(([begin, end, startMs, endMs]) => ({
      from: units(begin),
      to: units(end),
      startMs,
      endMs,
    }));
    this.words.push(...spoken);
    return { from, to, words: spoken };
  }

  /** Whether audio of a finished sentence, or of the ended text, is overdue. */
  get owed() {
    const then = performance.now() - OWED_AFTER_MS;
    if (!this.open) return false;
    if (this.#endedAt <= then) return this.spoken < this.sent.length;
    const last = this.#sends.findLast(({ at }) => at <= then);
    return FINISHED.test(this.sent.slice(this.spoken, last?.end ?? 0));
  }

  /** How far text may be sent now. */
  #allowed() {
    const whole = this.ended ? this.wanted.length : wholeLength(this.wanted);
    return characterStart(this.wanted, Math.min(whole, this.spoken + this.ahead));
  }

  #start(send) {
    if (this.wanted === "") {
      this.complete = this.ended;
      return false;
    }
    const sound = this.compressed ? COMPRESSED : this.rateHz && { sample_rate: this.rateHz };
    send({ type: "start", context: this.id, ...this.parameters, ...sound });
    this.#started = true;
    return true;
  }

  #pushAndFlush(send) {
    const allowed = this.#allowed();
    if (this.flushTo > 0) {
      const flushTo = wholeLength(this.wanted, this.flushTo);
      this.#push(send, this.wanted.slice(this.sent.length, Math.min(flushTo, allowed)));
      if (this.sent.length < flushTo) return;
      send({ type: "flush", context: this.id });
      this.#flushed = this.flushTo;
      this.flushTo = 0;
    }
    this.#push(send, this.wanted.slice(this.sent.length, allowed));
  }

  #push(send, text) {
    if (!text) return;
    send({ type: "text", context: this.id, text: wellFormed(text) });
    this.sent += text;
    const at = performance.now();
    this.#sends.push({ end: this.sent.length, at });
    while (this.#sends[1]?.at < at - OWED_AFTER_MS) this.#sends.shift();
  }
}

/** The server refuses lone surrogates, as from a broken paste: replace them. */
function wellFormed(text) {
  return text.toWellFormed?.() ?? text.replace(/\p{Surrogate}/gu, "\ufffd");
}
