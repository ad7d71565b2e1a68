// A take: the client side of one server context. Its text, the part that
// the server has, and the received audio. Positions are UTF-16 units from the take's start.

import { commonPrefix } from "../text/edits.js";
import { characterStart, toPoints, toUnits } from "./offsets.js";

const OWED_AFTER_MS = 300; // text speakable for this long should have its audio here
const FINISHED = /[.!?]\s+\S/; // a sentence, and the beginning of the next
const SILENCE = new Int16Array(0);
const COMPRESSED = { format: "opus", bit_rate: "auto" };

let takes = 0;

export class Take {
  id = `page-${++takes}`; // used once
  wanted = "";
  ended = false; // no more text will follow
  sent = "";
  spoken = 0; // units whose audio is here: they can no longer change
  words = []; // {from, to, startMs, endMs}
  silent = []; // {from, to}: words that the voice cannot read, reported without audio
  compressed = false; // sent as Opus, for a thin line
  stream = null; // decodes it
  delivered = false; // the server has finished it; its last audio may not be decoded yet
  complete = false; // no more audio will come
  chunks = []; // Int16Array
  frames = 0;
  forgotten = 0; // frames whose audio was dropped
  handedOver = 0; // chunks passed to the player
  position; // in the player's ring
  stoppedMs = Infinity; // where it was silenced
  changing = false; // another take is about to speak the rest
  failures = 0; // of the takes that this take replaces
  notBefore = 0; // earliest performance.now() time of the next request to the server
  ahead = 4000; // units of text that the server may hold unspoken: it has a limit
  #started = false;
  #endSent = false;
  #retracting = null;
  #sends = []; // {end, at}: how far text was sent at what time; the latest few
  #endedAt = Infinity;

  /**
   * `place` shows its text, which begins at `base` there. `onConflict(before,
   * kept)` is called when text retracted from `before` is already spoken up to `kept`.
   */
  constructor({ text = "", place = null, base = 0, ...manner }) {
    Object.assign(this, { wanted: text, place, base, ...manner });
  }

  /** Its parameters, for a similar take. */
  get manner() {
    const { place, voice, speed, volume, typing, lexicon, onConflict, ahead, compressed } = this;
    return { place, voice, speed, volume, typing, lexicon, onConflict, ahead, compressed };
  }

  /** Whether the server's answer to a retraction is pending. */
  get retracting() {
    return this.#retracting !== null;
  }

  /** The server knows the context and has not finished it. */
  get open() {
    return this.#started && !this.complete && !this.delivered;
  }

  /** Send what the server does not know yet. `send` delivers a message. */
  pump(send, rate) {
    if (this.complete || this.changing || this.#retracting) return;
    if (!this.#started && !this.#start(send, rate)) return;
    if (!this.wanted.startsWith(this.sent)) {
      return this.retract(send, commonPrefix(this.sent, this.wanted));
    }
    const until = Math.min(this.wanted.length, this.spoken + this.ahead);
    const text = this.wanted.slice(this.sent.length, characterStart(this.wanted, until));
    if (text) this.#push(send, text);
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

  /** The server's answer: its text now ends at `to` (code points). */
  retracted(to) {
    const { from, before } = this.#retracting;
    this.#retracting = null;
    this.sent = before.slice(0, toUnits(before, to));
    if (this.sent.length <= from) return;
    this.spoken = Math.max(this.spoken, this.sent.length);
    if (this.wanted.startsWith(this.sent)) return;
    // Text the server has released will be heard, so it is kept; the page decides about the rest.
    if (this.ended) this.wanted = this.sent;
    this.onConflict?.(this, before);
  }

  /** Audio arrived that speaks this text. */
  receive({ text, words }) {
    this.spoken = Math.max(this.spoken, toUnits(this.sent, text[1]));
    for (const [from, to, startMs, endMs] of words) {
      this.words.push({
        from: toUnits(this.sent, from),
        to: toUnits(this.sent, to),
        startMs,
        endMs,
      });
    }
    this.#noteSilent(toUnits(this.sent, text[0]), toUnits(this.sent, text[1]));
  }

  /** The next of its samples are there. */
  addSamples(samples) {
    this.chunks.push(samples);
    this.frames += samples.length;
  }

  /** Whether all of its text is spoken, or cannot be. */
  get accounted() {
    return this.wanted.trim() !== "" && this.spoken >= this.wanted.trimEnd().length;
  }

  /** Whether audio of a finished sentence, or of the ended text, is overdue. */
  get owed() {
    const then = performance.now() - OWED_AFTER_MS;
    if (!this.open) return false;
    if (this.#endedAt <= then) return this.spoken < this.sent.length;
    const last = this.#sends.findLast(({ at }) => at <= then);
    return FINISHED.test(this.sent.slice(this.spoken, last?.end ?? 0));
  }

  /** The words at a time: `heard` is the end of the last word heard or begun, `now` is playing. */
  at(ms) {
    const next = this.words.findIndex((word) => word.startMs > ms);
    const word = next < 0 ? this.words.at(-1) : this.words[next - 1];
    if (!word) return { heard: 0, now: null };
    return { heard: word.to, now: ms < word.endMs ? word : null };
  }

  /** The part of its audio that was heard, in chunks. */
  heardChunks(rate) {
    let left = Math.min(this.frames, (this.stoppedMs * rate) / 1000) - this.forgotten;
    return this.chunks.map((chunk) => {
      const heard = chunk.subarray(0, Math.max(0, left));
      left -= chunk.length;
      return heard;
    });
  }

  /** Drop the audio of a played chunk. Returns whether it could be dropped. */
  forget(chunk) {
    if (chunk >= this.handedOver) return false;
    this.forgotten += this.chunks[chunk].length;
    this.chunks[chunk] = SILENCE;
    return true;
  }

  #noteSilent(begin, end) {
    for (const match of this.sent.slice(begin, end).matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
      const [from, to] = [begin + match.index, begin + match.index + match[0].length];
      const heard = this.words.some((word) => word.from < to && word.to > from);
      if (!heard) this.silent.push({ from, to });
    }
  }

  #start(send, rate) {
    if (this.wanted === "") {
      this.complete = this.ended;
      return false;
    }
    const { id: context, voice, speed, volume, typing, lexicon } = this;
    const sound = this.compressed ? COMPRESSED : { sample_rate: rate };
    send({ type: "start", context, voice, speed, volume, typing, lexicon, ...sound });
    this.#started = true;
    return true;
  }

  #push(send, text) {
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
